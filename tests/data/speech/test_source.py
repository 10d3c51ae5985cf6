from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.data import DataInfo, Layout, batches
from snnjax.data.speech import FrontEnd, SpeechAugment, SpeechSource, load_speech
from tests.data.speech.files import digit_folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> SpeechSource:
    folder = digit_folder(tmp_path_factory.mktemp("digits"))
    return SpeechSource(str(folder), steps=30, front_end=FrontEnd(channels=8))


def test_a_source_opens_what_the_reader_reads(digits: SpeechSource) -> None:
    train, test = digits.open("train"), replace(digits, test_size=5).open("test")
    want = load_speech(digits.path, "train", front_end=digits.front_end)
    np.testing.assert_array_equal(train.flat, want.flat)
    assert DataInfo.of(train, test) == DataInfo(want.class_names, 8, 24, 5, 0, None)
    assert train.name(3) == want.names[3]
    other = replace(digits, held_out="bob").open("test")
    assert set(other.speakers) == {"bob"}
    with pytest.raises(ValueError, match="'train' or 'test'; got 'valid'"):
        digits.open("valid")


def test_sequences_come_in_batches_of_a_fixed_length(digits: SpeechSource) -> None:
    """What fills a batch up is silence, so it does not depend on the other samples."""
    train = digits.open("train")
    for steps, length in ((30, 21), (16, 16)):
        source = replace(digits, steps=steps)
        got = next(batches(train, source, 4, seed=0, train=True))
        assert got["frames"].shape == (4, steps, 8)
        assert got["frames"].dtype == np.float32
        assert got["lengths"].tolist() == [length] * 4
        for row, i in enumerate(got["index"]):
            np.testing.assert_array_equal(got["frames"][row, :length], train.frames(i)[:length])
        assert not got["frames"][:, length:].any()
        assert source.shapes(train, train, None, Layout(4)).padding(got, None) == 1 - length / steps


def test_random_changes_repeat_and_move_the_lengths(digits: SpeechSource) -> None:
    source = replace(digits, augment=SpeechAugment(time_shift=2))
    train = source.open("train")
    moved = [next(batches(train, source, 8, seed=0, train=True, start_step=1)) for _ in range(2)]
    np.testing.assert_array_equal(moved[0]["frames"], moved[1]["frames"])
    assert set(moved[0]["lengths"].tolist()) > {21}
    still = next(batches(train, source, 8, seed=0, train=False))
    assert set(still["lengths"].tolist()) == {21}


def test_the_model_receives_time_first_and_the_lengths(digits: SpeechSource) -> None:
    batch = next(batches(digits.open("test"), digits, 4, seed=0, train=False))
    device = {name: jnp.asarray(array) for name, array in batch.items()}
    got = digits.encode(device, None, key=None, train=False)
    assert got.keys() == {"x", "lengths", "label"}
    np.testing.assert_array_equal(got["x"], batch["frames"].swapaxes(0, 1))
    np.testing.assert_array_equal(got["lengths"], batch["lengths"])


def test_a_file_is_a_sample_without_a_label(digits: SpeechSource) -> None:
    path = next((Path(digits.path) / "recordings").glob("1_ann_*.wav"))
    batch = digits.collate([digits.read(path)], None)
    assert batch.keys() == {"frames", "lengths"}
    train = digits.open("train")
    if path.stem in train.names:
        i = train.names.index(path.stem)
    else:
        train = digits.open("test")
        i = train.names.index(path.stem)
    np.testing.assert_array_equal(batch["frames"][0, :21], train.frames(i))


def test_truncated_sequences_are_noticed(digits: SpeechSource) -> None:
    splits = digits.open("train"), digits.open("test")
    assert digits.notices(*splits) == []
    [line] = replace(digits, steps=20).notices(*splits)
    assert line == (
        "36 of 36 sequences have more than data.steps = 20 frames and are truncated; the longest "
        "has 21."
    )


def test_validation_is_left_for_the_test_part(digits: SpeechSource) -> None:
    chosen = replace(digits, validate=True)
    assert chosen.for_testing() == digits
    with pytest.raises(ValueError, match="no validation part"):
        digits.for_testing()


def test_sequences_have_no_copies_to_vote(digits: SpeechSource) -> None:
    with pytest.raises(ValueError, match="SpeechSource has no random changes for them"):
        digits.for_voting()


def test_shapes_survive_their_file(digits: SpeechSource) -> None:
    shapes = digits.shapes(None, digits.open("test"), None, Layout(4))
    assert digits.shapes_from_json(shapes.to_json(), None, Layout(4)) == shapes
    with pytest.raises(ValueError, match="speech batches need a `silence`"):
        digits.shapes_from_json({"training": {}}, None, Layout(4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"data\.steps must be an integer of at least 1; got 0"),
        ({"train_size": 0}, r"data\.train_size must be"),
        (
            {"front_end": FrontEnd("mel_db"), "augment": SpeechAugment(time_mask=2)},
            "not silence in dB",
        ),
    ],
)
def test_impossible_settings_are_refused(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpeechSource(**options)
