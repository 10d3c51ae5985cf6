"""Products with operands rounded to a narrower dtype and wide accumulation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.typing import DTypeLike

Product = Callable[..., Array]
"""Bilinear: `product(a, b, preferred_element_type=dtype)`, with a result of that dtype."""


def narrow_product(product: Product, a: Array, b: Array, dtype: DTypeLike | None) -> Array:
    """`product(a, b)` with operands rounded to `dtype`, accumulated in their original dtype.

        y = product(round(a), round(b)),    dy = product(round(da), round(b)) + ...

    Gradients are computed in the same way: that of `a` is a product of the rounded `b` and the
    rounded gradient of y, itself rounded once and returned in the dtype of `a`. The rounded
    operands are stored for it. Works in forward and reverse mode.

    Spikes and counts up to 256 are exact in bfloat16; weights keep 8 bits.

    Args:
      product: see `Product`. a, b: operands of the same floating dtype.
      dtype: dtype such as `jnp.bfloat16`; None leaves the operands unchanged.

    Returns:
      The product, in the dtype of the operands.

    >>> def dot(a, b, **options): return jnp.matmul(a, b, **options)
    >>> y = narrow_product(dot, jnp.array([3.0]), jnp.array([1.001]), jnp.bfloat16)
    >>> float(y), y.dtype.name  # 1.001 is 1 in bfloat16
    (3.0, 'float32')
    """
    wide = jnp.result_type(a.dtype, b.dtype)
    if dtype is None:
        return product(a, b, preferred_element_type=wide)
    return _rounded(product, jnp.dtype(dtype), wide, a, b)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _rounded(product: Product, dtype: Any, wide: Any, a: Array, b: Array) -> Array:
    return product(a.astype(dtype), b.astype(dtype), preferred_element_type=wide)


def _rounded_jvp(
    product: Product, dtype: Any, wide: Any, primals: tuple[Array, Array], tangents: Any
) -> tuple[Array, Array]:
    a, b = (x.astype(dtype) for x in primals)
    # The result is in `dtype`, so that its cotangent is too, and all products are narrow.
    narrow = partial(product, preferred_element_type=dtype)
    parts = [
        narrow(*(x.astype(dtype) for x in pair)).astype(wide)
        for pair in ((tangents[0], b), (a, tangents[1]))
        if not any(isinstance(x, SymbolicZero) for x in pair)
    ]
    return product(a, b, preferred_element_type=wide), sum(parts[1:], parts[0])


_rounded.defjvp(_rounded_jvp, symbolic_zeros=True)
