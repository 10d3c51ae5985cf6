from __future__ import annotations

import math

import numpy as np
import pytest

from snnjax.train import ScheduleConfig, build_schedule


def closed_form(config: ScheduleConfig, peak: float, total: int, t: int) -> float:
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
    ],
)
@pytest.mark.parametrize("total", [100, 37])
def test_every_rate_is_the_closed_form(config: ScheduleConfig, total: int) -> None:
    rate = build_schedule(config, 0.1, total)
    got = [float(rate(t)) for t in range(total)]
    want = [closed_form(config, 0.1, total, t) for t in range(total)]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-8)


def test_a_run_of_one_step_has_the_peak() -> None:
    assert float(build_schedule(ScheduleConfig(warmup=0.9), 0.1, 1)(0)) == pytest.approx(0.1)


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
