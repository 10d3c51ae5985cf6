"""Dense layers with a delay for each synapse, input or output."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from snnjax.delays.check import (
    as_delay,
    check_sequence,
    check_sigma,
    check_size,
    check_synapses,
    check_tail,
    check_taps,
)
from snnjax.delays.forms import FORMS, FormTable, dft_product, direct_product
from snnjax.delays.kernels import Taps, gaussian_taps, kernel_of
from snnjax.unroll import unroll

_TABLE = FormTable()


def delayed_dense(
    x: ArrayLike,
    weight: ArrayLike,
    delay: ArrayLike,
    sigma: ArrayLike,
    size: int,
    *,
    taps: Taps = gaussian_taps,
    tail: int = 0,
    past: ArrayLike | None = None,
    form: str | None = None,
    table: FormTable = _TABLE,
    product_dtype: DTypeLike | None = None,
) -> Array:
    """A dense layer in which every synapse has a weight and a learnable delay.

        y[t, b, o] = sum_{i, c, j} w[i, o, c] tap_j(d[i, o, c], sigma) x[t - j, b, i]

    Causal: x before its start is `past`, or 0. Works in forward and reverse mode, and for a traced
    sigma, so that a schedule compiles once.

    Args:
      x: input [T, B, I].
      weight, delay: w and d, [I, O] or [I, O, Kc] with Kc delays per synapse; d in 0 .. size - 1.
      sigma: width of the taps, a scalar. size: K, the largest delay + 1.
      taps: `gaussian_taps`, `triangle_taps` or `two_taps`.
      tail: steps without input at the end, in which late arrivals are still output.
      past: [K - 1, B, I], the inputs before x.
      form: "direct" or "dft"; None lets `table` choose by the shapes.
      product_dtype: dtype to which input and kernel are rounded for their product, such as
        bfloat16; implies the direct form, since a rounded spectrum of spikes is not exact.

    Returns:
      [T + tail, B, O] in the dtype of the arguments.

    Raises:
      ValueError: shapes do not fit, the buffer is longer than the sequence, or a concrete delay or
        sigma is out of range. TypeError: dtypes differ or are not floating.

    >>> from snnjax.delays import two_taps
    >>> x = jnp.array([1.0, 0.0, 0.0, 0.0]).reshape(4, 1, 1)
    >>> y = delayed_dense(x, jnp.array([[2.0]]), jnp.array([[1.5]]), 0.0, 4, taps=two_taps)
    >>> y[:, 0, 0].tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    weight, delay = check_synapses(weight, delay, size)
    check_sigma(sigma)
    check_taps(taps)
    z = with_past(x, past, size, tail, features=weight.shape[0], dtype=weight.dtype)
    if z.ndim != 3:
        raise ValueError(
            f"`x` must be [T, B, {weight.shape[0]}]; got {jnp.shape(x)}. Merge the axes between T "
            "and the last into one."
        )
    steps, batch = z.shape[0] - size + 1, z.shape[1]
    inputs, outputs = weight.shape[:2]
    if form is None and product_dtype is not None:
        form = "direct"
    if form is None:
        form = table.choose(steps=steps, size=size, inputs=inputs, outputs=outputs, batch=batch)
    if product_dtype is not None and form == "dft":
        raise ValueError(
            f"form='dft' does not support product_dtype={jnp.dtype(product_dtype)}: rounded "
            "spectra would not be exact for spikes. Use form='direct'."
        )
    if form not in FORMS:
        raise ValueError(f"`form` must be one of {', '.join(FORMS)}, or None; got {form!r}.")
    kernel = partial(kernel_of, sigma=sigma, size=size, taps=taps)
    if form == "direct":
        return direct_product(z, kernel(weight, delay), product_dtype)
    return dft_product(z, (weight, delay), lambda own: kernel(*own), size, outputs)


def delayed(
    x: ArrayLike,
    delay: ArrayLike,
    sigma: ArrayLike,
    size: int,
    *,
    taps: Taps = gaussian_taps,
    tail: int = 0,
    past: ArrayLike | None = None,
) -> Array:
    """Delay every channel by its own learnable time.

        y[t, b, .., n] = sum_j tap_j(d[n], sigma) x[t - j, b, .., n]

    Before a matmul these are axonal delays, one per input; after it dendritic delays, one per
    output. The cost is K multiplications per number, not K matmuls.

    Args:
      x: [T, B, ..., N], such as [T, B, H, W, C]. delay: d, [N], in 0 .. size - 1.
      sigma, size, taps, tail, past: as in `delayed_dense`.

    Returns:
      [T + tail, B, ..., N].

    >>> from snnjax.delays import two_taps
    >>> x = jnp.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])[:, None]
    >>> delayed(x, jnp.array([0.0, 2.0]), 0.0, 3, taps=two_taps)[:, 0].tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """
    delay = as_delay(delay)
    if delay.ndim != 1:
        raise ValueError(f"`delay` must be [N]; got {delay.shape}.")
    kernel = check_taps(taps)(delay, sigma, check_size(size))  # [K, N]
    z = with_past(x, past, size, tail, features=len(delay), dtype=delay.dtype)
    steps = z.shape[0] - size + 1

    def add(total: Array, tap: tuple[Array, Array]) -> tuple[Array, None]:
        lag, share = tap
        return total + share * lax.dynamic_slice_in_dim(z, size - 1 - lag, steps), None

    return unroll(add, jnp.zeros_like(z[:steps]), (jnp.arange(size), kernel))[0]  # over lags


def with_past(
    x: ArrayLike, past: ArrayLike | None, size: int, tail: int, *, features: int, dtype: jnp.dtype
) -> Array:
    """The sequence [T, B, ..., I], padded with K - 1 steps before and `tail` steps after it."""
    x = check_sequence(x, features)
    if x.dtype != dtype:
        raise TypeError(f"`x` is {x.dtype} but the delays are {dtype}; cast one of them.")
    check_tail(tail)
    if past is None and size > x.shape[0] + tail:
        raise ValueError(
            f"the buffer of size={size} steps is longer than the sequence of {x.shape[0]} steps "
            f"with tail={tail}: the longest delays could never arrive. Lower size, or raise "
            f"tail to {size - x.shape[0]}."
        )
    shape = (size - 1, *x.shape[1:])
    if past is None:
        past = jnp.zeros(shape, x.dtype)
    if jnp.shape(past) != shape:
        raise ValueError(f"`past` must be [size - 1, B, ..., I] = {shape}; got {jnp.shape(past)}.")
    after = jnp.zeros((tail, *x.shape[1:]), x.dtype)
    return jnp.concatenate([jnp.asarray(past, x.dtype), x, after])
