"""What a model keeps of a layer for the way back, and what it computes again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
from flax import nnx
from jax import Array
from jax.ad_checkpoint import checkpoint_name

from snnjax.sparse.norm import MOMENTS

Remat = Literal["none", "products", "layers"]
REMATS: tuple[Remat, ...] = get_args(Remat)

PRODUCT = "product"
"""Name of the results of products, by which they can be kept."""

_KEPT = {"products": (PRODUCT, MOMENTS), "layers": (MOMENTS,)}


def product_of(x: Array) -> Array:
    """`x`, the result of a layer's product, which `remat="products"` keeps."""
    return checkpoint_name(x, PRODUCT)


def recomputed(remat: Remat, module: Any, call: Callable[..., Any], *args: Any) -> Any:
    """`call(module, *args)`, of whose inside as little is kept for the way back as `remat` says.

        none      all that the gradient needs; nothing is computed twice
        products  the arguments, and results of products: norms and neurons run again
        layers    the arguments: products run again too

    Gradients are the same. Moments of norms are kept in any case, so that nothing is sent twice
    between devices. What the call changes in variables of the module, it changes as it would.

    Args:
      remat: one of `REMATS`.
      module: a module, or a tuple of some.
      call: from the module and the arguments to a tree of arrays.
      args: trees of arrays; what else the call needs it holds itself.

    >>> import jax.numpy as jnp
    >>> layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    >>> y = recomputed("layers", layer, lambda own, x: jnp.tanh(own(x)), jnp.ones((1, 2)))
    >>> y.shape
    (1, 2)
    """
    if remat == "none":
        return call(module, *args)
    graphdef, params, rest = nnx.split(module, nnx.Param, ...)

    def pure(params: Any, rest: Any, *args: Any) -> tuple[Any, Any]:
        own = nnx.merge(graphdef, params, rest)
        out = call(own, *args)
        return out, nnx.as_pure(nnx.split(own, nnx.Param, ...)[2])

    policy = jax.checkpoint_policies.save_only_these_names(*_KEPT[remat])
    again = jax.checkpoint(pure, policy=policy)
    out, after = again(nnx.as_pure(params), nnx.as_pure(rest), *args)
    nnx.update(module, after)
    return out


def set_remat(model: Any, remat: Remat) -> None:
    """Set what a model keeps of its layers in training, see `recomputed`.

    Raises:
      ValueError: the model has no attribute `remat`, so it does not cut itself into layers.
    """
    if remat not in REMATS:
        raise ValueError(f"remat must be one of {', '.join(REMATS)}; got {remat!r}.")
    if not hasattr(model, "remat"):
        raise ValueError(
            f"{type(model).__name__} has no `remat`: it does not say what its layers are, so "
            f"{remat!r} would change nothing. Leave it at 'none'."
        )
    model.remat = remat
