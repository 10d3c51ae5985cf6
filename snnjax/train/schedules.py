"""Learning rates over a run."""

from __future__ import annotations

import optax

from snnjax.train.experiment import ScheduleConfig


def build_schedule(config: ScheduleConfig, peak: float, total_steps: int) -> optax.Schedule:
    """The learning rate of update t = 0 .. total_steps - 1.

        W = round(warmup * total)
        warm-up (t < W):  peak * (start + (1 - start) * t / W)
        cosine:           peak * (end + (1 - end) * (1 + cos(pi u)) / 2), u = (t - W) / (total - W)
        step:             peak * factor ** #{boundaries b : t >= round(b * total)}

    Args:
      config: form and fractions.
      peak: the rate after warm-up.
      total_steps: updates of the run.

    >>> rate = build_schedule(ScheduleConfig("step", warmup=0.0), 1.0, 10)
    >>> [round(float(rate(t)), 3) for t in (0, 5, 6, 8)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if total_steps < 1:
        raise ValueError(f"total_steps must be at least 1; got {total_steps}.")
    warmup = min(round(config.warmup * total_steps), total_steps - 1)
    if config.name == "cosine":
        after = optax.cosine_decay_schedule(peak, total_steps - warmup, alpha=config.end)
    else:
        after = _steps(config, peak, total_steps, warmup)
    if warmup == 0:
        return after
    rise = optax.linear_schedule(config.start * peak, peak, warmup)
    return optax.join_schedules([rise, after], [warmup])


def _steps(config: ScheduleConfig, peak: float, total_steps: int, warmup: int) -> optax.Schedule:
    """A staircase whose time starts at the end of the warm-up.

    Boundaries inside the warm-up count from its end on.
    """
    scales: dict[int, float] = {}
    for boundary in config.boundaries:
        at = max(round(boundary * total_steps) - warmup, 0)
        scales[at] = scales.get(at, 1.0) * config.factor
    return optax.piecewise_constant_schedule(peak, scales)
