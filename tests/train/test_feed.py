from __future__ import annotations

import json

import numpy as np
import pytest

from snnjax.data import DataInfo, batches
from snnjax.sharding import parse_mesh
from snnjax.tasks import Classification
from snnjax.train import Session
from snnjax.train.feed import pipelined
from snnjax.train.prefetch import Prefetch
from tests.train.tiny import tiny_experiment

EXPERIMENT = tiny_experiment("runs")


@pytest.fixture(scope="module")
def sessions() -> dict[int, Session]:
    """On one device and on two, with buckets for two."""
    two = Session.open(EXPERIMENT, parse_mesh("data=2")).planned()
    one = Session.open(EXPERIMENT, parse_mesh("data=1")).planned(two.shapes.to_json())
    return {1: one, 2: two}


def test_training_batches_are_those_of_the_pipeline(sessions: dict[int, Session]) -> None:
    session = sessions[2]
    want = batches(session.train_set, EXPERIMENT.data, 16, seed=0, train=True)
    with session.train_feed() as items:
        for _ in range(6):  # beyond the first epoch of four
            item, batch = next(items), next(want)
            assert set(item.batch) == {"points", "count", "label", "weight"}
            for name, array in item.batch.items():
                np.testing.assert_array_equal(array, batch[name])
                assert len(array.sharding.device_set) == 2
            assert item.shape in session.shapes.training.choices
            assert 0.0 <= item.padding < 0.6


def test_a_feed_goes_on_from_the_position_of_any_batch(sessions: dict[int, Session]) -> None:
    """The position belongs to the batch handed out, not to what is prepared ahead of it."""
    with sessions[1].train_feed() as items:
        every = [next(items) for _ in range(7)]
    for step in (0, 2, 5):
        position = json.loads(json.dumps(every[step].position))
        with sessions[1].train_feed(position) as items:
            item = next(items)
        np.testing.assert_array_equal(item.host["index"], every[step + 1].host["index"])
        np.testing.assert_array_equal(item.host["points"], every[step + 1].host["points"])


def test_the_test_split_comes_once_in_order(sessions: dict[int, Session]) -> None:
    session = sessions[2]
    with session.evaluation_feed(session.test_set) as items:
        got = list(items)
    index = np.concatenate([item.host["index"] for item in got])
    weight = np.concatenate([item.host["weight"] for item in got])
    np.testing.assert_array_equal(index, [*range(24), *[-1] * 8])
    np.testing.assert_array_equal(weight, [1] * 24 + [0] * 8)
    assert {item.shape for item in got} == set(session.shapes.evaluation.choices)
    assert all(item.position is None for item in got)


@pytest.mark.parametrize("label", [-1, 12])
def test_a_wrong_label_is_named_with_its_sample(label: int) -> None:
    info = DataInfo(tuple("abcdefghijkl"), 3, 64, 24, 0)
    index = np.array([7, 8, 9], np.int32)
    batch = {"label": np.array([0, label, 11], np.int32), "index": index}
    message = rf"labels must be in 0\.\.11; sample 8 has {label}\. Correct the data"
    with pytest.raises(ValueError, match=message):
        Classification().check_batch(batch, info)
    Classification().check_batch({**batch, "label": np.array([0, 5, 11], np.int32)}, info)


@pytest.mark.parametrize("items", [0, 1, 2, 3, 9])
def test_outputs_come_in_order_and_late(items: int) -> None:
    numbers = iter(range(items))
    launched: list[int] = []

    def launch(item: int) -> int:
        launched.append(item)
        return 10 * item

    with Prefetch(lambda: next(numbers)) as source:
        for done, (item, output) in enumerate(pipelined(source, launch)):  # pyright: ignore
            assert (item, output) == (done, 10 * done)
            assert len(launched) == min(done + 3, items)
    assert launched == list(range(items))
