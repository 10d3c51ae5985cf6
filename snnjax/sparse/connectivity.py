"""Sparse connections between populations, with fixed fan-out or in compressed rows."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from snnjax.sparse.events import for_events
from snnjax.surrogates.core import compute_dtype
from snnjax.unroll.unroll import vary_like

CHUNK = 32  # connections of a CSR neuron that are added in one iteration


class FanOut(NamedTuple):
    """Sparse connections with a fixed fan-out F; rows with fewer connections are padded.

    If a neuron has two connections to the same target, both weights apply.
    """

    target: Array  # int32 [N, F], targets in 0..M-1, or M where padded
    weight: Array  # [N, F]


class CSR(NamedTuple):
    """Sparse connections in compressed rows: neuron n has those from start[n] to start[n + 1].

    If a neuron has two connections to the same target, both weights apply.
    """

    start: Array  # int32 [N + 1], from 0 to E, non-decreasing
    target: Array  # int32 [E], in 0..M-1
    weight: Array  # [E]


def random_fan_out(
    key: Array, sources: int, targets: int, fan_out: int, *, weight: ArrayLike = 1.0
) -> FanOut:
    """Random connections: `fan_out` targets per neuron, drawn uniformly and with replacement.

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
    weight = _floating(weight)
    weight = weight[:, None] if weight.ndim == 1 else weight
    return FanOut(jnp.sort(drawn, axis=1), jnp.broadcast_to(weight, drawn.shape))


def fan_out_of(
    source: ArrayLike, target: ArrayLike, weight: ArrayLike, *, sources: int, targets: int
) -> FanOut:
    """A FanOut from a list of E connections (the coordinate form of a sparse matrix); on the host.

    Every row gets the width of the longest. Where fan-outs differ much, use `csr_of`.

    Args:
      source, target: int [E], concrete. weight: [E].
      sources: N. targets: M.

    Raises:
      ValueError: lengths differ, or an index is outside its population.

    >>> fan_out_of([0, 0, 2], [1, 0, 1], [0.5, 2.0, 1.0], sources=3, targets=2).target.tolist()
    [[0, 1], [2, 2], [1, 2]]
    """
    start, target, weight = map(
        np.asarray, csr_of(source, target, weight, sources=sources, targets=targets)
    )
    degree = np.diff(start)
    source = np.repeat(np.arange(sources), degree)
    place = np.arange(target.size) - start[source]
    rows = np.full((sources, max(int(degree.max(initial=0)), 1)), targets, np.int32)
    values = np.zeros(rows.shape, weight.dtype)
    rows[source, place], values[source, place] = target, weight
    return FanOut(jnp.asarray(rows), jnp.asarray(values))


def csr_of(
    source: ArrayLike, target: ArrayLike, weight: ArrayLike, *, sources: int, targets: int
) -> CSR:
    """A CSR from a list of E connections in any order; on the host.

    Args:
      source, target: int [E], concrete. weight: [E].
      sources: N. targets: M.

    Raises:
      ValueError: lengths differ, or an index is outside its population.

    >>> csr_of([2, 0, 0], [1, 1, 0], [1.0, 0.5, 2.0], sources=3, targets=2).start.tolist()
    [0, 2, 2, 3]
    """
    source, target = _integers("source", source), _integers("target", target)
    weight = np.asarray(_floating(weight))
    if not source.shape == target.shape == weight.shape or source.ndim != 1:
        raise ValueError(
            f"`source`, `target` and `weight` must be [E]; got {source.shape}, {target.shape} and "
            f"{weight.shape}."
        )
    _check_inside("source", source, sources)
    order = np.lexsort((target, source))
    start = np.append(0, np.cumsum(np.bincount(source, minlength=sources)))
    return csr_from(start, target[order], weight[order], targets=targets)


def csr_from(start: ArrayLike, target: ArrayLike, weight: ArrayLike, *, targets: int) -> CSR:
    """A CSR from the arrays of a compressed matrix [N, M], checked on the host.

    Args:
      start: int [N + 1], where each row begins (`indptr` in scipy).
      target: int [E], the columns (`indices`). weight: [E] (`data`).
      targets: M.

    Raises:
      ValueError: `start` is not sorted from 0 to E, lengths differ, or a target is outside.

    >>> csr_from([0, 2, 2], [0, 1], [0.5, 1.0], targets=2).target.tolist()
    [0, 1]
    """
    start, target = _check_compressed(start, target, np.shape(weight), targets)
    return CSR(jnp.asarray(start, jnp.int32), jnp.asarray(target, jnp.int32), _floating(weight))


