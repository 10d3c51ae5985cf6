from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from snnjax.data import DataInfo, Layout, SourceBase, Static, check_finite, from_arrays
from snnjax.data.source import stack


def test_equal_samples_are_stacked() -> None:
    batch = stack([{"x": np.full((2, 3), i, np.uint8), "label": i} for i in range(4)])
    assert batch["x"].shape == (4, 2, 3)
    assert batch["x"].dtype == np.uint8
    assert batch["label"].dtype == np.int32


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([{"x": np.ones(2)}, {"x": np.ones(3)}], r"`x` .* one shape; got \(2,\) and \(3,\)\. Pad"),
        ([{"x": np.ones(2)}, {"x": np.ones(2), "label": 0}], r"got \['x'\] and \['label', 'x'\]"),
    ],
)
def test_samples_that_do_not_fit_together_are_refused(samples, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SourceBase().collate(samples, None)


@dataclass(frozen=True)
class Own(SourceBase):
    """Nothing but its name."""


def test_defaults_say_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="Own must define open"):
        Own().open("train")
    with pytest.raises(ValueError, match="Own cannot read single files; define read"):
        Own().read("a.txt")
    with pytest.raises(ValueError, match="Own has no random changes for them"):
        Own().for_voting()
    with pytest.raises(ValueError, match="Own has no validation part"):
        Own().for_testing()
    with pytest.raises(ValueError, match=r"data\.train_size must be an integer .* got 0"):
        Own(train_size=0)
    assert Own(train_size=3, test_size=2).size("test") == 2


def test_batches_that_look_alike_have_one_shape() -> None:
    source, layout = Own(), Layout(8)
    shapes = source.shapes(None, from_arrays(([1.0], [0])).open("test"), None, layout)
    batch = {"x": np.ones((8, 2)), "index": np.arange(8)}
    assert shapes.choose(batch, train=True) is shapes.fit(batch) is None
    assert shapes.padding(batch, None) == 0.0
    assert shapes.serves(Layout(3, devices=3))
    assert source.shapes_from_json(shapes.to_json(), None, layout) == Static()
    with pytest.raises(ValueError, match=r"batches of Own all have one shape; got \{'a': 1\}"):
        source.shapes_from_json({"a": 1}, None, layout)


def test_the_model_receives_all_but_weight_and_index() -> None:
    batch = {"x": 1, "mask": 2, "label": 3, "weight": 4, "index": 5}
    got = Own().encode(batch, None, key=None, train=True)  # pyright: ignore[reportArgumentType]
    assert got == {"x": 1, "mask": 2, "label": 3}


def test_splits_that_do_not_belong_together_are_named() -> None:
    source = from_arrays((np.zeros((4, 3)), [0, 1, 0, 1]), (np.zeros((2, 3)), [1, 0]))
    train, test = source.open("train"), source.open("test")
    assert DataInfo.of(train, test) == DataInfo(("0", "1"), 3, 4, 2, 0, (3,))
    other = from_arrays((np.zeros((2, 5, 3)), [1, 0])).open("test")
    with pytest.raises(ValueError, match=r"differ in sample_shape: \(3,\) and \(5, 3\)"):
        DataInfo.of(train, other)
    with pytest.raises(ValueError, match=r"the test split is empty; check data\.path"):
        DataInfo.of(train, test.take(np.arange(0)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named_by_their_samples(bad: float) -> None:
    batch = {
        "x": np.zeros((4, 2, 2), np.float32),
        "label": np.arange(4),
        "index": np.array([7, 8, 9, 3]),
        "weight": np.ones(4, np.float32),
    }
    check_finite(batch, "test")
    batch["x"][1, 0, 1] = batch["x"][3, 1, 1] = bad
    with pytest.raises(ValueError, match=r"`x` of the training split .* by their index: 8, 3\."):
        check_finite(batch, "training")
    rows = np.array([2, 3])
    part = batch | {"x": batch["x"][rows]}
    with pytest.raises(ValueError, match=r"by their index: 3\."):
        check_finite(part, "training", rows)


def test_large_values_are_finite() -> None:
    batch = {"x": np.full((2, 3), np.finfo(np.float64).max), "index": np.arange(2)}
    check_finite(batch, "test")  # though their sum is not


def test_sizes_can_be_replaced() -> None:
    assert replace(Own(), test_size=3).size("train") is None
