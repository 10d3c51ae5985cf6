"""Checks of settings, with errors that name the option."""

from __future__ import annotations

import math


def at_least_one(name: str, value: int) -> None:
    """Raise a ValueError unless the field `name` holds an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1; got {value!r}.")


def positive(name: str, value: float) -> None:
    """Raise a ValueError unless the field `name` holds a number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number; got {value!r}.")


def within(name: str, value: float, low: float, high: float, *, open_above: bool = False) -> None:
    """Raise a ValueError unless the field `name` lies in [low, high], or in [low, high)."""
    if not (low <= value < high if open_above else low <= value <= high):
        raise ValueError(
            f"{name} must be in [{low}, {high}{')' if open_above else ']'}; got {value!r}."
        )