def _check_compressed(
    start: ArrayLike, target: ArrayLike, weights: tuple[int, ...], targets: int
) -> tuple[np.ndarray, np.ndarray]:
    """`start` and `target` on the host, checked; `weights` is the shape of the weights."""
    start, target = _integers("start", start), _integers("target", target)
    if start.ndim != 1 or not start.size or target.ndim != 1 or target.shape != weights:
        raise ValueError(
            f"`start` must be [N + 1], `target` and `weight` [E]; got {start.shape}, "
            f"{target.shape} and {weights}."
        )
    if start[0] != 0 or start[-1] != target.size or (np.diff(start) < 0).any():
        raise ValueError(
            f"`start` must rise from 0 to {target.size}, the number of connections; got "
            f"{start[:8].tolist()}{'...' if start.size > 8 else ''}. Use csr_of for a list of "
            "connections in any order."
        )
    _check_inside("target", target, targets)
    return start, target


def check_connections(connections: FanOut | CSR, targets: int) -> None:
    """Raise for concrete connections that `propagate` would misinterpret.

    Raises:
      ValueError: shapes differ, `start` is not sorted, or a target is outside 0..M (in rows, M
        is padding). TypeError: indices are not integers.
    """
    if isinstance(connections, CSR):
        start, target, weight = connections
        _check_compressed(start, target, weight.shape, targets)
        return
    target = _integers("target", connections.target)
    if target.ndim != 2 or target.shape != connections.weight.shape:
        raise ValueError(
            f"`target` and `weight` must be [N, F]; got {target.shape} and "
            f"{connections.weight.shape}."
        )
    _check_inside("target", target, targets + 1)


def _integers(name: str, index: ArrayLike) -> np.ndarray:
    index = np.asarray(index)
    if index.size and not np.issubdtype(index.dtype, np.integer):
        raise TypeError(f"`{name}` must hold integers; got {index.dtype}.")
    return index.astype(np.int64)


def _floating(weight: ArrayLike) -> Array:
    weight = jnp.asarray(weight)
    return weight if jnp.issubdtype(weight.dtype, jnp.floating) else weight.astype(float)


def _check_inside(name: str, index: np.ndarray, size: int) -> None:
    if index.size and not 0 <= index.min() <= index.max() < size:
        raise ValueError(f"`{name}` must lie in 0..{size - 1}; got {index.min()} to {index.max()}.")


@partial(jax.jit, static_argnames=("targets",))
def propagate(
    spikes: ArrayLike,
    connections: FanOut | CSR,
    *,
    targets: int,
    onto: ArrayLike | None = None,
) -> Array:
    """The input currents of the targets, at a cost proportional to the number of spikes.

        y[m] = onto[m] + sum over n with s[n] != 0, e from n to m of s[n] weight[e]

    Events add their rows of weights by scatter, eight per row of the batch at a time; the number of
    iterations is set by the fullest row, so there is no capacity and no overflow. The derivative
    with respect to the spikes is a gather over all connections, since a surrogate needs it at
    silent neurons too; that with respect to the weights is nonzero only where neurons fired.

    Sums run in float32 at least. Targets are not checked here: see `check_connections`.

    Args:
      spikes: [..., N], floating, binary or graded; with the dtype of the weights.
      connections: targets and weights, in rows of F or compressed.
      targets: M, static.
      onto: currents to add to, [..., M]; None starts from zero.

    Returns:
      [..., M].

    Raises:
      ValueError: shapes do not fit. TypeError: dtypes differ.

    >>> made = fan_out_of([0, 0, 2], [1, 0, 1], [0.5, 2.0, 1.0], sources=3, targets=2)
    >>> propagate(jnp.array([1.0, 0.0, 1.0]), made, targets=2).tolist()
    [2.0, 1.5]
    """
    spikes = jnp.asarray(spikes)
    sources = _sources(connections)
    if spikes.ndim < 1 or spikes.shape[-1] != sources:
        raise ValueError(
            f"`spikes` must be [..., {sources}], one for each row of the connections; got "
            f"{spikes.shape}."
        )
    if not isinstance(connections, CSR) and connections.target.shape != connections.weight.shape:
        raise ValueError(
            f"`target` and `weight` must be [N, F]; got {connections.target.shape} and "
            f"{connections.weight.shape}."
        )
    if spikes.dtype != connections.weight.dtype:
        raise TypeError(
            f"`spikes` and weights must share a dtype; got {spikes.dtype} and "
            f"{connections.weight.dtype}. Cast one of them."
        )
    shape = (*spikes.shape[:-1], targets)
    onto = jnp.zeros(shape, spikes.dtype) if onto is None else jnp.asarray(onto)
    if onto.shape != shape or onto.dtype != spikes.dtype:
        raise ValueError(f"`onto` must be {spikes.dtype} {shape}; got {onto.dtype} {onto.shape}.")
    rows = math.prod(spikes.shape[:-1])
    flat, onto = spikes.reshape(rows, sources), onto.reshape(rows, targets)
    return _propagate(flat, connections, onto).reshape(shape)


