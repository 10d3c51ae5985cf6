"""Sliding parallel spiking neurons: one causal kernel over the inputs of the last steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import as_arrays
from snnjax.neurons.parallel.sequence import as_currents
from snnjax.neurons.parallel.window import check_window, like_step, push
from snnjax.surrogates import atan
from snnjax.unroll.time_axis import check_time_axis, from_before, from_last

Spike = Callable[[Array], Array]


class SlidingPSNParams(NamedTuple):
    """Parameters of sliding parallel spiking neurons, shared by all neurons of a layer."""

    weight: Array  # [K], for the inputs of the last K steps, the newest last
    bias: Array  # [], minus the threshold


class SlidingPSNState(NamedTuple):
    """State of sliding parallel spiking neurons: the inputs of the last steps."""

    recent: Array  # [..., N, K - 1], the last inputs, the newest last


def sliding_psn_params(window: int, *, dtype: DTypeLike = jnp.float32) -> SlidingPSNParams:
    """Parameters of a window of K steps: weights 2^-(age), a LIF without reset, threshold 1.

    >>> sliding_psn_params(3).weight.tolist()
    [0.25, 0.5, 1.0]
    """
    weight = 0.5 ** np.arange(check_window(window) - 1, -1, -1.0)
    return SlidingPSNParams(jnp.asarray(weight, dtype), jnp.asarray(-1.0, dtype))


def sliding_psn_init(
    shape: tuple[int, ...], window: int, dtype: DTypeLike = jnp.float32
) -> SlidingPSNState:
    """The state before the first step of a population of `shape`: K - 1 inputs of zero."""
    return SlidingPSNState(jnp.zeros((*shape, check_window(window) - 1), dtype))


def sliding_psn(
    params: SlidingPSNParams,
    state: SlidingPSNState,
    currents: ArrayLike,
    *,
    spike: Spike = atan,
    method: str = "toeplitz",
    time_axis: str | None = None,
) -> tuple[SlidingPSNState, Array]:
    """Run sliding parallel spiking neurons over a sequence of any length: one causal kernel.

        h[t] = sum_i weight[i] * current[t - K + 1 + i],   z[t] = H(h[t] + bias)

    Args:
      params: see `sliding_psn_params`; K weights.
      state: the last K - 1 inputs; to continue a sequence, pass its last state.
      currents: input, floating, [T, ..., N].
      spike: surrogate spike function.
      method: "toeplitz", products with a band matrix over blocks of time, or "conv", XLA's
        convolution, 10 to 26 times slower on a CPU. Values are equal up to rounding.
      time_axis: mesh axis over which time is sharded, inside `jax.shard_map`: `currents` are then
        the chunk of this device, of K - 1 steps or more. Each device sends its last K - 1 inputs to
        the next; `state` is before the full sequence, and the next state after it, on all devices.

    Returns:
      The next state, and spikes of shape [T, ..., N] and the dtype of `currents`.

    Raises:
      TypeError: currents not floating, or wider than the state. ValueError: shapes do not fit; an
      unknown method; a `time_axis` that is not manual here.

    Fang et al., as for `psn`.

    >>> state = sliding_psn_init((1,), window=2)
    >>> state, z = sliding_psn(sliding_psn_params(2), state, jnp.array([[0.8], [0.8], [0.0]]))
    >>> z[:, 0].tolist(), state.recent[0].tolist()
    ([0.0, 1.0, 0.0], [0.0])
    """
    if method not in ("conv", "toeplitz"):
        raise ValueError(f'`method` must be "conv" or "toeplitz"; got {method!r}.')
    check_time_axis(time_axis)
    params = as_arrays(params)
    _check_window(params, state)
    x = as_currents(currents, like_step(state.recent))
    recent, more = jnp.moveaxis(state.recent, -1, 0), state.recent.shape[-1]
    if time_axis is not None and more:
        _check_chunk(len(x), more, time_axis)
        recent = from_before(x[len(x) - more :], recent, time_axis)
    inputs = jnp.concatenate([recent, x])
    h = (_convolve if method == "conv" else _band)(params.weight, inputs)
    z = spike(h + params.bias.astype(h.dtype)).astype(jnp.asarray(currents).dtype)
    last = inputs[len(x) :]
    last = last if time_axis is None else from_last(last, time_axis)
    return SlidingPSNState(jnp.moveaxis(last, 0, -1)), z


def sliding_psn_step(
    params: SlidingPSNParams, state: SlidingPSNState, current: ArrayLike, *, spike: Spike = atan
) -> tuple[SlidingPSNState, Array]:
    """One step of sliding parallel spiking neurons; `sliding_psn` is a sequence of them.

    Args:
      params, state, spike: as for `sliding_psn`. current: input of the step, [..., N].

    Returns:
      The next state, and spikes of the shape of the state's inputs and the dtype of `current`.
    """
    params = as_arrays(params)
    _check_window(params, state)
    inputs = push(state.recent, current)
    h = inputs @ params.weight.astype(inputs.dtype)
    z = spike(h + params.bias.astype(inputs.dtype))
    return SlidingPSNState(inputs[..., 1:]), z.astype(jnp.asarray(current).dtype)


def _convolve(weight: Array, inputs: Array) -> Array:
    """[K] and [T + K - 1, ...] to [T, ...]."""
    kernel = weight.astype(inputs.dtype).reshape(-1, 1, 1)
    flat = inputs.reshape(len(inputs), -1, 1)
    h = lax.conv_general_dilated(
        flat, kernel, (1,), "VALID", dimension_numbers=("WNC", "WIO", "WNC")
    )
    return h.reshape(-1, *inputs.shape[1:])


def _band(weight: Array, inputs: Array, block: int = 64) -> Array:
    """As `_convolve`, by blocks of C steps: each a product with a band matrix [C, C + K - 1]."""
    more = len(weight) - 1
    steps = len(inputs) - more
    size = max(min(block, steps), more)
    count = -(-steps // size)
    padded = jnp.pad(
        inputs.reshape(len(inputs), -1), ((0, (count + 1) * size - len(inputs)), (0, 0))
    )
    blocks = padded.reshape(count + 1, size, -1)
    windows = jnp.concatenate([blocks[:-1], blocks[1:, :more]], axis=1)
    lag = np.arange(size + more) - np.arange(size)[:, None]
    band = weight.astype(inputs.dtype).at[np.where(lag < 0, more + 1, lag)]
    band = jnp.broadcast_to(band.get(mode="fill", fill_value=0), (count, size, size + more))
    h = jnp.einsum("jts,jsn->jtn", band, windows)  # without the broadcast XLA transposes all of it
    return h.reshape(count * size, *inputs.shape[1:])[:steps]


def _check_chunk(steps: int, more: int, time_axis: str) -> None:
    """Raise unless a chunk is long enough for the window of the next one."""
    if steps < more:
        raise ValueError(
            f"a window of {more + 1} steps reaches {more} steps back, but the chunk of a device of "
            f"{time_axis!r} holds {steps}. Shard time over fewer devices."
        )


def _check_window(params: SlidingPSNParams, state: SlidingPSNState) -> None:
    held = state.recent.shape[-1]
    if len(params.weight) != held + 1:
        raise ValueError(
            f"the state holds {held} inputs, for a window of {held + 1} steps; the weights have "
            f"{len(params.weight)}. Use sliding_psn_init(shape, window={len(params.weight)})."
        )
