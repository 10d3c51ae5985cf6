"""Batches prepared by a thread while the device works."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_END = object()


class Prefetch(Generic[T]):
    """Calls `produce` in a thread and yields its results in order, `depth` of them ahead.

    A result must carry whatever its consumer needs to know about it (for instance the state of
    the data iterator behind it): the thread may be several results further. An exception of
    `produce` is raised by the `next` that would have returned its result; `StopIteration` ends
    the iteration.

    >>> numbers = iter(range(3))
    >>> with Prefetch(lambda: next(numbers), depth=2) as items: list(items)
    [0, 1, 2]
    """

    def __init__(self, produce: Callable[[], T], *, depth: int = 2):
        self._produce = produce
        self._items: queue.Queue = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snnjax-prefetch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                item = (self._produce(), None)
            except StopIteration:
                item = (_END, None)
            except BaseException as error:  # noqa: BLE001 - passed to the consumer
                item = (_END, error)
            if not self._put(item) or item[0] is _END:
                return

    def _put(self, item: object) -> bool:
        while not self._stop.is_set():
            try:
                self._items.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item, error = self._items.get()
        if item is _END:
            self._items.put((_END, error))  # a further call ends the same way
            if error is not None:
                raise error
            raise StopIteration
        return item

    def close(self) -> None:
        """Stop the thread; results that were not taken are dropped."""
        self._stop.set()
        self._thread.join(timeout=10.0)

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