def _sources(connections: FanOut | CSR) -> int:
    if isinstance(connections, CSR):
        return len(connections.start) - 1
    return connections.target.shape[0]


@jax.custom_jvp
def _propagate(spikes: Array, connections: FanOut | CSR, onto: Array) -> Array:
    if not connections.target.size:
        return onto
    rows = _csr_rows if isinstance(connections, CSR) else _fan_out_rows
    total = onto.astype(compute_dtype(onto.dtype))
    total = vary_like(total, (spikes, connections))
    return for_events(spikes, partial(rows, connections), total).astype(onto.dtype)


def _fan_out_rows(connections: FanOut, total: Array, n: Array, size: Array) -> Array:
    batch = jnp.arange(len(n))[:, None, None]
    target = connections.target.at[n].get(mode="fill", fill_value=total.shape[1])
    weight = connections.weight.at[n].get(mode="clip").astype(total.dtype)
    return total.at[batch, target].add(size[..., None].astype(total.dtype) * weight, mode="drop")


def _csr_rows(connections: CSR, total: Array, n: Array, size: Array) -> Array:
    """Add rows of any length in chunks, as many as the longest row needs."""
    start, target, weight = connections
    weight = weight.astype(total.dtype)
    batch = jnp.arange(len(n))[:, None, None]
    begin = start.at[n].get(mode="fill", fill_value=0)
    end = start.at[n + 1].get(mode="fill", fill_value=0)
    end = jnp.maximum(begin, end)  # empty for indices past the last neuron

    def chunk(i: Array, total: Array) -> Array:
        e = (begin + i * CHUNK)[..., None] + jnp.arange(CHUNK, dtype=jnp.int32)
        reached = jnp.where(e < end[..., None], target.at[e].get(mode="clip"), total.shape[1])
        current = size[..., None].astype(total.dtype) * weight.at[e].get(mode="clip")
        return total.at[batch, reached].add(current, mode="drop")

    return lax.fori_loop(0, -(-jnp.max(end - begin, initial=0) // CHUNK), chunk, total)


def _edges(connections: FanOut | CSR) -> tuple[Array, Array]:
    """Source and target of every connection, each [E]."""
    target = connections.target.reshape(-1)
    if isinstance(connections, CSR):
        each = jnp.diff(connections.start)
    else:
        each = jnp.full(_sources(connections), connections.target.shape[1])
    source = jnp.arange(_sources(connections))
    return jnp.repeat(source, each, total_repeat_length=target.shape[0]), target


@_propagate.defjvp
def _propagate_jvp(primals, tangents):
    """The tangent, row by row, so that memory holds the connections once and not per row."""
    (spikes, connections, onto), (dspikes, dconnections, donto) = primals, tangents
    source, target = _edges(connections)
    weight, dweight = (c.weight.reshape(-1) for c in (connections, dconnections))

    @partial(jax.checkpoint, prevent_cse=False)
    def row(rows: tuple[Array, Array, Array]) -> Array:
        spikes, dspikes, donto = rows
        carried = dspikes[source] * weight + spikes[source] * dweight
        return donto.at[target].add(carried, mode="drop")

    tangent = lax.map(row, (spikes, dspikes, donto))
    return _propagate(spikes, connections, onto), tangent
