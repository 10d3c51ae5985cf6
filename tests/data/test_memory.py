from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.data import batches, from_arrays

X = np.arange(24.0, dtype=np.float32).reshape(6, 2, 2)
Y = [0, 1, 2, 0, 1, 2]


def test_arrays_come_in_batches() -> None:
    source = from_arrays((X, Y))
    train = source.open("train")
    got = list(batches(train, source, 4, seed=0, train=False))
    np.testing.assert_array_equal(got[0]["x"], X[:4])
    assert got[0]["label"].tolist() == [0, 1, 2, 0]
    assert got[1]["weight"].tolist() == [1, 1, 0, 0]
    assert (train.in_channels, train.sample_shape, train.class_names) == (2, (2, 2), tuple("012"))
    assert train.name(4) == "4"


def test_a_dict_keeps_its_names_and_a_target_is_no_class() -> None:
    source = from_arrays({"x": X, "mask": X[:, 0] > 3, "label": X.mean(axis=(1, 2))})
    batch = next(batches(source.open("train"), source, 6, seed=0, train=False))
    assert batch.keys() == {"x", "mask", "label", "weight", "index"}
    assert batch["label"].dtype == np.float32
    assert source.open("train").class_names == ()


def test_sequences_reach_the_model_time_first() -> None:
    for sequences, want in ((True, (2, 6, 2)), (False, (6, 2, 2))):
        source = from_arrays((X, Y), sequences=sequences)
        got = source.encode(
            {"x": jnp.asarray(X), "label": jnp.asarray(Y)}, None, key=None, train=True
        )
        assert got["x"].shape == want
        assert got.keys() == {"x", "label"}


def test_without_test_arrays_the_training_samples_are_tested_and_it_is_said() -> None:
    alone = from_arrays((X, Y), sequences=False)
    both = from_arrays((X, Y), (X[:2], Y[:2]), sequences=False)
    assert alone.open("test") is alone.open("train")
    assert "those of the training samples" in alone.notices()[0]
    assert len(both.open("test")) == 2
    assert both.notices() == []


def test_samples_that_may_be_sequences_are_noticed() -> None:
    (notice,) = from_arrays((X, Y), (X, Y)).notices()
    assert "x are (2, 2), and the model receives ('B', 2, 2)" in notice
    assert "give sequences=True" in notice
    for x in (X[:, 0], np.zeros((6, 4, 4, 3))):
        assert from_arrays((x, Y), (x, Y)).notices() == []
    assert from_arrays((X, Y), (X, Y), sequences=True).notices() == []


def test_numbers_to_learn_are_a_target_with_its_time_first() -> None:
    """Also where T = B, where nothing else would notice."""
    x, y = np.zeros((6, 6, 3), np.float32), np.arange(72.0).reshape(6, 6, 2)
    source = from_arrays((x, y), sequences=True)
    batch = next(batches(source.open("train"), source, 6, seed=0, train=False))
    got = source.encode({**batch}, None, key=None, train=True)
    assert got.keys() == {"x", "target"}
    np.testing.assert_array_equal(got["target"], y.swapaxes(0, 1))
    one = from_arrays((x, y[:, 0]), sequences=True)  # no time in it
    batch = next(batches(one.open("train"), one, 6, seed=0, train=False))
    np.testing.assert_array_equal(
        one.encode({**batch}, None, key=None, train=True)["target"], y[:, 0]
    )


def test_a_size_spreads_over_the_samples() -> None:
    source = replace(from_arrays((X, Y)), train_size=3)
    np.testing.assert_array_equal(source.open("train").arrays["x"], X[[1, 3, 5]])
    with pytest.raises(ValueError, match="'train' or 'test'"):
        source.open("valid")


def test_classes_are_those_of_both_splits_or_as_named() -> None:
    assert from_arrays((X, Y), (X, [3] * 6)).open("train").class_names == tuple("0123")
    named = from_arrays((X, Y), class_names=("a", "b", "c", "d"))
    assert named.open("test").class_names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("arrays", "options", "error", "message"),
    [
        ((X, Y[:5]), {}, ValueError, r"one N .* `x` is \(6, 2, 2\) and `label` \(5,\)"),
        ((X[:0], []), {}, ValueError, "N of at least 1"),
        ((X, Y, Y), {}, ValueError, r"\(x, y\), or a dict of them; got 3"),
        ({"image": X}, {}, ValueError, r"must have an `x`.* got \['image'\]"),
        ((X, list("abcabc")), {}, TypeError, "`label` must hold numbers; got <U1"),
        ((X, [0, 1, 2, -1, 0, 0]), {}, ValueError, r"in 0\.\.2; sample 3 has -1"),
        ((X, Y), {"class_names": ("a", "b")}, ValueError, r"in 0\.\.1; sample 2 has 2"),
        ((X[:, 0, 0], Y), {"sequences": True}, ValueError, r"x of shape \[N, T, \.\.\.\]"),
    ],
)
def test_arrays_that_cannot_be_served_are_refused(arrays, options, error, message: str) -> None:
    with pytest.raises(error, match=message):
        from_arrays(arrays, **options)
