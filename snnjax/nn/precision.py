"""The dtype in which a model computes its matrix products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snnjax.nn.event_linear import EventLinear
from snnjax.sparse import narrow_product


@dataclass(frozen=True)
class Narrow:
    """A product of `jax.lax` whose operands are rounded to `dtype`.

    Attributes:
      product: `dot_general` or `conv_general_dilated`.
      dtype: see `snnjax.sparse.narrow_product`.
    """

    product: Callable[..., Array]
    dtype: DTypeLike

    def __call__(self, lhs: Array, rhs: Array, *args: Any, **options: Any) -> Array:
        """Compute the rounded product; the result has the dtype of the operands."""
        options.pop("preferred_element_type", None)

        def product(a: Array, b: Array, **own: Any) -> Array:
            return self.product(a, b, *args, **options, **own)

        return narrow_product(product, lhs, rhs, self.dtype)


PRODUCTS = {
    "dot_general": jax.lax.dot_general,
    "conv_general_dilated": jax.lax.conv_general_dilated,
}
"""The names by which layers of Flax hold their product."""


def compute_in(model: nnx.Module, dtype: DTypeLike) -> None:
    """Compute the products of all layers of `model` in `dtype`, such as `jnp.bfloat16`.

    Inputs and weights are rounded before each product, also in products for gradients. All
    else is unchanged: weights and their gradients, sums, results of products, membranes, norms and
    their statistics. It concerns the layers with a `product_dtype` (`SparseConv`, `Conv`,
    `DelayedLinear`) and those of Flax with a `dot_general` or a `conv_general_dilated`.

    Raises:
      ValueError: the model has an `EventLinear`, which sums weights without a product, or no
        layer of those kinds.

    >>> layer = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
    >>> layer.kernel[...] = jnp.array([[1.001]])
    >>> compute_in(layer, jnp.bfloat16)
    >>> float(layer(jnp.array([3.0]))[0]), layer.kernel.dtype.name
    (3.0, 'float32')
    """
    narrow, found = jnp.dtype(dtype), False
    settings: dict[str, Any] = {n: Narrow(product, narrow) for n, product in PRODUCTS.items()}
    settings["product_dtype"] = narrow
    for path, module in nnx.iter_modules(model):
        if isinstance(module, EventLinear):
            name = "/".join(map(str, path)) or "the model"
            raise ValueError(
                f"{name} is an EventLinear, which sums weights instead of multiplying them in "
                f"{narrow}. Make it an nnx.Linear, or stay with float32."
            )
        for name in filter(partial(hasattr, module), settings):
            setattr(module, name, settings[name])
            found = True
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no layer whose products can be computed in {narrow}: none "
            f"with a product_dtype or a {' or a '.join(PRODUCTS)}. Stay with float32."
        )
