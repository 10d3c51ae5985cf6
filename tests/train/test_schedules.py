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
