"""Spatial convolutions with learnable tap positions: DCLS."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from snnjax.delays.check import (
    check_dimensions,
    check_position,
    check_sigma,
    check_sizes,
    check_taps,
)
from snnjax.delays.kernels import Taps, triangle_taps, unchecked

_LAYOUTS = {1: ("NHC", "HIO", "NHC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NHWDC", "HWDIO", "NHWDC")}


def spaced_kernel(
    weight: Array,
    position: Array,
    sigma: ArrayLike,
    sizes: Sequence[int],
    *,
    taps: Taps = triangle_taps,
) -> Array:
    """The dense kernel of taps with learnable positions, in any number of dimensions.

        kernel[k1, .., kD, i, o] = sum_c w[i, o, c] prod_n tap_{k_n}(p[n, i, o, c] + (K_n - 1) / 2)

    Each dimension is normalised over its extent, so their product is too, up to the 1e-7 of the
    sums.

    Args:
      weight: w, [I, O, Kc].
      position: p, [D, I, O, Kc], steps from the middle of the kernel.
      sigma: width of the taps, a scalar. sizes: K_1 .. K_D, extents of the kernel.
      taps: a kernel of `snnjax.delays`.

    Returns:
      [K_1, .., K_D, I, O].

    Raises:
      ValueError: shapes do not fit, or a concrete position is outside the kernel.

    Khalfaoui-Hassani, Pellegrini and Masquelier, "Dilated convolution with learnable spacings",
    ICLR 2023.

    >>> kernel = spaced_kernel(jnp.ones((1, 1, 1)), jnp.zeros((2, 1, 1, 1)), 0.0, (3, 3))
    >>> kernel[:, :, 0, 0].round(4).tolist()
    [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    sizes = check_sizes(sizes)
    check_sigma(sigma)
    check_taps(taps)
    if weight.ndim != 3 or position.shape != (len(sizes), *weight.shape):
        raise ValueError(
            f"`weight` must be [I, O, Kc] and `position` [D, I, O, Kc] with D = {len(sizes)} "
            f"sizes; got {weight.shape} and {position.shape}."
        )
    check_position(position, sizes)
    total = weight
    for place, size in zip(reversed(position), reversed(sizes), strict=True):
        along = unchecked(taps)(place + (size - 1) / 2, sigma, size - 1)
        total = jnp.expand_dims(along, tuple(range(1, total.ndim - 2))) * total
    return total.sum(-1)


def spaced_conv(
    x: ArrayLike,
    weight: Array,
    position: Array,
    sigma: ArrayLike,
    sizes: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "SAME",
    groups: int = 1,
    taps: Taps = triangle_taps,
) -> Array:
    """A convolution with learnable spacings over the D spatial axes, for every step and sample.

    Args:
      x: [..., X_1, .., X_D, C], D of 1 to 3, with any axes before, such as [T, B, H, W, C].
      weight, position, sigma, sizes, taps: see `spaced_kernel`, with I = C / groups.
      strides: one per dimension, 1 by default. padding: "SAME", "VALID" or (before, after) each.
      groups: number of channel groups; C with I = 1 for a depthwise convolution.

    Returns:
      [..., Y_1, .., Y_D, O].
    """
    dims = len(check_dimensions(sizes, strides))
    kernel = spaced_kernel(weight, position, sigma, sizes, taps=taps)
    x = jnp.asarray(x)
    channels = weight.shape[0] * groups
    if x.ndim < dims + 2 or x.shape[-1] != channels:
        raise ValueError(
            f"`x` must be [B, {'X, ' * dims}{channels}], with or without axes before; got "
            f"{x.shape}."
        )
    if x.dtype != kernel.dtype:
        raise TypeError(f"`x` is {x.dtype} but the kernel {kernel.dtype}; cast one of them.")
    lead = x.shape[: -dims - 1]
    y = lax.conv_general_dilated(
        x.reshape(-1, *x.shape[-dims - 1 :]),
        kernel,
        (1,) * dims if strides is None else tuple(strides),
        padding,
        dimension_numbers=_LAYOUTS[dims],
        feature_group_count=groups,
    )
    return y.reshape(*lead, *y.shape[1:])
