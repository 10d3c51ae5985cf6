from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.speech import FrontEnd, load_speech
from snnjax.data.speech.commands import halve, list_commands, one_second
from tests.data.speech.files import write_wav


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two words with four files each of half a second, one to test on and one to validate."""
    rng = np.random.default_rng(0)
    for word in ("yes", "no", "_background_noise_"):
        for i in range(4):
            audio = 0.3 * rng.normal(size=8000).clip(-3, 3)
            write_wav(tmp_path / word / f"a{i}_nohash_0.wav", audio, rate=16000)
    (tmp_path / "testing_list.txt").write_text("yes/a0_nohash_0.wav\nno/a0_nohash_0.wav\n")
    (tmp_path / "validation_list.txt").write_text("yes/a1_nohash_0.wav\n")
    return tmp_path


def test_the_lists_decide_the_parts(folder: Path) -> None:
    parts = {part: list_commands(folder, part) for part in ("train", "valid", "test")}
    assert {part: len(x.clips) for part, x in parts.items()} == {"train": 5, "valid": 1, "test": 2}
    names = [{clip.name for clip in x.clips} for x in parts.values()]
    assert not (names[0] & names[1] | names[1] & names[2] | names[0] & names[2])
    assert parts["test"].class_names == ("no", "yes")
    assert [(c.label, c.speaker) for c in parts["test"].clips] == [(1, "a0"), (0, "a0")]


def test_a_recording_becomes_a_second_at_half_the_rate(folder: Path) -> None:
    audio = list_commands(folder, "test").clips[0].read()
    assert audio.shape == (8000,)
    assert np.abs(audio[:4000]).max() > 0.1
    assert not audio[4040:].any()
    test = load_speech(folder, "test", front_end=FrontEnd(channels=20))
    assert test.frames(0).shape == (101, 20)  # T = 101 as published
    assert len(load_speech(folder, "test", validate=True)) == 1


def test_halving_keeps_low_tones_and_removes_high_ones() -> None:
    t = np.arange(16000) / 16000
    for hz, gain in ((100, 1), (3000, 1), (5000, 0), (7900, 0)):
        got = halve(np.cos(2 * np.pi * hz * t))
        assert got.shape == (8000,)
        want = gain * np.cos(2 * np.pi * hz * t[::2])
        np.testing.assert_allclose(got[200:-200], want[200:-200], atol=2e-3)
    assert halve(np.ones(7)).shape == (4,)


def test_hidden_files_are_not_recordings(folder: Path) -> None:
    for path in list(folder.rglob("*_0.wav")):
        path.with_name("._" + path.name).write_bytes(b"\0\5\x16\7")
    (folder / "._yes").mkdir()
    train = list_commands(folder, "train")
    assert (len(train.clips), train.class_names) == (5, ("no", "yes"))
    (folder / "testing_list.txt").write_text("yes/._a0_nohash_0.wav\n")
    with pytest.raises(DataError, match="is not a file in the folder of a word"):
        list_commands(folder, "test")


def test_a_missing_file_of_a_list_can_be_skipped(folder: Path) -> None:
    (folder / "testing_list.txt").write_text("yes/gone.wav\nno/a0_nohash_0.wav\n")
    for part, counts in {"train": (6, 0), "valid": (1, 0), "test": (1, 1)}.items():
        listing = list_commands(folder, part, skip_bad=True)
        assert (len(listing.clips), listing.skipped) == counts
    for spelling in ("./yes/a0_nohash_0.wav", "yes//a0_nohash_0.wav"):  # it would be trained on
        (folder / "testing_list.txt").write_text(spelling + "\n")
        with pytest.raises(DataError, match="is not a file in the folder of a word"):
            list_commands(folder, "train", skip_bad=True)


def test_a_byte_order_mark_is_no_part_of_a_name(folder: Path) -> None:
    path = folder / "testing_list.txt"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(list_commands(folder, "test").clips) == 2


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_a_recording_in_two_lists_or_twice_in_one_is_refused(folder: Path, part: str) -> None:
    (folder / "validation_list.txt").write_text("yes/a1_nohash_0.wav\nno/a0_nohash_0.wav\n")
    with pytest.raises(DataError, match=r"line 2: 'no/a0.* is in testing_list\.txt, line 2, too"):
        list_commands(folder, part)
    (folder / "validation_list.txt").write_text(2 * "yes/a1_nohash_0.wav\n")
    with pytest.raises(DataError, match=r"line 2: .* is listed in line 1 already"):
        list_commands(folder, part)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (
            "yes/gone.wav",
            r"testing_list\.txt, line 1: 'yes/gone\.wav' is listed, but is not a file",
        ),
        ("../x/a.wav", "is listed, but is not a file"),
        ("yes", "'yes' is listed"),
        ("./yes/a0_nohash_0.wav", "not a file in the folder of a word"),  # would be trained on too
        ("yes//a0_nohash_0.wav", "not a file in the folder of a word"),
        ("_background_noise_/a0_nohash_0.wav", "not a file in the folder of a word"),
        ("yes/" + 999 * "a", "not a file in the folder of a word"),
    ],
)
def test_a_list_that_names_no_file_is_refused(folder: Path, listed: str, message: str) -> None:
    (folder / "testing_list.txt").write_text(listed + "\n")
    with pytest.raises(DataError, match=message):
        list_commands(folder, "train")


def test_a_missing_list_or_word_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "validation_list.txt").unlink()
    with pytest.raises(DataError, match=r"there is no validation_list\.txt.*complete archive"):
        list_commands(folder, "train")
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("testing_list.txt", "validation_list.txt"):
        (empty / name).write_text("")
    with pytest.raises(DataError, match="holds no word folders"):
        list_commands(empty, "train")


def test_a_file_of_another_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 8000 samples a second; 16000 are needed"):
        one_second(write_wav(tmp_path / "a.wav", np.zeros(10) + 0.1))
