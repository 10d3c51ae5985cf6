from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.data import ArraySource, DataInfo, from_arrays
from snnjax.losses import van_rossum
from snnjax.nn import LI, LIF, Sequential
from snnjax.runs import fit
from snnjax.surrogates import atan
from snnjax.tasks import Regression

T, B, N = 7, 4, 3
RNG = np.random.default_rng(0)
OUT = RNG.normal(size=(T, B, N)).astype(np.float32)
VALUES = RNG.normal(size=(T, B, N)).astype(np.float32)
LENGTHS = np.array([7, 3, 1, 5])
WEIGHT = np.array([1.0, 1, 0, 1], np.float32)
INFO = DataInfo((), N, 8, 8, 0)


def numbers(task: Regression, batch: dict[str, Any]) -> tuple[float, dict[str, float]]:
    """Loss and scores as the loop has them."""
    _, target = task.prepare({"x": OUT, **batch}, key=None, train=True)
    sums, counts = task.loss(jnp.asarray(OUT), target)
    loss = float((WEIGHT * sums).sum() / (WEIGHT * counts).sum())
    return loss, task.summarise(jax.device_get(task.score(jnp.asarray(OUT), target, WEIGHT)), INFO)


@pytest.mark.parametrize("ragged", [True, False])
def test_the_mean_is_over_the_steps_that_count(ragged: bool) -> None:
    batch = {"target": jnp.asarray(VALUES)}
    counted = np.ones((T, B), bool)
    if ragged:
        batch["lengths"] = jnp.asarray(LENGTHS)
        counted = np.arange(T)[:, None] < LENGTHS
    counted = counted * WEIGHT
    want = (((OUT - VALUES) ** 2).mean(-1) * counted).sum() / counted.sum()
    loss, scores = numbers(Regression(), batch)
    assert loss == pytest.approx(want, rel=1e-5)
    assert scores == {"mse": pytest.approx(want, rel=1e-5)}
    assert Regression().goal == "min mse"


def test_the_distance_of_van_rossum_against_a_loop() -> None:
    spikes, other = (RNG.random((2, T, B, N)) < 0.4).astype(np.float32)
    tau, want = 3.0, np.zeros(B)
    trace = np.zeros((B, N))
    for t in range(T):
        trace = np.exp(-1 / tau) * trace + spikes[t] - other[t]
        want += np.where(t < LENGTHS, (trace**2).sum(-1), 0) / tau
    got = van_rossum(spikes, other, tau=tau, lengths=LENGTHS)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert float(van_rossum(spikes, spikes, tau=tau).max()) == 0
    with pytest.raises(ValueError, match=r"must both be \[T, B, ..., N\]"):
        van_rossum(spikes, other[:, :, :2], tau=tau)
    with pytest.raises(ValueError, match="tau must be above 0"):
        van_rossum(spikes, other, tau=0.0)
    batch = {"target": jnp.asarray(VALUES)}
    loss, scores = numbers(Regression("van_rossum", tau=tau), batch)
    assert scores["van_rossum"] == pytest.approx(loss, rel=1e-5)
    assert Regression("van_rossum").goal == "min van_rossum"


def taught_by(population: Any) -> ArraySource:
    """Inputs, and what a teacher with this population makes of them."""
    teacher = Sequential(nnx.Linear(5, 2, rngs=nnx.Rngs(7)), population)
    teacher.layers[0].kernel[...] = 2 * teacher.layers[0].kernel[...]
    x = RNG.random((32, 12, 5)).astype(np.float32)
    target = np.asarray(teacher(None, jnp.swapaxes(x, 0, 1))[1]).swapaxes(0, 1)
    return from_arrays((x, target), (x, target), sequences=True)


def test_membranes_are_learned() -> None:
    """A leaky integrator copies a membrane that another one made."""
    source = taught_by(LI(2, tau=5.0))
    net = Sequential(nnx.Linear(5, 2, rngs=nnx.Rngs(3)), LI(2, tau=5.0))
    found = fit(net, source, Regression(), epochs=30, batch_size=16, learning_rate=0.05,
                mesh="data=1", progress=False)  # fmt: skip
    losses = [row["loss"] for row in found.metrics if row["split"] == "train"]
    assert losses[-1] < 0.1 * losses[0]
    assert found.result.scores["mse"] == pytest.approx(found.result.loss, rel=1e-4)
    best = min(row["mse"] for row in found.metrics if row["split"] == "test")
    assert best <= found.result.scores["mse"]


def test_spike_patterns_are_learned() -> None:
    source = taught_by(LIF(2, tau=5.0))
    net = Sequential(nnx.Linear(5, 2, rngs=nnx.Rngs(3)), LIF(2, tau=5.0, spike=atan))
    found = fit(net, source, Regression("van_rossum"), epochs=30, batch_size=16,
                learning_rate=0.05, mesh="data=1", progress=False)  # fmt: skip
    losses = [row["loss"] for row in found.metrics if row["split"] == "train"]
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Regression("mae"), "task.distance must be 'mse' or 'van_rossum'; got 'mae'"),
        (lambda: Regression(tau=0.0), "task.tau must be above 0"),
        (lambda: Regression().prepare({"x": 1}, key=None, train=True), "needs a `target`"),
        (lambda: numbers(Regression(), {"target": VALUES[:, :, :2]}), "of the same shape"),
    ],
)
def test_the_impossible_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
