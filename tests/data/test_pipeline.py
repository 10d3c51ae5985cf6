from __future__ import annotations

import json
import time

import numpy as np
import pytest

from snnjax.data import Batch, SourceBase, batches, steps_per_epoch
from snnjax.data.clouds import Augment, CloudSource, Shapes3D

AUGMENT = Augment("so3", (0.8, 1.0), (0.8, 1.2), shift=0.1, jitter=0.01, drop=0.2, flip=True)
SOURCE = CloudSource("shapes3d", points=64, train_size=50, augment=AUGMENT)


@pytest.fixture(scope="module")
def dataset() -> Shapes3D:
    return SOURCE.open("train")


def _train(dataset, batch_size=8, **options):
    options = {"seed": 3, "train": True} | options
    return batches(dataset, SOURCE, batch_size, **options)


def _same(a: Batch, b: Batch) -> None:
    assert a.keys() == b.keys()
    for name, array in a.items():
        np.testing.assert_array_equal(array, b[name], err_msg=name)


def test_shapes_and_dtypes(dataset):
    batch = next(_train(dataset))
    assert batch["points"].shape == (8, 64, 3)
    assert {name: array.dtype for name, array in batch.items()} == {
        "points": np.float32,
        "count": np.int32,
        "label": np.int32,
        "weight": np.float32,
        "index": np.int32,
    }
    assert batch["label"].tolist() == [dataset.label(i) for i in batch["index"]]
    assert (batch["points"][np.arange(64) >= batch["count"][:, None]] == 0).all()


def test_an_epoch_sees_each_sample_once_and_the_next_in_another_order(dataset):
    it = _train(dataset, epochs=2)
    index = np.array([b["index"] for b in it]).reshape(2, -1)
    assert index.shape == (2, 48)  # 50 samples, 6 full batches
    for epoch in index:
        assert len(set(epoch.tolist())) == 48
    assert (index[0] != index[1]).any()


def test_the_seed_decides_everything(dataset):
    for a, b in zip(_train(dataset, epochs=1), _train(dataset, epochs=1), strict=True):
        _same(a, b)
    other = next(_train(dataset, seed=4))
    assert (other["index"] != next(_train(dataset))["index"]).any()


def test_order_is_that_of_seed_and_epoch_and_draws_that_of_the_position(dataset):
    """Another batch size regroups the same stream of samples."""
    small = [b for _, b in zip(range(6), _train(dataset), strict=False)]
    large = next(_train(dataset, 48))
    np.testing.assert_array_equal(np.concatenate([b["index"] for b in small]), large["index"])
    np.testing.assert_array_equal(np.concatenate([b["count"] for b in small]), large["count"])
    together = np.concatenate([b["points"] for b in small])
    np.testing.assert_allclose(together, large["points"], atol=1e-6)


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
    got = list(batches(dataset, SOURCE, 16, seed=0, train=False))
    assert len(got) == steps_per_epoch(dataset, 16, train=False) == 4
    index = np.concatenate([b["index"] for b in got])
    assert index.tolist() == [*range(50), *[-1] * 14]
    np.testing.assert_array_equal(np.concatenate([b["weight"] for b in got]), index >= 0)
    last = got[-1]
    assert (last["count"][2:] == 0).all()
    assert (last["points"][2:] == 0).all()
    np.testing.assert_array_equal(last["points"][1], dataset.points(49))


class Counts:
    """Sample i holds i; it remembers what was asked for."""

    class_names, in_channels, skipped, sample_shape = (), 1, 0, (1,)

    def __init__(self):
        self.asked: list[int] = []

    def __len__(self):
        return 5

    def sample(self, i, rng):
        self.asked.append(i)
        drawn = {} if rng is None else {"drawn": rng.random(1)}
        return {"x": np.full(1, i, np.float32), **drawn}

    def name(self, i):
        return str(i)


def test_any_dataset_will_do():
    batch = next(batches(Counts(), SourceBase(), 5, seed=0, train=False))
    assert batch["x"].ravel().tolist() == [0, 1, 2, 3, 4]


class Both(SourceBase):
    """Draws once more, from the generators of the samples."""

    def collate(self, samples, rngs):
        batch = super().collate(samples, rngs)
        if rngs is not None:
            batch["later"] = np.stack([rng.random(1) for rng in rngs])
        return batch


def test_a_sample_and_its_batch_draw_from_one_stream_of_seed_epoch_and_position():
    got = list(batches(Counts(), Both(), 2, seed=7, train=True, epochs=2))
    for step, batch in enumerate(got):
        for row in range(2):
            key = (3, step // 2, step % 2 * 2 + row)
            rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(7, spawn_key=key)))
            assert batch["drawn"][row] == rng.random()
            assert batch["later"][row] == rng.random()


def test_copies_of_an_evaluation_are_in_order_and_differ():
    got = list(batches(Counts(), Both(), 5, seed=0, train=False, augment=True, epochs=3))
    assert [batch["x"].ravel().tolist() for batch in got] == [[0, 1, 2, 3, 4]] * 3
    assert len({float(batch["drawn"][0, 0]) for batch in got}) == 3
    plain = next(batches(Counts(), Both(), 5, seed=0, train=False))
    assert "drawn" not in plain
    assert "later" not in plain


@pytest.mark.parametrize("train", [True, False])
def test_rows_of_one_process_are_those_of_the_full_batch(train):
    full, ours = Counts(), Counts()
    rows = np.array([1, 3])
    want = list(batches(full, Both(), 4, seed=1, train=train, epochs=1))
    got = list(batches(ours, Both(), 4, seed=1, train=train, epochs=1, rows=rows))
    for a, b in zip(want, got, strict=True):
        for name in a:
            part = a[name] if name in ("weight", "index") else a[name][rows]
            np.testing.assert_array_equal(b[name], part)
    # of the last batch of an evaluation, which has one sample, it reads that for its shapes only
    assert len(ours.asked) == (2 if train else 3)


class Named(SourceBase):
    def collate(self, samples, rngs):
        return {"index": super().collate(samples, rngs)["x"]}


class Lists(SourceBase):
    def collate(self, samples, rngs):
        return {"x": [sample["x"] for sample in samples]}


class Late(SourceBase):
    def collate(self, samples, rngs):
        return {"x": np.zeros((3, len(samples)))}


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (Named(), ValueError, r"`index` is added to every batch; rename it in Named\.collate"),
        (Lists(), TypeError, r"Lists\.collate must give NumPy arrays of numbers; `x` is list"),
        (Late(), ValueError, r"batch first; `x` of 5 samples has shape \(3, 5\)"),
    ],
)
def test_a_batch_that_is_not_one_is_refused(source, error, message):
    with pytest.raises(error, match=message):
        next(batches(Counts(), source, 5, seed=0, train=False))


def test_a_batch_of_32_clouds_costs_a_few_milliseconds():
    source = CloudSource("shapes3d", train_size=96, augment=AUGMENT)
    it = batches(source.open("train"), source, 32, seed=0, train=True)
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
        ({"prefetch": -1}, "`prefetch` must be at least 0"),
        ({"batch_size": 64}, "fills no batch of 64"),
        ({"epochs": 1, "start_step": 99}, "`start_step` must be in 0..6"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"seed": -1}, "`seed` must be at least 0"),
    ],
)
def test_impossible_requests_are_refused(dataset, arguments, message):
    with pytest.raises(ValueError, match=message):
        _train(dataset, **arguments)
