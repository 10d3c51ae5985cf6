"""Update rules as optax chains."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import jax
import optax

from snnjax.experiment import OptimiserConfig
from snnjax.sharding import parameter_path

REST = "rest"


def decay_mask(params: Any) -> Any:
    """True for the leaves that weight decay shrinks: those with two axes or more.

    Norm scales and shifts, biases and neuron constants are vectors or scalars, kernels are not.
    """
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


def build_optimiser(
    config: OptimiserConfig,
    schedule: optax.Schedule,
    group_schedules: Sequence[optax.Schedule] = (),
    momentum: optax.Schedule | None = None,
) -> optax.GradientTransformation:
    """Clip, precondition, decay and scale, in the order of the rule.

        clip:   g <- g * min(1, clip_norm / |g|)
        adamw:  u = adam(g) + weight_decay * w        (decoupled)
        adam:   u = adam(g + weight_decay * w)        (coupled, as in PyTorch)
        sgd:    u = momentum(g + weight_decay * w)    (coupled, as in PyTorch)
        w <- w - rate(t) * u

    The parameters of a group take the same rule with a rate and a decay of their own; the clipped
    norm is the global one.

    Args:
      config: rule and constants.
      schedule: rate(t).
      group_schedules: rate(t) of each of `config.groups`.
      momentum: first-moment decay at t, of adamw and adam outside groups; None takes the config's.
    """
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm > 0 else []
    rest = _rule(config, config.weight_decay, schedule, momentum)
    if not config.groups:
        return optax.chain(*clip, *rest)
    rules: dict[Hashable, Any] = {REST: optax.chain(*rest)}
    for i, (group, own) in enumerate(zip(config.groups, group_schedules, strict=True)):
        rules[str(i)] = optax.chain(*_rule(config, group.weight_decay, own))
    labels = partial(group_labels, [group.pattern for group in config.groups])
    return optax.chain(*clip, optax.partition(rules, labels))


def group_labels(patterns: Sequence[str], params: Any) -> Any:
    """For each parameter the number, as text, of the first pattern found in its path, or REST.

    Raises:
      ValueError: a pattern matches no path.

    >>> group_labels(["delay"], {"a": {"weight": 0, "delay": 0}})
    {'a': {'delay': '0', 'weight': 'rest'}}
    """
    paths = [parameter_path(keys) for keys, _ in jax.tree.leaves_with_path(params)]
    for pattern in patterns:
        if not any(re.search(pattern, path) for path in paths):
            raise ValueError(
                f"optimiser.groups: no parameter has {pattern!r} in its path; the paths are "
                f"{', '.join(paths)}."
            )

    def label(path: str) -> str:
        found = (str(i) for i, pattern in enumerate(patterns) if re.search(pattern, path))
        return next(found, REST)

    return jax.tree.unflatten(jax.tree.structure(params), [label(path) for path in paths])


def _rule(
    config: OptimiserConfig,
    weight_decay: float,
    schedule: optax.Schedule,
    momentum: optax.Schedule | None = None,
) -> list[optax.GradientTransformation]:
    """Precondition, decay and scale; see `build_optimiser`."""
    decay = [optax.add_decayed_weights(weight_decay, mask=decay_mask)] if weight_decay > 0 else []
    if config.name != "sgd":
        adam = _adam(config, momentum)
        rule = [adam, *decay] if config.name == "adamw" else [*decay, adam]
    else:
        trace = optax.trace(config.momentum, nesterov=config.nesterov)
        rule = [*decay, *([trace] if config.momentum > 0 else [])]
    return [*rule, optax.scale_by_learning_rate(schedule)]


def _adam(config: OptimiserConfig, momentum: optax.Schedule | None) -> optax.GradientTransformation:
    def adam(b1: Any) -> optax.GradientTransformation:
        return optax.scale_by_adam(b1=b1, nesterov=config.nesterov)

    if momentum is None:
        return adam(config.momentum)
    return optax.inject_hyperparams(adam)(b1=momentum)
