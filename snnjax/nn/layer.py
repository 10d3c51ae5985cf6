"""The base class of all layers: hints for unknown arguments, and calls past a traversal."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from flax import nnx

from snnjax.nn.neurons.checks import InitSignature, with_hints


class Traversal(Protocol):
    """What notices a call of a layer that does not go through it."""

    def passed(self, layer: Any, named: dict[str, Any]) -> None:
        """Receives the layer and the keyword arguments of the call."""
        ...


_current: ContextVar[Traversal | None] = ContextVar("traversal", default=None)


@contextmanager
def traversing(run: Traversal | None) -> Iterator[None]:
    """Report to `run` the calls of layers inside; None reports them to nobody."""
    token = _current.set(run)
    try:
        yield
    finally:
        _current.reset(token)


class Layer(nnx.Module):
    """Base of layers: an unknown argument of the constructor names the nearest one.

    A call of the layer that the current traversal does not make itself is reported to it.

    >>> class Scale(Layer):
    ...     def __init__(self, factor=1.0):
    ...         self.factor = factor
    >>> Scale(facto=2.0)
    Traceback (most recent call last):
    TypeError: Scale has no argument 'facto'; did you mean 'factor'?
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)
        if "__init__" in own:
            cls.__init__ = with_hints(cls.__init__)
            cls.__signature__ = InitSignature(cls.__init__)
        if "__call__" in own:
            cls.__call__ = _reported(own["__call__"])


def _reported(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps the call of a layer so that the current traversal learns of it."""

    @functools.wraps(call)
    def called(self: Any, *args: Any, **named: Any) -> Any:
        run = _current.get()
        if run is None:
            return call(self, *args, **named)
        run.passed(self, named)
        with traversing(None):
            return call(self, *args, **named)

    return called
