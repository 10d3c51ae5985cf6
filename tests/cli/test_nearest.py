from __future__ import annotations

import pytest

from snnjax.cli.nearest import did_you_mean, nearest


@pytest.mark.parametrize(
    ("word", "best"),
    [
        ("--data.sorce", "--data.source"),
        ("--levels", "--model.levels"),
        ("--learning_rate", "--optimiser.learning-rate"),
        ("--epoch", "--epochs"),
    ],
)
def test_the_nearest_option_comes_first(word, best):
    valid = ["--epochs", "--data.source", "--model.levels", "--optimiser.learning-rate", "--seed"]
    assert nearest(word, valid)[0] == best


def test_a_word_like_nothing_lists_all_names():
    assert nearest("qqqq", ["train", "info"]) == []
    assert did_you_mean("qqqq", ["train", "info"]) == "valid names: info, train"


def test_at_most_count_names():
    assert len(nearest("--abc", [f"--abc{i}" for i in range(9)], count=2)) == 2
