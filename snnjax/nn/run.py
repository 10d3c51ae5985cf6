"""The traversal of a model, which passes states, keys, options and counts to its parts."""

from __future__ import annotations

import functools
import inspect
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from snnjax.metrics import LayerActivity
from snnjax.nn.counting import count_inputs, own_matrices
from snnjax.nn.found import Found, Seen, Watched, numbered, split_arrays
from snnjax.nn.layer import Layer, traversing
from snnjax.nn.neurons.checks import nearest
from snnjax.nn.neurons.population import Population
from snnjax.nn.paths import below, join, unnumbered
from snnjax.nn.remat import Remat, kept_by
from snnjax.nn.stateful import Stateful
from snnjax.nn.states import (
    State,
    check_depth,
    check_same,
    check_state,
    names_of,
    other_batch,
    shapes_of,
)
from snnjax.nn.statistics import check_summed, unsummed


class Composite(Layer):
    """Base of composite modules, which a `Run` traverses; derive from `Module` instead."""

    rematerialised: ClassVar[bool] = False
    """Whether `remat` keeps only the inputs of this module and recomputes the rest."""

    def forward(self, run: Run, *inputs: Any, **named: Any) -> Any:
        """What the module computes: a subclass writes it with `run(self.part, x)`."""
        raise NotImplementedError(
            f"{type(self).__name__} must define forward(self, run, x), which calls its parts as "
            "run(self.part, x)."
        )


@dataclass(frozen=True)
class Options:
    """The static options of one traversal.

    Attributes:
      train, axis_name, record, remat: as in `Module.__call__`.
      resting: keep the resting states instead of the last ones.
      taps: paths of layers whose results are kept, with ":field" for states over time.
      watch: keep every layer call with its arguments, see `Watched`.
    """

    train: bool = False
    axis_name: str | None = None
    record: bool = False
    remat: Remat = "none"
    resting: bool = False
    taps: frozenset[str] = frozenset()
    watch: bool = False


def traverse(
    model: Composite,
    state: State | None,
    inputs: tuple,
    named: dict[str, Any],
    options: Options,
    key: Array | None,
) -> tuple[Any, Found]:
    """Run a model once; returns its output and a `Found`."""
    check_state(model, state)
    _check_named(model, named)
    run = Run(model, state, options, key)
    with traversing(run):
        out = model.forward(run, *inputs, **named)
    return out, run.close()


