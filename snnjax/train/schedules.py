"""Learning-rate schedules."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from snnjax.experiment import ScheduleConfig


def build_schedule(
    config: ScheduleConfig, peak: float, total_steps: int, epoch_steps: int | None = None
) -> optax.Schedule:
    """The learning rate of update t = 0 .. total_steps - 1.

        W = round(warmup * total)
        warm-up (t < W):  peak * (start + (1 - start) * t / W)
        cosine:           peak * (end + (1 - end) * (1 + cos(pi u)) / 2), u = (t - W) / (total - W)
        step:             peak * factor ** #{boundaries b : t >= round(b * total)}
        one_cycle, t < V: peak * (start + (1 - start) * (1 - cos(pi t / V)) / 2)
          and from V on:  the cosine with u = (t - V) / (total - 1 - V), V = warmup * total - 1 >= 0

    With `every="epoch"`, t and total count epochs. The cycle is that of Smith and
    Topin, "Super-convergence", 2018, with the phases of PyTorch's `OneCycleLR`.

    Args:
      config: form and fractions.
      peak: the rate after warm-up.
      total_steps: updates of the run.
      epoch_steps: updates of an epoch; needed by `every="epoch"` alone.

    Raises:
      ValueError: `total_steps` is below 1, or not a multiple of `epoch_steps`.

    >>> rate = build_schedule(ScheduleConfig("step", warmup=0.0), 1.0, 10)
    >>> [round(float(rate(t)), 3) for t in (0, 5, 6, 8)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if total_steps < 1:
        raise ValueError(f"total_steps must be at least 1; got {total_steps}.")
    if config.every == "epoch":
        if not epoch_steps or total_steps % epoch_steps:
            raise ValueError(
                f"schedule.every='epoch' needs a run of full epochs: epoch_steps, a divisor of the "
                f"{total_steps} steps; got {epoch_steps}. Give `epochs`, or set it to 'step'."
            )
        of_epoch = build_schedule(replace(config, every="step"), peak, total_steps // epoch_steps)
        return lambda t: of_epoch(jnp.asarray(t) // epoch_steps)
    if config.name == "one_cycle":
        return _one_cycle(config, peak, total_steps)
    warmup = min(round(config.warmup * total_steps), total_steps - 1)
    if config.name == "cosine":
        after = optax.cosine_decay_schedule(peak, total_steps - warmup, alpha=config.end)
    else:
        after = _steps(config, peak, total_steps, warmup)
    if warmup == 0:
        return after
    rise = optax.linear_schedule(config.start * peak, peak, warmup)
    return optax.join_schedules([rise, after], [warmup])


def momentum_schedule(
    config: ScheduleConfig, middle: float, swing: float, total_steps: int, epoch_steps: int
) -> optax.Schedule:
    """The momentum of a one_cycle: middle + swing at its ends, middle - swing at its peak.

    >>> rate = momentum_schedule(ScheduleConfig("one_cycle", warmup=0.5), 0.9, 0.05, 5, 1)
    >>> [round(float(rate(t)), 3) for t in (0, 4)]
    [0.95, 0.95]
    """
    height = build_schedule(replace(config, start=0.0, end=0.0), 1.0, total_steps, epoch_steps)
    return lambda t: middle + swing * (1 - 2 * height(t))


def _one_cycle(config: ScheduleConfig, peak: float, total_steps: int) -> optax.Schedule:
    last = total_steps - 1
    top = max(config.warmup * total_steps - 1, 0.0)

    def rate(t: ArrayLike) -> Array:
        rise = jnp.clip(t / top, 0, 1) if top > 0 else 1.0
        fall = jnp.clip((t - top) / (last - top), 0, 1) if last > top else 0.0
        up = config.start + (1 - config.start) * (1 - jnp.cos(jnp.pi * rise)) / 2
        down = config.end + (1 - config.end) * (1 + jnp.cos(jnp.pi * fall)) / 2
        return peak * jnp.where(jnp.asarray(t) <= top, up, down)

    return rate


def _steps(config: ScheduleConfig, peak: float, total_steps: int, warmup: int) -> optax.Schedule:
    """A staircase whose time starts at the end of the warm-up.

    Boundaries inside the warm-up count from its end on.
    """
    scales: dict[int, float] = {}
    for boundary in config.boundaries:
        at = max(round(boundary * total_steps) - warmup, 0)
        scales[at] = scales.get(at, 1.0) * config.factor
    return optax.piecewise_constant_schedule(peak, scales)
