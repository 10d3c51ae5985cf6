from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.speech import load_speech
from snnjax.data.speech.digits import list_digits
from tests.data.speech.files import digit_folder, tone, write_wav

NAMES = np.array(["ann", "bob"])


def packed(folder: Path, **changes) -> Path:
    """Three recordings of 3, 4 and 5 samples, with some arrays changed or (None) left out."""
    arrays = {
        "audio": np.arange(12, dtype=np.int16) * 1000,
        "offset": np.array([0, 3, 7, 12], np.int32),
        "digit": np.array([4, 0, 9], np.uint8),
        "speaker": np.array([1, 0, 1], np.uint8),
        "take": np.array([5, 6, 7], np.uint8),
        "speaker_names": NAMES,
        "sample_rate": np.array(8000),
    }
    arrays = {name: a for name, a in {**arrays, **changes}.items() if a is not None}
    np.savez(folder / "train.npz", **arrays)
    return folder


def test_file_names_say_digit_speaker_and_part(tmp_path: Path) -> None:
    folder = digit_folder(tmp_path, digits=2, takes=(0, 4, 5, 49))
    train, test = (list_digits(folder, part) for part in ("train", "test"))
    assert [clip.name for clip in test.clips] == [
        f"{digit}_{who}_{take}" for digit in (0, 1) for who in ("ann", "bob") for take in (0, 4)
    ]
    assert {clip.name[-1] for clip in train.clips} == {"5", "9"}
    assert [(c.label, c.speaker) for c in train.clips[:3]] == [(0, "ann"), (0, "ann"), (0, "bob")]
    assert train.rate == 8000
    read = {clip.name: clip.read() for clip in train.clips}
    np.testing.assert_allclose(read["1_bob_49"], tone(1, 149), atol=1e-4)


def test_a_packed_part_is_cut_into_its_recordings(tmp_path: Path) -> None:
    clips = list_digits(packed(tmp_path), "train").clips
    assert [(c.label, c.speaker, c.name) for c in clips] == [
        (4, "bob", "4_bob_5"),
        (0, "ann", "0_ann_6"),
        (9, "bob", "9_bob_7"),
    ]
    np.testing.assert_allclose(clips[1].read(), np.arange(3, 7) * 1000 / 32768)
    assert clips[1].read().dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"take": None}, "has no array `take`; it needs audio, offset"),
        ({"audio": np.zeros(12, np.float32)}, r"`audio` must be int16 \[samples\]; got float32"),
        ({"audio": np.zeros((12, 1), np.int16)}, r"got int16 \(12, 1\)"),
        ({"offset": np.array([0, 3, 7, 13])}, "`offset` must rise from 0 to the 12 samples"),
        ({"offset": np.array([0, 7, 3, 12])}, "`offset` must rise"),
        ({"offset": np.array([0.0, 3, 7, 12])}, r"`offset` must be integers \[N \+ 1\]"),
        ({"offset": np.array([0, 3, 3, 12])}, "recording 1 holds no samples"),
        ({"digit": np.array([4, 0, 10])}, "recording 2 has digit 10 and speaker 1"),
        ({"speaker": np.array([2, 0, 1])}, "recording 0 has digit 4 and speaker 2"),
        ({"digit": np.array([4, 0])}, r"`digit` must be integers \[3\]; got int64 \(2,\)"),
        ({"digit": np.array([4.0, 0, 9])}, "`digit` must be integers"),
        ({"sample_rate": np.array(16000)}, "`sample_rate` must be 8000; got 16000"),
        ({"sample_rate": np.array("8 kHz")}, "`sample_rate` must be 8000; got 8 kHz"),
        ({"sample_rate": np.array(np.nan)}, "`sample_rate` must be 8000; got nan"),
        ({"speaker_names": np.array([["ann", "bob"]])}, r"`speaker_names` must be .* \(1, 2\)"),
        ({"speaker_names": np.arange(2)}, "`speaker_names` must be strings"),
    ],
)
def test_a_malformed_pack_is_refused_by_array(tmp_path: Path, changes, message: str) -> None:
    with pytest.raises(DataError, match=rf"train\.npz.*{message}.*Fix"):
        list_digits(packed(tmp_path, **changes), "train")


def test_names_may_be_bytes_and_a_part_that_is_not_packed_is_missed(tmp_path: Path) -> None:
    """Recordings beside the archive of one part are not taken for the other."""
    folder = packed(tmp_path, speaker_names=np.array([b"ann", b"bob"]))
    write_wav(folder / "4_bob_0.wav", tone(4, 0))
    assert {c.speaker for c in list_digits(folder, "train").clips} == {"ann", "bob"}
    with pytest.raises(DataError, match=r"test\.npz: cannot be read"):
        load_speech(folder, "test")


def test_a_truncated_pack_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path) / "train.npz"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="truncated or damaged"):
        list_digits(tmp_path, "train")


def test_a_name_that_says_nothing_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "seven.wav", tone(1, 0))
    with pytest.raises(DataError, match=r"seven\.wav.*<digit>_<speaker>_<take>\.wav"):
        list_digits(tmp_path, "train")


def test_a_recording_in_both_packs_or_twice_in_one_is_refused(tmp_path: Path) -> None:
    packed(tmp_path, take=np.array([5, 6, 7], np.uint8))
    (tmp_path / "train.npz").rename(tmp_path / "test.npz")
    packed(tmp_path, speaker=np.array([1, 0, 0], np.uint8))
    for part in ("train", "test"):
        with pytest.raises(DataError, match=r"test\.npz: recording 0 .* of recording 0 of train"):
            list_digits(tmp_path, part)
    twice = {"digit": np.array([4, 4, 9]), "speaker": np.ones(3, int), "take": np.array([5, 5, 5])}
    packed(tmp_path, **twice)
    with pytest.raises(
        DataError, match=r"train\.npz: recording 1 .* of recording 0: \(4, 'bob', 5"
    ):
        list_digits(tmp_path, "train")


def test_two_files_of_one_take_are_refused(tmp_path: Path) -> None:
    for name in ("7_ann_6.wav", "7_ann_06.wav"):
        write_wav(tmp_path / name, tone(1, 0))
    with pytest.raises(DataError, match=r"is the same digit, speaker and take as 7_ann_06\.wav"):
        list_digits(tmp_path, "train")


def test_bad_recordings_of_a_pack_can_be_skipped(tmp_path: Path) -> None:
    packed(tmp_path, digit=np.array([4, 0, 10]), offset=np.array([0, 3, 3, 12]))
    listing = list_digits(tmp_path, "train", skip_bad=True)
    assert ([c.name for c in listing.clips], listing.skipped) == (["4_bob_5"], 2)