@dataclass(eq=False)
class Run:
    """One traversal of a network; created by `Module.__call__` and valid only during that call.

    `run(layer, x)` calls a part of the module: a layer with state, one without, another `Module`,
    or a plain function.

    Attributes:
      root: what is traversed. given: its states, None at rest.
      options, key: see `Module.__call__`.
      prefix: path of the root in the full model.
    """

    root: nnx.Module
    given: State | None
    options: Options
    key: Array | None
    prefix: str = ""
    _paths: dict[int, str] = field(default_factory=dict)
    _calls: dict[str, int] = field(default_factory=dict)
    _state: State = field(default_factory=dict)
    _activity: list[LayerActivity] = field(default_factory=list)
    _seen: list[Seen] = field(default_factory=list)
    _watched: list[Watched] = field(default_factory=list)
    _inner: set[str] = field(default_factory=set)
    _inside: str = ""
    _open: bool = True

    def __post_init__(self) -> None:
        self._inside = self.prefix
        for path, module in nnx.iter_modules(self.root):
            self._paths[id(module)] = join(self.prefix, *map(str, path))

    @property
    def train(self) -> bool:
        """Whether the run is in training mode."""
        return self.options.train

    def __call__(self, layer: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
        """The output of a part of the module.

        Args:
          layer: a part, or a plain function.
          inputs: its inputs, without the state.
          named: its options, apart from those that the run passes on.
        """
        if not isinstance(layer, nnx.Module):
            return layer(*inputs, **named)
        path = self._path(layer)
        outside, self._inside = self._inside, path
        with jax.named_scope(path.removeprefix(below(outside))):
            if isinstance(layer, Composite):
                out = self._compose(layer, path, inputs, named)
            elif isinstance(layer, Stateful):
                out = self._advance(layer, path, inputs, named)
            else:
                out = self._apply(layer, path, inputs, named)
        self._inside = outside
        return out

    def close(self) -> Found:
        """End the traversal and return what it collected."""
        self._open = False
        if self.given is not None and (extra := sorted(set(self.given) - set(self._calls))):
            raise ValueError(
                f"the state holds {', '.join(map(repr, extra))}, which {type(self.root).__name__} "
                f"does not call with a state; its own are {names_of(self._state)}. Pass the state "
                "that this model returned, or None to start at rest."
            )
        if self.options.record:
            self._warn_of_uncounted()
        return Found(self._state, tuple(self._activity), tuple(self._seen), tuple(self._watched))

    def passed(self, layer: nnx.Module, named: dict[str, Any]) -> None:
        """Warn of a part that `forward` calls itself, where that changes what it computes."""
        path = self._paths.get(id(layer))
        if path is None:
            return
        if isinstance(layer, Composite | Stateful):
            lost = "its state is neither continued nor returned"
        elif self.train and "train" in parameters_of(type(layer)).difference(named):
            lost = "it computes as it does outside training"
        else:
            return
        warnings.warn(
            f"{path!r}, a {type(layer).__name__}, was called past the run, so that {lost}. Write "
            "run(self.layer, x) in place of self.layer(x).",
            stacklevel=3,
        )

    def scan(self, block: Composite, count: int, inputs: tuple, named: dict[str, Any]) -> Any:
        """The output of `count` consecutive blocks, whose arrays are stacked in `block`."""
        path = self._inside
        graphdef, params, rest = nnx.split(block, nnx.Param, ...)
        states = self._under(path)
        check_depth(states, count)
        per_layer = (
            None if states is None else jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0), states)
        )
        keys = None
        if self.key is not None:
            keys = jax.vmap(functools.partial(jax.random.fold_in, self.key))(jnp.arange(count))
        taps, again = unnumbered(self.options.taps, path), self._recomputes(block)
        options = replace(self.options, taps=taps, remat="none" if again else self.options.remat)

        def body(x: Any, layer: tuple[Any, Any, Any, Any]) -> tuple[Any, Any]:
            params, rest, states, key = layer
            own = nnx.merge(graphdef, params, rest)
            inner = Run(own, states, options, key, path)
            with traversing(inner):
                out = own.forward(inner, x, *inputs[1:], **named)
            check_same(type(block).__name__, x, out)
            return out, (_changed(own, rest), inner.close())

        if again:
            body = jax.checkpoint(body, policy=kept_by(self.options.remat))
        layers = nnx.as_pure(params), nnx.as_pure(rest), per_layer, keys
        out, (after, found) = jax.lax.scan(body, inputs[0], layers)
        if self.train:  # nothing else changes variables
            nnx.update(block, after)
        states = jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1), found.state)
        activity, seen, watched = (numbered(items, path, count) for items in found[1:])
        seen = [entry for entry in seen if entry.name in self.options.taps]
        self._absorb(path, Found(states, tuple(activity), tuple(seen), tuple(watched)))
        return out

    def _path(self, layer: nnx.Module) -> str:
        if not self._open:
            raise ValueError(
                f"{type(layer).__name__} was called through a run that has ended; a run lives "
                "inside one call of the model. Take the `run` that `forward` was given."
            )
        path = self._paths.get(id(layer))
        if path is None:
            raise ValueError(
                f"{type(layer).__name__} is not a part of {type(self.root).__name__}, so its state "
                "cannot be stored. Make it in __init__, as an attribute or in an nnx.List."
            )
        return path

    def _compose(self, module: Composite, path: str, inputs: tuple, named: dict[str, Any]) -> Any:
        if self._recomputes(module):
            out = self._checkpointed(module, path, inputs, named)
        else:
            out = module.forward(self, *inputs, **named)
        self._note(path, out)
        return out

    def _advance(self, layer: Stateful, path: str, inputs: tuple, named: dict[str, Any]) -> Any:
        if path in self._calls:
            raise ValueError(
                f"{path!r}, a {type(layer).__name__}, is called twice in one traversal, and holds "
                "one state. Make a layer for each place."
            )
        self._calls[path] = 1
        state = self._state_of(layer, path, inputs)
        fields = tuple(
            tap[len(path) + 1 :] for tap in self.options.taps if tap.startswith(path + ":")
        )
        options = self._options(layer, path) | named | ({"record": fields} if fields else {})
        try:
            after, out = self._call(layer, path, (state, *inputs), options)
        except (TypeError, ValueError) as error:
            fits = state is None or shapes_of(state) == shapes_of(
                jax.eval_shape(layer.rest_for, *inputs)
            )
            if fits or "state" in str(error):  # the layer's message is already specific
                raise
            raise other_batch(path, layer, state, inputs) from error
        if state is not None and shapes_of(after) != shapes_of(state):  # broadcast, most likely
            raise other_batch(path, layer, state, inputs)
        if fields:
            out, records = out
            for name in fields:
                self._note(f"{path}:{name}", records[name])
        if self.options.resting:
            after = layer.rest_for(*inputs)
        if jax.tree.leaves(after):
            self._state[path] = after
        self._note(path, (after, out))
        self._count(layer, path, inputs, named, state, out)
        return out

    def _apply(self, layer: Any, path: str, inputs: tuple, named: dict[str, Any]) -> Any:
        out = self._call(layer, path, inputs, self._options(layer, path) | named)
        self._calls[path] = self._calls.get(path, 0) + 1
        self._note(path, out)
        self._count(layer, path, inputs, named, None, out)
        return out

    def _call(self, layer: Any, path: str, args: tuple, options: dict[str, Any]) -> Any:
        if self.options.watch:
            arrays, rebuild = split_arrays((args, options))
            graphdef, variables = nnx.split(layer)
            kind = type(layer).__name__
            self._watched.append(Watched(variables, arrays, path, kind, graphdef, rebuild))
        axis = self._unsummed_axis(layer)
        before = unsummed(layer, axis) if axis else {}
        try:
            with traversing(None):
                out = layer(*args, **options)
        except (TypeError, ValueError) as error:
            if type(error) in (TypeError, ValueError):
                raise type(error)(f"{path}: {error}") from error
            raise
        if axis:
            check_summed(path, layer, before, axis)
        return out

    def _unsummed_axis(self, layer: Any) -> str | None:
        """The axis of several devices over which a layer in training does not sum, if any."""
        axis = self.options.axis_name if self.options.train else None
        if axis is None or "axis_name" in parameters_of(type(layer)):
            return None
        return axis if jax.lax.psum(1, axis) > 1 else None

    def _state_of(self, layer: Stateful, path: str, inputs: tuple) -> Any:
        """The state of a layer; None at rest."""
        if self.given is None:
            return None
        if path not in self.given and jax.tree.leaves(jax.eval_shape(layer.rest_for, *inputs)):
            raise ValueError(
                f"the state lacks {path!r}, a {type(layer).__name__}; it holds "
                f"{names_of(self.given)}. Pass the state that this model returned, or None to "
                "start at rest."
            )
        return self.given.get(path)

    def _options(self, layer: Any, path: str) -> dict[str, Any]:
        """The options that the run passes to a layer, by the names of its signature."""
        train, taken = self.options.train, parameters_of(type(layer))
        known = {
            "train": train,
            "axis_name": self.options.axis_name,
            "use_running_average": not train,
            "deterministic": not train,
        }
        options = {name: value for name, value in known.items() if name in taken}
        for name in ("key", "rngs"):
            if name in taken and self.key is not None:
                options[name] = self._key_of(path)
        return options

    def _key_of(self, path: str) -> Array:
        key = jax.random.fold_in(cast(Array, self.key), zlib.crc32(path.encode()))
        calls = self._calls.get(path, 0)
        return jax.random.fold_in(key, calls) if calls else key

    def _note(self, path: str, value: Any) -> None:
        if path in self.options.taps:
            self._seen.append(Seen(value, path))

    def _count(
        self, layer: Any, path: str, inputs: tuple, named: dict[str, Any], state: Any, out: Any
    ) -> None:
        if not self.options.record:
            return
        found = count_inputs(layer, path, *inputs, state=state, out=out, **named)
        if found is None:
            raise ValueError(
                f"{path!r}, a {type(layer).__name__}, cannot be counted: it does not declare "
                "how many operations its products take. Register a function for it with "
                "@snnjax.nn.count_inputs.register, as in docs/extending.md."
            )
        self._activity += found

    def _warn_of_uncounted(self) -> None:
        """Warn of layers with matrices that were not called through the run."""
        called = self._calls.keys() | self._inner
        for module, path in ((m, self._paths[id(m)]) for _, m in nnx.iter_modules(self.root)):
            if isinstance(module, Composite | Population) or not own_matrices(module):
                continue
            if not any(path == known or path.startswith(below(known)) for known in called):
                warnings.warn(
                    f"{path!r}, a {type(module).__name__} with weights, was not called through "
                    "the run. If the model uses it, write run(self.layer, x) in place of "
                    "self.layer(x): its operations are not counted.",
                    stacklevel=2,
                )

    def _recomputes(self, module: Composite) -> bool:
        return module.rematerialised and self.options.remat != "none"

    def _checkpointed(
        self, module: Composite, path: str, inputs: tuple, named: dict[str, Any]
    ) -> Any:
        """The output of a module that is rematerialised in the backward pass."""
        graphdef, params, rest = nnx.split(module, nnx.Param, ...)
        arrays, rebuild = split_arrays((inputs, named))
        options = replace(self.options, remat="none")

        def pure(params: Any, rest: Any, states: Any, key: Any, arrays: list[Any]) -> Any:
            own, (inputs, named) = nnx.merge(graphdef, params, rest), rebuild(arrays)
            inner = Run(own, states, options, key, path)
            with traversing(inner):
                out = own.forward(inner, *inputs, **named)
            return out, _changed(own, rest), inner.close()

        again = jax.checkpoint(pure, policy=kept_by(self.options.remat))
        pieces = nnx.as_pure(params), nnx.as_pure(rest), self._under(path), self.key, arrays
        out, after, found = again(*pieces)
        nnx.update(module, after)
        self._absorb(path, found)
        return out

    def _under(self, path: str) -> State | None:
        """The given states below a path; the caller consumes them."""
        if self.given is None:
            return None
        return {name: state for name, state in self.given.items() if name.startswith(below(path))}

    def _absorb(self, path: str, found: Found) -> None:
        """Merge what the run of the module at `path` collected."""
        self._inner.add(path)
        for path in found.state:
            if path in self._state:
                raise ValueError(f"{path!r} is called twice in one traversal, and holds one state.")
        self._state |= found.state
        self._calls |= dict.fromkeys(found.state, 1)
        self._activity += found.activity
        self._seen += found.seen
        self._watched += found.watched


def _check_named(model: Composite, named: dict[str, Any]) -> None:
    """Raise for an option that neither a call of the model nor its `forward` takes."""
    own = inspect.signature(type(model).forward).parameters
    if any(p.kind is p.VAR_KEYWORD for p in own.values()):
        return
    for name in named:
        if name not in own:
            known = [*list(own)[2:], "train", "key", "axis_name", "record", "remat"]
            raise TypeError(
                f"a call of {type(model).__name__} takes no {name!r}; {nearest(name, known)}"
            )


@functools.cache
def parameters_of(layer: type) -> frozenset[str]:
    """Names of the parameters of a layer's call."""
    return frozenset(inspect.signature(layer.__call__).parameters)


def _changed(module: nnx.Module, before: Any) -> Any:
    """The non-parameter arrays of a module that differ from those of `before`."""
    known = dict(nnx.to_flat_state(before))
    rest: Any = nnx.as_pure(nnx.split(module, nnx.Param, ...)[2])
    after = nnx.to_flat_state(rest)
    return nnx.from_flat_state([(path, leaf) for path, leaf in after if leaf is not known[path]])
