"""Policies for pre and post spikes that fall into the same step.

A policy is a function of the traces of both sides, before and after adding the spikes of this
step, both already decayed. It returns the pre trace that post spikes read, and the post trace that
pre spikes read. Libraries differ in exactly this.
"""

from __future__ import annotations

from collections.abc import Callable

from jax import Array

Coincidence = Callable[[tuple[Array, Array], tuple[Array, Array]], tuple[Array, Array]]


def both(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
    """A coincidence both potentiates and depresses, as in SpikingJelly and norse.

    >>> both((0.0, 0.0), (1.0, 1.0))
    (1.0, 1.0)
    """
    del before
    return after


def neither(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
    """A coincidence has no effect, as in jaxpike, where traces also decay one step less.

    >>> neither((0.0, 0.0), (1.0, 1.0))
    (0.0, 0.0)
    """
    del after
    return before


def potentiate(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
    """A coincidence counts as pre before post: only the post spike reads the other's trace.

    >>> potentiate((0.0, 0.0), (1.0, 1.0))
    (1.0, 0.0)
    """
    return after[0], before[1]


def depress(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
    """A coincidence counts as post before pre: only the pre spike reads the other's trace.

    >>> depress((0.0, 0.0), (1.0, 1.0))
    (0.0, 1.0)
    """
    return before[0], after[1]
