"""The dtype in which a model computes its matrix products."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snnjax.nn.event_linear import EventLinear
from snnjax.nn.narrow import NarrowProducts
from snnjax.nn.neurons.population import Population
from snnjax.nn.parallel import stacked_axes
from snnjax.nn.paths import below
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


PRODUCTS: dict[type, str] = {
    nnx.Linear: "dot_general",
    nnx.LinearGeneral: "dot_general",
    nnx.Conv: "conv_general_dilated",
    nnx.ConvTranspose: "conv_general_dilated",
}
"""The names by which layers of Flax hold their product of `jax.lax`."""


def compute_in(model: nnx.Module, dtype: DTypeLike) -> None:
    """Compute the products of all layers of `model` in `dtype`, such as `jnp.bfloat16`.

    Inputs and weights are rounded before each product, also in products for gradients. All
    else is unchanged: weights and their gradients, sums, results of products, membranes, norms and
    their statistics. It concerns the layers that are `NarrowProducts` (`SparseConv`, `Conv`,
    `DelayedLinear`) and the dense layers and convolutions of Flax; a warning names other layers
    with matrices, which stay as they are.

    Raises:
      ValueError: the model has an `EventLinear`, which sums weights without a product, or no
        layer of those kinds.

    >>> layer = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
    >>> layer.kernel[...] = jnp.array([[1.001]])
    >>> compute_in(layer, jnp.bfloat16)
    >>> float(layer(jnp.array([3.0]))[0]), layer.kernel.dtype.name
    (3.0, 'float32')
    """
    narrow, done, left = jnp.dtype(dtype), list[str](), list[str]()
    for path, module in sorted(nnx.iter_modules(model), key=lambda item: len(item[0])):
        name = ".".join(map(str, path))
        if isinstance(module, EventLinear):
            raise ValueError(
                f"{name or 'the model'} is an EventLinear, which sums weights instead of "
                f"multiplying them in {narrow}. Make it an nnx.Linear, or stay with float32."
            )
        if _narrowed(module, narrow):
            done.append(name)
        elif _multiplies(model, path, module) and not any(
            below(name).startswith(below(outer)) for outer in done
        ):
            left.append(f"{name!r}, a {type(module).__name__}")
    if not done:
        raise ValueError(
            f"{type(model).__name__} has no layer whose products can be computed in {narrow}: no "
            "NarrowProducts, such as Conv, and none of Flax. Stay with float32."
        )
    if left:
        warnings.warn(
            f"not computed in {narrow}: {'; '.join(left)}. Derive the class from "
            "snnjax.nn.NarrowProducts, and round to its `product_dtype`.",
            stacklevel=2,
        )


def _narrowed(module: nnx.Module, dtype: DTypeLike) -> bool:
    """Set the dtype of the products of one layer; returns whether it has any that can be set."""
    if isinstance(module, NarrowProducts):
        module.product_dtype = dtype
        return True
    for kind, name in PRODUCTS.items():
        if isinstance(module, kind):
            setattr(module, name, Narrow(getattr(jax.lax, name), dtype))
            return True
    return False


def _multiplies(model: nnx.Module, path: tuple[Any, ...], module: nnx.Module) -> bool:
    """Whether a module itself has matrices that it may multiply with."""
    if isinstance(module, Population | nnx.Embed):
        return False
    axes = 1 + stacked_axes(model, path)
    return any(isinstance(own, nnx.Param) and own.ndim > axes for own in vars(module).values())
