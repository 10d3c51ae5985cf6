"""The declaration of layers whose products can be computed in a narrower dtype."""

from __future__ import annotations

from jax.typing import DTypeLike

from snnjax.nn.layer import Layer


class NarrowProducts(Layer):
    """Base of layers that round the operands of their products to `product_dtype`.

    `compute_in` sets it. A subclass passes it to each of its products, most simply with
    `snnjax.sparse.narrow_product(jnp.matmul, x, w, self.product_dtype)`.
    """

    product_dtype: DTypeLike | None = None
    """What inputs and weights are rounded to; None leaves them."""
