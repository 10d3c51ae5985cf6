"""Dense layers with a delay for each synapse, input or output."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from snnjax.delays.check import (
    as_delay,
    check_delay,
    check_max_delay,
    check_sequence,
    check_sigma,
    check_synapses,
    check_tail,
    check_taps,
)
from snnjax.delays.forms import FORMS, FormTable, dft_product, direct_product
from snnjax.delays.kernels import Taps, gaussian_taps, sum_taps, unchecked
from snnjax.unroll import unroll

_TABLE = FormTable()


def delayed_dense(
    x: ArrayLike,
    weight: ArrayLike,
    delay: ArrayLike,
    sigma: ArrayLike,
    max_delay: int,
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
      weight, delay: w and d, [I, O] or [I, O, Kc] with Kc delays per synapse; d in 0 .. max_delay.
      sigma: width of the taps, a scalar. max_delay: K - 1, the longest delay.
      taps: `gaussian_taps`, `triangle_taps` or `two_taps`.
      tail: steps without input at the end, in which late arrivals are still output.
      past: [max_delay, B, I], the inputs before x.
      form: "direct" or "dft"; None lets `table` choose by the shapes.
      product_dtype: dtype to which input and kernel are rounded for their product, such as
        bfloat16; implies the direct form, since a rounded spectrum of spikes is not exact.

    Returns:
      [T + tail, B, O] in the dtype of the arguments.

    Raises:
      ValueError: shapes do not fit, delays are longer than the sequence, or a concrete delay or
        sigma is out of range. TypeError: dtypes differ or are not floating.

    >>> from snnjax.delays import two_taps
    >>> x = jnp.array([1.0, 0.0, 0.0, 0.0]).reshape(4, 1, 1)
    >>> y = delayed_dense(x, jnp.array([[2.0]]), jnp.array([[1.5]]), 0.0, 3, taps=two_taps)
    >>> y[:, 0, 0].tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    weight, delay = check_synapses(weight, delay, max_delay)
    check_sigma(sigma)
    check_taps(taps)
    return delay_synapses(
        x,
        weight,
        delay,
        sigma,
        max_delay,
        taps=taps,
        tail=tail,
        past=past,
        form=form,
        table=table,
        product_dtype=product_dtype,
    )


def delay_synapses(
    x: ArrayLike,
    weight: Array,
    delay: Array,
    sigma: ArrayLike,
    max_delay: int,
    *,
    taps: Taps,
    tail: int = 0,
    past: ArrayLike | None = None,
    form: str | None = None,
    table: FormTable = _TABLE,
    product_dtype: DTypeLike | None = None,
) -> Array:
    """`delayed_dense` of synapses, sigma and taps that are checked already."""
    size = max_delay + 1
    z = with_past(x, past, max_delay, tail, features=weight.shape[0], dtype=weight.dtype)
    if z.ndim != 3:
        raise ValueError(
            f"`x` must be [T, B, {weight.shape[0]}]; got {jnp.shape(x)}. Merge the axes between T "
            "and the last into one."
        )
    steps, batch = z.shape[0] - max_delay, z.shape[1]
    inputs, outputs = weight.shape[:2]
    if form is None and product_dtype is not None:
        form = "direct"
    if form is None:
        form = table.choose(
            steps=steps, max_delay=max_delay, inputs=inputs, outputs=outputs, batch=batch
        )
    if product_dtype is not None and form == "dft":
        raise ValueError(
            f"form='dft' does not support product_dtype={jnp.dtype(product_dtype)}: rounded "
            "spectra would not be exact for spikes. Use form='direct'."
        )
    if form not in FORMS:
        raise ValueError(f"`form` must be one of {', '.join(FORMS)}, or None; got {form!r}.")
    kernel = partial(sum_taps, sigma=sigma, max_delay=max_delay, taps=taps)
    if form == "direct":
        return direct_product(z, kernel(weight, delay), product_dtype)
    return dft_product(z, (weight, delay), lambda own: kernel(*own), size, outputs)


def delayed(
    x: ArrayLike,
    delay: ArrayLike,
    sigma: ArrayLike,
    max_delay: int,
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
      x: [T, B, ..., N], such as [T, B, H, W, C]. delay: d, [N], in 0 .. max_delay.
      sigma, max_delay, taps, tail, past: as in `delayed_dense`.

    Returns:
      [T + tail, B, ..., N].

    >>> from snnjax.delays import two_taps
    >>> x = jnp.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])[:, None]
    >>> delayed(x, jnp.array([0.0, 2.0]), 0.0, 2, taps=two_taps)[:, 0].tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """
    delay = as_delay(delay)
    if delay.ndim != 1:
        raise ValueError(f"`delay` must be [N]; got {delay.shape}.")
    check_delay(delay, check_max_delay(max_delay))
    check_sigma(sigma)
    check_taps(taps)
    return delay_channels(x, delay, sigma, max_delay, taps=taps, tail=tail, past=past)


def delay_channels(
    x: ArrayLike,
    delay: Array,
    sigma: ArrayLike,
    max_delay: int,
    *,
    taps: Taps,
    tail: int = 0,
    past: ArrayLike | None = None,
) -> Array:
    """`delayed` with delays, sigma and taps that are checked already."""
    z = with_past(x, past, max_delay, tail, features=len(delay), dtype=delay.dtype)
    kernel = unchecked(taps)(delay, sigma, max_delay)  # [K, N]
    steps = z.shape[0] - max_delay

    def add(total: Array, tap: tuple[Array, Array]) -> tuple[Array, None]:
        lag, share = tap
        return total + share * lax.dynamic_slice_in_dim(z, max_delay - lag, steps), None

    lags = jnp.arange(max_delay + 1)
    return unroll(add, jnp.zeros_like(z[:steps]), (lags, kernel))[0]  # over lags


def with_past(
    x: ArrayLike,
    past: ArrayLike | None,
    max_delay: int,
    tail: int,
    *,
    features: int,
    dtype: jnp.dtype,
) -> Array:
    """The sequence [T, B, ..., I], padded with `max_delay` steps before and `tail` after it."""
    x = check_sequence(x, features)
    if x.dtype != dtype:
        raise TypeError(f"`x` is {x.dtype} but the delays are {dtype}; cast one of them.")
    check_tail(tail)
    if past is None and max_delay >= x.shape[0] + tail:
        raise ValueError(
            f"max_delay={max_delay} is longer than the sequence of {x.shape[0]} steps with "
            f"tail={tail}: the longest delays could never arrive. Lower max_delay, or raise tail "
            f"to {max_delay + 1 - x.shape[0]}."
        )
    shape = (max_delay, *x.shape[1:])
    if past is None:
        past = jnp.zeros(shape, x.dtype)
    if jnp.shape(past) != shape:
        raise ValueError(f"`past` must be [max_delay, B, ..., I] = {shape}; got {jnp.shape(past)}.")
    after = jnp.zeros((tail, *x.shape[1:]), x.dtype)
    return jnp.concatenate([jnp.asarray(past, x.dtype), x, after])
