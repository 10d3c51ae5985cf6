"""Batches of pictures from the iterator that all kinds share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnjax.data import batches
from snnjax.data.images import ImageAugment, ImageSource

CHANGE = ImageAugment(crop=2, flip=True, operations=1, erase=0.5)


@pytest.fixture
def source(folder: Path) -> ImageSource:
    return ImageSource(str(folder), image_size=(6, 6), augment=CHANGE)


def test_evaluation_fills_the_last_batch(source: ImageSource) -> None:
    train = source.open("train")
    first, last = batches(train, source, 3, seed=0, train=False)
    np.testing.assert_array_equal(first["image"], train.images[:3])
    np.testing.assert_array_equal(last["image"][0], train.images[3])
    assert not last["image"][1:].any()
    assert last["weight"].tolist() == [1, 0, 0]
    assert last["index"].tolist() == [3, -1, -1]


def test_training_is_resumed_at_any_step(source: ImageSource) -> None:
    train = source.open("train")
    run = batches(train, source, 2, seed=1, train=True)
    seen = [next(run) for _ in range(6)]
    again = batches(train, source, 2, seed=1, train=True, start_step=3)
    for expected in seen[3:]:
        found = next(again)
        assert found.keys() == {"image", "label", "weight", "index"}
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])
    other = next(batches(train, source, 2, seed=2, train=True))
    assert any((other[name] != seen[0][name]).any() for name in ("index", "image"))


def test_rows_of_one_process_are_those_of_the_full_batch(source: ImageSource) -> None:
    train = source.open("train")
    full = next(batches(train, source, 4, seed=1, train=True))
    part = next(batches(train, source, 4, seed=1, train=True, rows=np.array([1, 3])))
    np.testing.assert_array_equal(part["image"], full["image"][[1, 3]])
    np.testing.assert_array_equal(part["index"], full["index"])


def test_copies_that_vote_differ(source: ImageSource) -> None:
    voting = replace(source, augment=ImageAugment(crop=3)).for_voting()
    test = voting.open("test")
    a, b = (next(batches(test, voting, 2, seed=s, train=False, augment=True)) for s in (0, 1))
    assert a["index"].tolist() == b["index"].tolist() == [0, 1]
    assert (a["image"] != b["image"]).any()
