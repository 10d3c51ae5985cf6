"""Errors that end training early."""

from __future__ import annotations


class Diverged(FloatingPointError):
    """The loss, the gradient norm or the weights are no longer finite."""
