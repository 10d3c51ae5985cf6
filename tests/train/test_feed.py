from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from snnjax.data import batches
from snnjax.data.clouds import load_dataset
from snnjax.sharding import parse_mesh
from snnjax.train import feed
from snnjax.train.feed import check_labels, pipelined, train_feed
from snnjax.train.prefetch import Prefetch
from tests.train.tiny import tiny_experiment

EXPERIMENT = tiny_experiment("runs")


@pytest.fixture(scope="module")
def parts() -> tuple[Any, Any, Any]:
    train_set = load_dataset("shapes3d", "train", points=64, size=64)
    test_set = load_dataset("shapes3d", "test", points=64, size=24)
    plan = scan(EXPERIMENT.data, train_set, test_set, depth=2, seed=0, devices=2)
    return train_set, test_set, plan


def test_training_batches_are_those_of_the_pipeline(parts: tuple[Any, Any, Any]) -> None:
    train_set, _, plan = parts
    config = EXPERIMENT.data
    want = batches(train_set, 16, points=64, seed=0, train=True, augment=config.augment)
    with train_feed(EXPERIMENT, train_set, plan, parse_mesh("data=2"), None) as items:
        for _ in range(6):  # beyond the first epoch of four
            item, batch = next(items), next(want)
            for name, array in item.batch._asdict().items():
                np.testing.assert_array_equal(array, getattr(batch, name))
                assert len(array.sharding.device_set) == 2
            assert item.capacities in plan.training.choices
            assert 0.0 <= item.waste < 0.6


def test_a_feed_goes_on_from_the_position_of_any_batch(parts: tuple[Any, Any, Any]) -> None:
    """The position belongs to the batch handed out, not to what is prepared ahead of it."""
    train_set, _, plan = parts
    with train_feed(EXPERIMENT, train_set, plan, parse_mesh("data=1"), None) as items:
        whole = [next(items) for _ in range(7)]
    for step in (0, 2, 5):
        position = json.loads(json.dumps(whole[step].position))
        with train_feed(EXPERIMENT, train_set, plan, parse_mesh("data=1"), position) as items:
            item = next(items)
        np.testing.assert_array_equal(item.host.index, whole[step + 1].host.index)
        np.testing.assert_array_equal(item.host.points, whole[step + 1].host.points)


def test_the_test_split_comes_once_in_order(parts: tuple[Any, Any, Any]) -> None:
    _, test_set, plan = parts
    with feed.evaluation_feed(EXPERIMENT, test_set, plan.evaluation, parse_mesh("data=2")) as items:
        got = list(items)
    index = np.concatenate([item.host.index for item in got])
    weight = np.concatenate([item.host.weight for item in got])
    np.testing.assert_array_equal(index, [*range(24), *[-1] * 8])
    np.testing.assert_array_equal(weight, [1] * 24 + [0] * 8)
    assert {item.capacities for item in got} == set(plan.evaluation.choices)
    assert all(item.position is None for item in got)


@pytest.mark.parametrize("label", [-1, 12])
def test_a_wrong_label_is_named_with_its_sample(label: int) -> None:
    batch = PointBatch(
        np.zeros((3, 4, 3), np.float32),
        np.full(3, 4, np.int32),
        np.array([0, label, 11], np.int32),
        np.ones(3, np.float32),
        np.array([7, 8, 9], np.int32),
    )
    message = rf"labels must be in 0\.\.11; sample 8 has {label}\. Correct the data"
    with pytest.raises(ValueError, match=message):
        check_labels(batch, 12)
    check_labels(batch._replace(label=np.array([0, 5, 11], np.int32)), 12)


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
