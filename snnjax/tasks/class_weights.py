"""Checks of the weights of classes, which several tasks take."""

from __future__ import annotations


def check_class_weights(weights: tuple[float, ...]) -> None:
    """Raise unless weights, where there are any, are at least 0, and one above it."""
    if weights and not (min(weights) >= 0 < sum(weights)):
        raise ValueError(f"task.class_weights must be at least 0, and one above it; got {weights}.")


def check_weight_count(weights: tuple[float, ...], classes: int) -> None:
    """Raise unless there is a weight for each class, or none at all."""
    if weights and len(weights) != classes:
        raise ValueError(
            f"task.class_weights must have one entry for each of the {classes} classes; got "
            f"{len(weights)}."
        )
