"""Sparse connections between populations: who reaches whom, with what weight."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from snnjax.sparse.events import event_blocks, nth_events

TOGETHER = 8  # events of a row that one turn of the loop adds


class FanOut(NamedTuple):
    """Every neuron reaches F others; F is the same for all, rows with fewer are padded.

    A neuron that reaches one target twice reaches it with both weights.
    """

    target: Array  # int32 [N, F], targets in 0..M-1, or M where padded
    weight: Array  # [N, F]


def random_fan_out(
    key: Array, sources: int, targets: int, fan_out: int, *, weight: ArrayLike = 1.0
) -> FanOut:
    """Connections to `fan_out` targets drawn for each neuron, uniformly and with replacement.

    Args:
      key: jax.random.key. sources: N. targets: M. fan_out: F.
      weight: a number, [N], [N, 1] or [N, F].

    Returns:
      A FanOut with the targets of each neuron in ascending order.

    >>> made = random_fan_out(jax.random.key(0), 5, 7, 3, weight=0.5)
    >>> made.target.shape, bool((made.target < 7).all()), float(made.weight.sum())
    ((5, 3), True, 7.5)
    """
    for name, count in (("sources", sources), ("targets", targets), ("fan_out", fan_out)):
        if count < 1:
            raise ValueError(f"`{name}` must be at least 1; got {count}.")
    drawn = jax.random.randint(key, (sources, fan_out), 0, targets, jnp.int32)
    weight = jnp.asarray(weight, jnp.float32)
    weight = weight[:, None] if weight.ndim == 1 else weight
    return FanOut(jnp.sort(drawn, axis=1), jnp.broadcast_to(weight, drawn.shape))


def fan_out_of(
    source: ArrayLike, target: ArrayLike, weight: ArrayLike, *, sources: int, targets: int
) -> FanOut:
    """A FanOut from a list of E connections (the coordinate form of a sparse matrix); on the host.

    Args:
      source, target: int [E], concrete. weight: [E].
      sources: N. targets: M.

    Raises:
      ValueError: lengths differ, or an index is outside its population.

    >>> fan_out_of([0, 0, 2], [1, 0, 1], [0.5, 2.0, 1.0], sources=3, targets=2).target.tolist()
    [[0, 1], [2, 2], [1, 2]]
    """
    source, target = (np.asarray(index, np.int64) for index in (source, target))
    weight = np.asarray(weight, np.float32)
    if not source.shape == target.shape == weight.shape or source.ndim != 1:
        raise ValueError(
            f"`source`, `target` and `weight` must be [E]; got {source.shape}, {target.shape} and "
            f"{weight.shape}."
        )
    for name, index, size in (("source", source, sources), ("target", target, targets)):
        if index.size and not 0 <= index.min() <= index.max() < size:
            raise ValueError(
                f"`{name}` must lie in 0..{size - 1}; got {index.min()} to {index.max()}."
            )
    order = np.lexsort((target, source))
    source, target, weight = source[order], target[order], weight[order]
    degree = np.bincount(source, minlength=sources)
    place = np.arange(source.size) - (np.cumsum(degree) - degree)[source]
    rows = np.full((sources, max(int(degree.max(initial=0)), 1)), targets, np.int32)
    values = np.zeros(rows.shape, np.float32)
    rows[source, place], values[source, place] = target, weight
    return FanOut(jnp.asarray(rows), jnp.asarray(values))


@partial(jax.jit, static_argnames=("targets",))
def propagate(spikes: ArrayLike, connections: FanOut, *, targets: int) -> Array:
    """Currents that spikes cause in their targets, at the cost of the spikes.

        y[m] = sum over n with s[n] != 0, f with target[n, f] = m of s[n] weight[n, f]

    Each event adds a row of F weights by scatter; the loop runs as often as the fullest row of
    the batch needs, so there is no capacity and no overflow. The derivative by the spikes is a
    gather over all connections, since a surrogate needs it at silent neurons too; that by the
    weights is not zero at the connections of neurons that fired.

    Args:
      spikes: [..., N], floating, binary or graded; of the dtype of the weights.
      connections: targets and weights, [N, F].
      targets: M, static.

    Returns:
      [..., M].

    >>> made = fan_out_of([0, 0, 2], [1, 0, 1], [0.5, 2.0, 1.0], sources=3, targets=2)
    >>> propagate(jnp.array([1.0, 0.0, 1.0]), made, targets=2).tolist()
    [2.0, 1.5]
    """
    spikes = jnp.asarray(spikes)
    if spikes.ndim < 1 or spikes.shape[-1] != connections.target.shape[0]:
        raise ValueError(
            f"`spikes` must be [..., {connections.target.shape[0]}], one for each row of the "
            f"connections; got {spikes.shape}."
        )
    if spikes.dtype != connections.weight.dtype:
        raise TypeError(
            f"`spikes` and weights must share a dtype; got {spikes.dtype} and "
            f"{connections.weight.dtype}. Cast one of them."
        )
    flat = spikes.reshape(-1, spikes.shape[-1])
    y = _propagate(flat, connections.weight, connections.target, targets)
    return y.reshape(*spikes.shape[:-1], targets)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _propagate(spikes: Array, weight: Array, target: Array, targets: int) -> Array:
    blocks, ends = event_blocks(spikes)
    batch = jnp.arange(len(spikes))[:, None, None]

    def add(turn: Array, total: Array) -> Array:
        n = nth_events(blocks, ends, turn * TOGETHER + jnp.arange(TOGETHER, dtype=jnp.int32))
        size = jnp.take_along_axis(spikes, n, axis=1, mode="fill", fill_value=0)[..., None]
        reached = target.at[n].get(mode="fill", fill_value=targets)
        return total.at[batch, reached].add(size * weight.at[n].get(mode="clip"), mode="drop")

    turns = -(-jnp.max(ends[:, -1], initial=0) // TOGETHER)
    start = jnp.zeros((len(spikes), targets), weight.dtype)
    return lax.fori_loop(0, turns, add, start)


@_propagate.defjvp
def _propagate_jvp(targets, primals, tangents):
    (spikes, weight, target), (dspikes, dweight, _) = primals, tangents
    every = jnp.arange(len(spikes))[:, None, None]
    carried = dspikes[:, :, None] * weight + spikes[:, :, None] * dweight
    dense = jnp.zeros((len(spikes), targets), weight.dtype)
    return _propagate(spikes, weight, target, targets), dense.at[every, target[None]].add(
        carried, mode="drop"
    )
