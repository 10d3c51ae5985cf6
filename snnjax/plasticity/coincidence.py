"""What a pre and a post spike in one and the same step count for.

A policy is a function of the traces of both sides, before and after they took up the spikes of this
step, both already decayed to it. It returns the pre trace that post spikes read, and the post trace
that pre spikes read. Libraries differ in exactly this.
"""

from __future__ import annotations

from collections.abc import Callable

from jax import Array

Coincidence = Callable[[tuple[Array, Array], tuple[Array, Array]], tuple[Array, Array]]


def both(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
    """A coincidence potentiates and depresses: SpikingJelly, norse.

    >>> both((0.0, 0.0), (1.0, 1.0))
    (1.0, 1.0)
    """
    del before
    return after


def neither(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
    """A coincidence counts for nothing; jaxpike, whose traces are also one step less decayed.

    >>> neither((0.0, 0.0), (1.0, 1.0))
    (0.0, 0.0)
    """
    del after
    return before


def potentiate(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
    """A coincidence counts as pre before post: the post spike sees it, the pre spike does not.

    >>> potentiate((0.0, 0.0), (1.0, 1.0))
    (1.0, 0.0)
    """
    return after[0], before[1]


def depress(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
    """A coincidence counts as post before pre: the pre spike sees it, the post spike does not.

    >>> depress((0.0, 0.0), (1.0, 1.0))
    (0.0, 1.0)
    """
    return before[0], after[1]
