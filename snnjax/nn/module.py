"""Composite modules: the base class of models."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.nn.bounded import Bounded
from snnjax.nn.found import split_arrays
from snnjax.nn.parallel import rules_of
from snnjax.nn.remat import REMATS, Remat
from snnjax.nn.run import Composite, Options, Run, State, traverse
from snnjax.nn.stateful import forgotten_state
from snnjax.sharding import Rules


class Module(Composite):
    """A composite module: a subclass defines only its submodules and its `forward`.

    `forward` calls its parts through `run`, which gives each its state and keeps the next one,
    passes on the train flag, the mesh axis and a random key to the layers that take them, and
    counts what weighted layers receive on request.

    >>> from snnjax.nn import LIF
    >>> class Net(Module):
    ...     def __init__(self, *, rngs):
    ...         self.fc, self.neurons = nnx.Linear(3, 4, rngs=rngs), LIF(4)
    ...     def forward(self, run, x):
    ...         return run(self.neurons, run(self.fc, x))
    >>> net, x = Net(rngs=nnx.Rngs(0)), jnp.ones((5, 2, 3))
    >>> state, spikes = net(None, x)
    >>> spikes.shape, {path: leaf.v.shape for path, leaf in state.items()}
    ((5, 2, 4), {'neurons': (2, 4)})
    >>> _, (spikes, activity) = net(state, x, record=True)
    >>> [layer.name for layer in activity]
    ['fc']
    """

    def __call__(
        self,
        state: State | None,
        *inputs: Any,
        train: bool = False,
        key: Array | None = None,
        axis_name: str | None = None,
        record: bool = False,
        remat: Remat = "none",
        **named: Any,
    ) -> tuple[State, Any]:
        """Run the module over a sequence.

        Args:
          state: the state an earlier call returned, to continue its sequence; None starts at rest.
          inputs, named: what `forward` takes, in most cases x [T, B, ..., C].
          train: normalise by this batch, and apply dropout.
          key: typed random key, for layers that draw. Each folds in its own path, so that a new
            layer changes the draws of no other.
          axis_name: mesh axis over which norms sum their statistics.
          record: also return what each weighted layer received.
          remat: what is kept for the backward pass, see `snnjax.nn.Remat`; only with `train`.

        Returns:
          The states after the last step, and what `forward` returns; with `record` a pair of it and
          a tuple of `snnjax.metrics.LayerActivity`.

        Raises:
          ValueError: the state belongs to another model (the error names its paths), a part is
            called twice or is not a part, or a weighted layer cannot be counted. TypeError: the
            state is missing.
        """
        if not inputs:
            raise forgotten_state(self)
        options = Options(train, axis_name, record, check_remat(self, remat, train))
        out, found = traverse(self, state, inputs, named, options, key)
        return found.state, ((out, found.activity) if record else out)

    def init_state(self, *inputs: Any, **named: Any) -> State:
        """The resting state for inputs of these shapes and dtypes: what `state=None` means.

        >>> from snnjax.nn import LIF, Sequential
        >>> sorted(Sequential(LIF(2), LIF(2)).init_state(jnp.ones((1, 3, 2))))
        ['layers.0', 'layers.1']
        """
        shapes, rebuild = split_arrays((inputs, named))

        def resting() -> State:
            inputs, named = rebuild([jnp.zeros(x.shape, x.dtype) for x in shapes])
            return traverse(self, None, inputs, named, Options(resting=True), None)[1].state

        return jax.jit(resting)()

    def at_epoch(self, epoch: ArrayLike, epochs: int) -> None:
        """Update scheduled values before an epoch; by default those of the modules inside.

        A subclass that overrides it and holds other modules with a schedule calls
        `super().at_epoch(epoch, epochs)`.
        """
        for module in modules_inside(self):
            module.at_epoch(epoch, epochs)

    @property
    def silent_steps(self) -> int:
        """Silent steps that must follow a sample, so that late arrivals reach the output.

        By default the sum over the modules inside, which suffices when one follows another.
        """
        return sum(module.silent_steps for module in modules_inside(self))

    def constrain(self) -> None:
        """Clip bounded parameters, such as delays, after an update."""
        for _, module in nnx.iter_modules(self):
            if isinstance(module, Bounded):
                module.clamp()

    def tensor_rules(self) -> Rules:
        """Sharding rules over the mesh axis "model", as declared by the layers; see `pair`."""
        return rules_of(self)


class Sequential(Module):
    """A chain of layers; plain functions, such as `jax.nn.relu`, may be layers too.

    >>> from snnjax.nn import LIF
    >>> net = Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), LIF(3), lambda z: z.mean(0))
    >>> net(None, jnp.ones((4, 5, 2)))[1].shape
    (5, 3)
    """

    def __init__(self, *layers: Callable[..., Any]):
        self.layers = nnx.List(layers)

    def forward(self, run: Run, x: Any) -> Any:
        for layer in self.layers:
            x = run(layer, x)
        return x


def modules_inside(model: nnx.Module) -> list[Module]:
    """The modules inside a model, without those that lie inside another of them.

    >>> from snnjax.nn import LIF
    >>> inner = Sequential(Sequential(LIF(2)))
    >>> modules_inside(Sequential(inner, LIF(2))) == [inner]
    True
    """
    found: dict[tuple[Any, ...], Module] = {}
    for path, module in sorted(nnx.iter_modules(model), key=lambda item: len(item[0])):
        inside = any(path[: len(outer)] == outer for outer in found)
        if path and isinstance(module, Module) and not inside:
            found[path] = module
    return list(found.values())


def inputs_of(model: Module, given: dict[str, Any]) -> dict[str, Any]:
    """The subset of named inputs that a model's `forward` accepts."""
    known = inspect.signature(type(model).forward).parameters
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return given
    return {name: value for name, value in given.items() if name in known}


def check_remat(model: nnx.Module, remat: Remat, train: bool) -> Remat:
    """The `remat` of a call; raises for an unknown one, or one that has no effect in training."""
    if remat not in REMATS:
        raise ValueError(f"remat must be one of {', '.join(REMATS)}; got {remat!r}.")
    if not train:
        return "none"
    modules = (module for _, module in nnx.iter_modules(model))
    if remat != "none" and not any(isinstance(m, Module) and m.rematerialised for m in modules):
        raise ValueError(
            f"{type(model).__name__} has no module with rematerialised = True, so that remat="
            f"{remat!r} would change nothing. Set it in the class of a block, or leave remat at "
            "'none'."
        )
    return remat
