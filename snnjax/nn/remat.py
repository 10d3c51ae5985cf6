"""What blocks keep for the backward pass, and what is recomputed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
from jax import Array
from jax.ad_checkpoint import checkpoint_name

from snnjax.sparse.norm import MOMENTS

Remat = Literal["none", "products", "layers"]
"""How much of a block is kept: `none` keeps all that the gradient needs; `products` the inputs of a
block and the results of its products, so that norms and neurons run again; `layers` the inputs
alone. Gradients are the same up to rounding. Moments of norms are kept in any case, so that
nothing is sent twice between devices."""

REMATS: tuple[Remat, ...] = get_args(Remat)

PRODUCT = "product"
"""Name of the results of products, by which they can be kept."""

_KEPT = {"products": (PRODUCT, MOMENTS), "layers": (MOMENTS,)}


def product_of(x: Array) -> Array:
    """`x`, the result of a layer's product, which `remat="products"` keeps."""
    return checkpoint_name(x, PRODUCT)


def kept_by(remat: Remat) -> Callable[..., Any]:
    """The policy of `jax.checkpoint` for a `remat` other than "none"."""
    return jax.checkpoint_policies.save_only_these_names(*_KEPT[remat])
