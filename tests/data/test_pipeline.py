from __future__ import annotations

import json
import time

import numpy as np
import pytest

from snnjax.data import Augment, PointBatch, Shapes3D, batches, steps_per_epoch

AUGMENT = Augment("so3", (0.8, 1.0), (0.8, 1.2), shift=0.1, jitter=0.01, drop=0.2, flip=True)


@pytest.fixture(scope="module")
def dataset() -> Shapes3D:
    return Shapes3D("train", points=64, size=50)


def _train(dataset, **options):
    options = {"points": 64, "seed": 3, "train": True, "augment": AUGMENT} | options
    return batches(dataset, 8, **options)


def _same(a: PointBatch, b: PointBatch) -> None:
    for name, x, y in zip(PointBatch._fields, a, b, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)


def test_shapes_and_dtypes(dataset):
    batch = next(_train(dataset))
    assert isinstance(batch, PointBatch)
    assert batch.points.shape == (8, 64, 3)
    assert [a.dtype for a in batch] == [np.float32, np.int32, np.int32, np.float32, np.int32]
    assert batch.label.tolist() == [dataset.label(i) for i in batch.index]
    assert (batch.points[np.arange(64) >= batch.count[:, None]] == 0).all()


def test_an_epoch_sees_each_sample_once_and_the_next_in_another_order(dataset):
    it = _train(dataset, epochs=2)
    index = np.array([b.index for b in it]).reshape(2, -1)
    assert index.shape == (2, 48)  # 50 samples, 6 whole batches
    for epoch in index:
        assert len(set(epoch.tolist())) == 48
    assert (index[0] != index[1]).any()


def test_the_seed_decides_everything(dataset):
    for a, b in zip(_train(dataset, epochs=1), _train(dataset, epochs=1), strict=True):
        _same(a, b)
    other = next(_train(dataset, seed=4))
    assert (other.index != next(_train(dataset)).index).any()


def test_order_is_that_of_seed_and_epoch_and_draws_that_of_the_position(dataset):
    """Another batch size regroups the same stream of samples."""
    small = [b for _, b in zip(range(6), _train(dataset), strict=False)]
    options = {"points": 64, "seed": 3, "train": True, "augment": AUGMENT}
    large = next(batches(dataset, 48, **options))
    np.testing.assert_array_equal(np.concatenate([b.index for b in small]), large.index)
    np.testing.assert_array_equal(np.concatenate([b.count for b in small]), large.count)
    np.testing.assert_allclose(np.concatenate([b.points for b in small]), large.points, atol=1e-6)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_resumed_iterator_continues_bit_for_bit(dataset, prefetch):
    it = _train(dataset, prefetch=prefetch)
    for _ in range(9):
        next(it)
    state = json.loads(json.dumps(it.get_state()))
    rest = [next(it) for _ in range(5)]
    again = _train(dataset, prefetch=prefetch)
    again.set_state(state)
    for a, b in zip(rest, again, strict=False):
        _same(a, b)
    started = _train(dataset, start_step=9)
    for a, b in zip(rest, started, strict=False):
        _same(a, b)


def test_evaluation_keeps_the_order_and_pads_with_weight_zero(dataset):
    got = list(batches(dataset, 16, points=64, seed=0, train=False))
    assert len(got) == steps_per_epoch(dataset, 16, train=False) == 4
    index = np.concatenate([b.index for b in got])
    assert index.tolist() == [*range(50), *[-1] * 14]
    np.testing.assert_array_equal(np.concatenate([b.weight for b in got]), index >= 0)
    last = got[-1]
    assert (last.count[2:] == 0).all()
    assert (last.points[2:] == 0).all()
    np.testing.assert_array_equal(last.points[1], dataset.points(49))


def test_fewer_points_are_a_fixed_random_subset_in_evaluation(dataset):
    one, two = (next(batches(dataset, 4, points=16, seed=0, train=False)) for _ in range(2))
    _same(one, two)
    assert {tuple(p) for p in one.points[2].tolist()} <= {
        tuple(p) for p in dataset.points(2).tolist()
    }


class _Bare:
    """A data set with nothing but the protocol."""

    class_names, in_channels, skipped = ("a", "b"), 4, 0

    def __len__(self):
        return 5

    def points(self, i):
        return np.full((i * 3, 4), i / 10, np.float32)

    def label(self, i):
        return i % 2


def test_any_point_dataset_will_do():
    batch = next(batches(_Bare(), 5, points=8, seed=0, train=False))
    assert batch.count.tolist() == [0, 3, 6, 8, 8]
    np.testing.assert_allclose(batch.points[4], 0.4)
    assert batch.label.tolist() == [0, 1, 0, 1, 0]


def test_a_batch_of_32_clouds_costs_a_few_milliseconds():
    dataset = Shapes3D("train", size=96)
    it = batches(dataset, 32, points=1024, seed=0, train=True, augment=AUGMENT)
    next(it)
    spent = []
    for _ in range(12):
        start = time.process_time()
        next(it)
        spent.append(time.process_time() - start)
    assert np.median(spent) < 0.015  # 3.5 ms on a free core; the margin is for busy machines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"points": 0}, "`points` must be at least 1"),
        ({"prefetch": -1}, "`prefetch` must be at least 0"),
        ({"batch_size": 64}, "fills no batch of 64"),
        ({"epochs": 1, "start_step": 99}, "`start_step` must be in 0..6"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"seed": -1}, "`seed` must be at least 0"),
    ],
)
def test_impossible_requests_are_refused(dataset, arguments, message):
    options = {"batch_size": 8, "points": 64, "seed": 0, "train": True} | arguments
    with pytest.raises(ValueError, match=message):
        batches(dataset, **options)
