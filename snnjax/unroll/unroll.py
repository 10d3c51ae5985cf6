"""Running a step function over time: one scan for neurons, recurrent cells and full models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

State = Any
Step = Callable[[State, Any], tuple[State, Any]]


def unroll(
    step: Step,
    state: State,
    xs: Any,
    *,
    checkpoint: bool | int = True,
    reverse: bool = False,
    record: Sequence[str] = (),
) -> tuple[State, Any]:
    """Apply `step` to every element of `xs` along time.

        state, out[t] = step(state, xs[t])          t = 0 .. T-1, or T-1 .. 0 with `reverse`

    Values are the same for every setting of `checkpoint`; it determines what reverse mode stores:

    * `True`: the step body is checkpointed. States and inputs are stored; each step runs again in
      the backward pass. For neurons this is faster than storing their intermediate values.
    * `False`: all intermediate values of every step are stored; nothing is recomputed.
    * an int n: time is divided into segments of n steps (the last may be shorter). The states
      between segments are stored; each segment is recomputed in the backward pass. Memory, apart
      from inputs and outputs, is lowest near n = sqrt(T). Apply it to the full model, not layer
      by layer.

    A step that mixes time steps, such as batch norm over T*B in training, cannot be unrolled.

    Args:
      step: `step(state, x) -> (state, out)`, for instance `partial(lif_step, params)`.
      state: initial state, a pytree of arrays.
      xs: inputs [T, ...], a pytree of arrays that share T. A list of numbers, nested or not, is one
        array; a list of arrays is a pytree.
      checkpoint: see above.
      reverse: whether time runs backwards; outputs keep the order of `xs`.
      record: names of state fields to return over time as well, each after its step: "v", or a
        dotted path such as "hidden.v" or "0.v" into a nested state.

    Returns:
      `(last state, out)` with `out` stacked in time, [T, ...]. With `record` given,
      `(last state, (out, records))`, where `records[name]` is stacked too.

    Raises:
      ValueError: T = 0, inputs without or with unequal T, an unknown name in `record`, or a step
        that changes the structure, shapes or dtypes of its state.
      TypeError: a step that does not return a pair; a `checkpoint` that is not a bool or an int.

    Each call traces again; call it inside `jax.jit` when it runs often. Inside `jax.shard_map` the
    state becomes varying over the mesh axes that `xs` varies over.

    >>> last, out = unroll(lambda s, x: (s + x, s), jnp.array(0), jnp.arange(4), checkpoint=2)
    >>> int(last), out.tolist()
    (6, [0, 0, 1, 3])
    """
    xs = time_arrays(xs)
    steps = _length(xs)
    segment = _segment(checkpoint, steps)
    state = jax.tree.map(jnp.asarray, state)
    state = vary_like(state, xs)
    names = _record_names(record, state)

    def body(carry: State, x: Any) -> tuple[State, Any]:
        result = step(carry, x)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"`step` must return a pair (state, out); got {type(result).__name__}.")
        after, out = result
        _check_carry(carry, after)
        if names:
            out = out, {name: _field(after, name) for name in names}
        return after, out

    if checkpoint is True:
        body = jax.checkpoint(body, prevent_cse=False)
    if segment is None:
        return lax.scan(body, state, xs, reverse=reverse)
    return _segments(body, state, xs, steps, segment, reverse)


def _segments(
    body: Step, state: State, xs: Any, steps: int, segment: int, reverse: bool
) -> tuple[State, Any]:
    """Scan over full segments and the shorter last one, each recomputed in the backward pass."""

    def part(carry: State, chunk: Any) -> tuple[State, Any]:
        return lax.scan(body, carry, chunk, reverse=reverse)

    part = jax.checkpoint(part, prevent_cse=False)
    count = steps // segment
    covered = count * segment

    def run_full(carry: State) -> tuple[State, Any]:
        segments = jax.tree.map(lambda x: x[:covered].reshape(count, segment, *x.shape[1:]), xs)
        carry, out = lax.scan(part, carry, segments, reverse=reverse)
        return carry, jax.tree.map(lambda y: y.reshape(covered, *y.shape[2:]), out)

    if covered == steps:
        return run_full(state)
    tail = jax.tree.map(lambda x: x[covered:], xs)
    if reverse:
        state, last = part(state, tail)
        state, first = run_full(state)
    else:
        state, first = run_full(state)
        state, last = part(state, tail)
    return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)


def vary_like(state: State, xs: Any) -> State:
    """The state with the varying mesh axes of `xs`, as a scan inside `shard_map` needs it.

    A fresh state is equal on all devices, but after the first step it differs where its input does,
    and a scan requires a carry of constant type.
    """

    def axes(x: jax.Array) -> frozenset:
        return jax.typeof(x).manual_axis_type.varying

    wanted = frozenset().union(*(axes(x) for x in jax.tree.leaves((state, xs))))

    def cast(x: jax.Array) -> jax.Array:
        missing = tuple(wanted - axes(x))
        return lax.pcast(x, missing, to="varying") if missing else x

    return jax.tree.map(cast, state) if wanted else state


def time_arrays(xs: Any) -> Any:
    """`xs` as arrays, in which a list of numbers, nested or not, is one array.

    >>> jax.tree.map(jnp.shape, time_arrays(([[1, 2], [3, 4], [5, 6]], [jnp.ones(3), jnp.ones(3)])))
    ((3, 2), [(3,), (3,)])
    """
    return jax.tree.map(jnp.asarray, xs, is_leaf=_is_numbers)


def _is_numbers(x: Any) -> bool:
    """Whether `x` is a list of numbers or of such lists: as a pytree it would have no time axis."""
    return (
        isinstance(x, list)
        and bool(x)
        and all(isinstance(i, (int, float, complex, np.generic)) or _is_numbers(i) for i in x)
    )


def _length(xs: Any) -> int:
    """T, the length that all of `xs` share."""
    lengths = {
        jax.tree_util.keystr(path): jnp.shape(x)[0] if jnp.ndim(x) else None
        for path, x in jax.tree_util.tree_flatten_with_path(xs)[0]
    }
    if not lengths:
        raise ValueError("`xs` holds no arrays, so it has no time axis; give inputs [T, ...].")
    if None in lengths.values() or len(set(lengths.values())) > 1:
        found = ", ".join(f"xs{path}: {length}" for path, length in lengths.items())
        raise ValueError(f"all of `xs` must share one leading time axis T; got {found}.")
    steps = next(iter(lengths.values()))
    if not steps:
        raise ValueError(
            "`xs` has T = 0 time steps; at least one is needed. Time is the first axis."
        )
    return steps


def _segment(checkpoint: bool | int, steps: int) -> int | None:
    """The length of a segment, or None for one scan."""
    if isinstance(checkpoint, bool):
        return None
    if not isinstance(checkpoint, int):
        raise TypeError(
            f"`checkpoint` must be True, False or a segment length; got {checkpoint!r}."
        )
    if checkpoint < 1:
        raise ValueError(f"`checkpoint` as a segment length must be at least 1; got {checkpoint}.")
    return min(checkpoint, steps)


def _check_carry(before: State, after: State) -> None:
    """Raise if the step changes the structure, shapes or dtypes of its state."""
    given, got = jax.tree.structure(before), jax.tree.structure(after)
    if given != got:
        raise ValueError(
            f"`step` must keep the structure of the state; given {given}, returned {got}."
        )
    pairs = zip(
        jax.tree_util.tree_flatten_with_path(before)[0], jax.tree.leaves(after), strict=True
    )
    wrong = [
        f"state{jax.tree_util.keystr(path)} went in as {_describe(old)} and came out as "
        f"{_describe(new)}"
        for (path, old), new in pairs
        if _describe(old) != _describe(new)
    ]
    if wrong:
        raise ValueError(
            "`step` must keep the shapes and dtypes of its state: " + "; ".join(wrong) + ". "
            "Make the initial state with the shape of one step of the input and that dtype."
        )


def _describe(x: Any) -> str:
    return f"{jnp.result_type(x).name}{list(jnp.shape(x))}"


def _record_names(record: Sequence[str], state: State) -> tuple[str, ...]:
    if isinstance(record, str):
        raise TypeError(f"`record` must be a tuple of names, such as ({record!r},); got a string.")
    for name in record:
        _field(state, name)
    return tuple(record)


def _field(state: State, path: str) -> Any:
    """The field of `state` at a dotted path."""
    node = state
    for key in path.split("."):
        fields = _children(node)
        if key not in fields:
            known = f"; it has {', '.join(fields)}" if fields else ""
            raise ValueError(f"`record` names {path!r}, but the state has no {key!r}{known}.")
        node = fields[key]
    return node


def _children(node: State) -> dict[str, Any]:
    """The fields of a state by name: a mapping, a named tuple, a dataclass or a sequence."""
    if isinstance(node, dict):
        return {str(key): value for key, value in node.items()}
    if isinstance(node, (tuple, list)):
        names = getattr(node, "_fields", range(len(node)))
        return {str(name): value for name, value in zip(names, node, strict=True)}
    if dataclasses.is_dataclass(node):
        return {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    return {}
