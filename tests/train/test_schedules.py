from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.experiment import ScheduleConfig
from snnjax.train import build_schedule
from snnjax.train.schedules import momentum_schedule


def closed_form(config: ScheduleConfig, peak: float, total: int, t: int) -> float:
    if config.name == "one_cycle":
        top = max(config.warmup * total - 1, 0)
        if t < top:
            return peak * (
                config.start + (1 - config.start) * 0.5 * (1 - math.cos(math.pi * t / top))
            )
        u = (t - top) / (total - 1 - top)
        return peak * (config.end + (1 - config.end) * 0.5 * (1 + math.cos(math.pi * u)))
    warmup = round(config.warmup * total)
    if t < warmup:
        return peak * (config.start + (1 - config.start) * t / warmup)
    if config.name == "cosine":
        u = (t - warmup) / (total - warmup)
        return peak * (config.end + (1 - config.end) * 0.5 * (1 + math.cos(math.pi * u)))
    passed = sum(t >= round(b * total) for b in config.boundaries)
    return peak * config.factor**passed


@pytest.mark.parametrize(
    "config",
    [
        ScheduleConfig(),
        ScheduleConfig(warmup=0.0, end=0.0),
        ScheduleConfig(warmup=0.25, start=0.5, end=0.2),
        ScheduleConfig(name="step"),
        ScheduleConfig(name="step", warmup=0.0, boundaries=(0.6, 0.8)),
        ScheduleConfig(name="step", warmup=0.1, boundaries=(0.25, 0.5, 0.9), factor=0.3),
        ScheduleConfig(name="step", boundaries=()),
        ScheduleConfig(name="one_cycle", warmup=0.3, end=4e-6),
        ScheduleConfig(name="one_cycle", warmup=0.0, end=0.0),
    ],
)
@pytest.mark.parametrize("total", [100, 37])
def test_every_rate_is_the_closed_form(config: ScheduleConfig, total: int) -> None:
    rate = build_schedule(config, 0.1, total)
    got = [float(rate(t)) for t in range(total)]
    want = [closed_form(config, 0.1, total, t) for t in range(total)]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-8)


PYTORCH = [  # (rate, first beta) of OneCycleLR(Adam, max_lr=5e-3, total_steps=10), torch 2.13
    (2.0e-4, 0.95),
    (2.6e-3, 0.9),
    (5.0e-3, 0.85),
    (4.752423160067369e-3, 0.854951556604879),
    (4.0587282697488155e-3, 0.8688255099070633),
    (3.0563101096814462e-3, 0.8888739533021842),
    (1.943709890318554e-3, 0.9111260466978157),
    (9.41291730251185e-4, 0.9311744900929366),
    (2.475968399326314e-4, 0.945048443395121),
    (2.0e-8, 0.95),
]
ONE_CYCLE = ScheduleConfig("one_cycle", warmup=0.3, start=0.04, end=4e-6, every="epoch")


def test_one_cycle_is_that_of_pytorch_and_holds_for_an_epoch() -> None:
    rate = build_schedule(ONE_CYCLE, 5e-3, 70, 7)
    momentum = momentum_schedule(ONE_CYCLE, 0.9, 0.05, 70, 7)
    got = jax.jit(lambda t: jnp.stack([rate(t), momentum(t)], axis=1))(jnp.arange(70))
    np.testing.assert_allclose(got, np.repeat(PYTORCH, 7, axis=0), rtol=2e-6)


def test_a_cosine_by_epochs_is_that_of_pytorch() -> None:
    """CosineAnnealingLR with T_max epochs: peak (1 + cos(pi e / E)) / 2."""
    rate = build_schedule(ScheduleConfig(warmup=0.0, end=0.0, every="epoch"), 0.1, 12, 3)
    want = np.repeat([0.05 * (1 + math.cos(math.pi * e / 4)) for e in range(4)], 3)
    np.testing.assert_allclose([float(rate(t)) for t in range(12)], want, rtol=1e-6)


@pytest.mark.parametrize("epoch_steps", [None, 0, 5])
def test_a_rate_by_epochs_needs_to_know_their_steps(epoch_steps: int | None) -> None:
    with pytest.raises(ValueError, match=f"a divisor of the 12 steps; got {epoch_steps}"):
        build_schedule(ONE_CYCLE, 0.1, 12, epoch_steps)


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_a_run_of_one_step_has_the_peak(name: Literal["cosine", "one_cycle"]) -> None:
    rate = build_schedule(ScheduleConfig(name, warmup=0.9), 0.1, 1)
    assert float(rate(0)) == pytest.approx(0.1)


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="total_steps must be at least 1; got 0"):
        build_schedule(ScheduleConfig(), 0.1, 0)


def test_the_ends_of_warm_up_and_cosine_are_exact() -> None:
    rate = build_schedule(ScheduleConfig(warmup=0.25, start=0.1, end=0.01), 2.0, 100)
    assert float(rate(0)) == pytest.approx(0.2)
    assert float(rate(24)) < float(rate(25)) == pytest.approx(2.0)  # the peak, at t = W
    assert float(rate(26)) < 2.0
    assert float(rate(100)) == pytest.approx(0.02)  # past the last update


def test_a_step_falls_at_its_boundary_and_not_before() -> None:
    rate = build_schedule(ScheduleConfig("step", warmup=0.1, boundaries=(0.5, 0.8)), 1.0, 10)
    got = [round(float(rate(t)), 6) for t in range(10)]
    assert got == [0.04, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]


def test_boundaries_inside_the_warm_up_count_from_its_end() -> None:
    rate = build_schedule(ScheduleConfig("step", warmup=0.5, boundaries=(0.2, 0.4)), 1.0, 10)
    assert float(rate(5)) == pytest.approx(0.01)
