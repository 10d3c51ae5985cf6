"""`fit`: evaluators, and what it refuses of users' own models, data and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.data import DataError, SourceBase, from_arrays
from snnjax.nn import LI, DelayedLinear, Module, RoundedDelays, Sequential
from snnjax.runs import fit
from snnjax.tasks import Classification, Task
from snnjax.train import ContinuousDelays


def net(num_classes: int = 2) -> Sequential:
    return Sequential(
        nnx.Linear(3, num_classes, rngs=nnx.Rngs(0)), LI(num_classes), lambda v: v.mean(0)
    )


def data() -> Any:
    x = np.ones((8, 5, 3), np.float32)
    return from_arrays((x, [0, 1] * 4), (x, [0, 1] * 4), sequences=True)


def run(model: Any, source: Any, task: Task | None = None, **options: Any) -> Any:
    given = {"steps": 2, "batch_size": 4, "mesh": "data=1", "progress": False, **options}
    return fit(model, source, task, compile_cache=False, **given)


class Rows:
    """Samples as a function of their number."""

    skipped, class_names, in_channels, sample_shape = 0, ("a", "b"), 3, None

    def __init__(self, make: Any):
        self.make = make

    def __len__(self) -> int:
        return 8

    def sample(self, i: int, rng: Any) -> dict[str, Any]:
        return self.make(i)

    def name(self, i: int) -> str:
        return str(i)


@dataclass(frozen=True, eq=False)
class Made(SourceBase):
    make: Any = None

    def open(self, split: str) -> Any:
        return Rows(self.make)

    def encode(self, batch: Any, shape: Any, *, key: Any, train: bool) -> Any:
        found = super().encode(batch, shape, key=key, train=train)
        return found | {"x": jnp.swapaxes(found["x"], 0, 1)}


def sample(steps: int = 5, label: Any = 0) -> dict[str, Any]:
    return {"x": np.zeros((steps, 3), np.float32), "label": label}


class Dropped(Module):
    """A model that holds random keys, as a layer of Flax does."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.layer = nnx.Linear(3, 2, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def forward(self, run: Any, x: Any) -> Any:
        return run(self.layer, run(self.dropout, x)).mean(0)


def test_a_model_may_hold_random_keys() -> None:
    model = Dropped()
    before = np.asarray(model.layer.kernel[...])
    found = run(model, data())
    assert np.isfinite(found.result.loss)
    np.testing.assert_array_equal(model.layer.kernel[...], before)
    assert not np.array_equal(found.model.layer.kernel[...], before)


@dataclass(frozen=True)
class Constant:
    value: Any = 0.5

    def run(self, trained: Any, dataset: Any) -> Any:
        return {"constant": self.value}


@dataclass(frozen=True)
class Nothing:
    def run(self, trained: Any, dataset: Any) -> Any:
        return None


def test_evaluators_measure_the_trained_model() -> None:
    assert run(net(), data(), evaluators=(Constant(),)).numbers == {"constant": 0.5}
    with pytest.raises(TypeError, match=r"Constant\.run must return Python numbers; 'constant' is"):
        run(net(), data(), evaluators=(Constant([1]),))
    with pytest.raises(TypeError, match=r"Nothing\.run must return numbers by name; got NoneType"):
        run(net(), data(), evaluators=(Nothing(),))


class Poisson(nnx.Module):
    def __call__(self, x: Any, *, key: Any) -> Any:
        return jax.random.bernoulli(key, x).astype(x.dtype)


def test_a_network_that_draws_its_spikes_is_evaluated() -> None:
    model = Sequential(Poisson(), *net().layers)
    x = np.random.default_rng(0).random((8, 5, 3)).astype(np.float32)
    source = from_arrays((x, [0, 1] * 4), (x, [0, 1] * 4), sequences=True)
    trained = run(model, source, steps=1).trained
    first, again = (trained.evaluate(source.open("test")).loss for _ in range(2))
    assert first == again > 0


class Rounding(RoundedDelays):
    def __init__(self) -> None:
        self.delayed = DelayedLinear(3, 2, max_delay=3, rngs=nnx.Rngs(0))

    def forward(self, run: Any, x: Any) -> Any:
        return run(self.delayed, x, round_delays=self.round_delays and not run.train)


def test_delays_of_a_module_inside_the_model_are_evaluated_continuous() -> None:
    model = Sequential(Rounding(), LI(2), lambda v: v.mean(0))
    x = np.random.default_rng(0).random((8, 5, 3)).astype(np.float32)
    source = from_arrays((x, [0, 1] * 4), (x, [0, 1] * 4), sequences=True)
    found = run(model, source, steps=1, evaluators=(ContinuousDelays(),))
    assert abs(found.numbers["test_loss_continuous"] - found.result.loss) > 1e-5
    undeclared: Any = SimpleNamespace(model=Sequential(model.layers[0].delayed))
    with pytest.raises(ValueError, match=r"need a model with a snnjax\.nn\.RoundedDelays; Sequ"):
        ContinuousDelays().run(undeclared, source.open("test"))


class Plain(nnx.Module):
    def __call__(self, x: Any) -> Any:
        return x


@dataclass(frozen=True)
class Misspelt(Classification):
    goal = "max acuracy"


@dataclass(frozen=True)
class Undirected(Classification):
    goal = "accuracy"


@dataclass(frozen=True)
class Mean(Classification):
    def loss(self, out: Any, target: Any) -> Any:
        sums, counts = super().loss(out, target)
        return sums.mean(), counts.mean()


@dataclass(frozen=True)
class Single(Classification):
    def loss(self, out: Any, target: Any) -> Any:
        return super().loss(out, target)[0]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((net, data), {"optimzer": 1}, r"no option 'optimzer'; did you mean 'optimiser'\?"),
        ((lambda: Sequential, data), {}, r"`model` must be .*Module.* got the class Sequential"),
        (
            (net, lambda: {"x": 1}),
            {},
            r"from_arrays\(\{'x': x, 'label': y\}\), .*\(x, y\); got dict",
        ),
        ((Plain, data), {}, r"`model` must be .*forward\(run, x\); got Plain"),
        ((lambda: net(3), data), {}, r"a model with an output \[B, 2\]; it is \(4, 3\)"),
        ((net, data, Misspelt), {}, r"'max acuracy' of Misspelt names no score .* gives accuracy"),
        ((net, data, Undirected), {}, r"goal of Undirected must be 'max NAME' or 'min NAME'"),
        ((net, data, lambda: Classification), {}, r"task must be an instance .* the class Class"),
        ((net, data, Mean), {}, r"loss of Mean must give a sum and a count for each sample"),
        ((net, data, Single), {}, r"loss of Single must return two arrays \[B\], sums and counts"),
    ],
)
def test_the_impossible_is_refused(arguments: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        run(*(make() for make in arguments), **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda i: sample(5 + i % 2), r"`x` of the samples of a batch must have one shape; got"),
        (lambda i: sample(label=i), r"labels must be in 0\.\.1; sample \d has \d\. Correct"),
        (lambda i: sample(label="a"), r"TypeError: Made\.collate must give .*`label` is <U1\. Cor"),
        (lambda i: {"x": sample()["x"]}, r"classification needs a `label`.* they hold x"),
    ],
)
def test_odd_samples_are_refused(make: Any, message: str) -> None:
    with pytest.raises((DataError, ValueError), match=message):
        run(net(), Made(make=make))


def test_batches_that_do_not_look_alike_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`x` is float32\[1, \d, 3\] in this .* float32\[1, \d"):
        run(net(), Made(make=lambda i: sample(5 + i % 2)), batch_size=1, steps=8)
