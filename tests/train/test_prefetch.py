from __future__ import annotations

import threading
import time

import pytest

from snnjax.train.prefetch import Prefetch


def test_results_come_in_order_and_ahead() -> None:
    made: list[int] = []
    numbers = iter(range(50))

    def produce() -> int:
        made.append(next(numbers))
        return made[-1]

    with Prefetch(produce, depth=2) as items:
        assert next(items) == 0
        deadline = time.monotonic() + 5
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)
        assert made == [0, 1, 2, 3]  # one taken, two waiting, one in hand
        assert list(items) == list(range(1, 50))
        assert list(items) == []


def test_an_error_is_raised_where_its_result_would_be() -> None:
    items = iter([1, 2])

    def produce() -> int:
        try:
            return next(items)
        except StopIteration:
            raise ValueError("file 3 is bad") from None

    with Prefetch(produce) as feed:
        assert (next(feed), next(feed)) == (1, 2)
        for _ in range(2):
            with pytest.raises(ValueError, match="file 3 is bad"):
                next(feed)


def test_leaving_ends_the_thread() -> None:
    before = threading.active_count()
    with Prefetch(lambda: 1) as feed:
        next(feed)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
