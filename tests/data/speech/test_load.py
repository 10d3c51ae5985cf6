from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.speech import FrontEnd, load_speech, log_mel, read_recording
from tests.data.speech.files import digit_folder, tone, write_wav


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folder(tmp_path_factory.mktemp("digits"))


def test_both_front_ends_give_frames_of_ten_milliseconds(digits: Path) -> None:
    real = load_speech(digits, "train", front_end=FrontEnd("log_mel", channels=12))
    spikes = load_speech(digits, "train", front_end=FrontEnd("cochlea", channels=12))
    assert len(real) == len(spikes) == 3 * 2 * 4
    assert real.frames(0).shape == (21, 12)
    assert spikes.frames(0).shape == (20, 12)
    assert real.frames(0).dtype == np.float16
    assert 0 <= real.flat.min() < real.flat.max() == 1
    assert spikes.flat.dtype == np.uint8
    assert 0 < spikes.flat.max() <= 5  # of ten steps, with a step of rest after a spike


def test_mel_in_decibel_is_what_the_definition_says_and_nothing_else() -> None:
    """The bands of the published setting reach over half the rate: 53 of them stay empty."""
    front_end = FrontEnd("mel_db", channels=140, low_hz=50.0, high_hz=14_000.0)
    noise = np.float32(0.3 * np.random.default_rng(0).normal(size=8000))
    sounds = [noise, noise[:900], np.zeros(8000, np.float32)]
    frames = list(front_end(sounds, 8000))
    assert [got.shape for got in frames] == [(101, 140), (12, 140), (101, 140)]
    for sound, got in zip(sounds, frames, strict=True):
        want = log_mel(sound, rate=8000, channels=140, n_fft=256, hop=80, low=50.0, high=14_000.0)
        np.testing.assert_allclose(got, want, atol=0.04)  # float16 near 100
        assert (got[:, 87:] == -100).all()
    assert (frames[0][:, 86] > -100).all()
    assert (frames[2] == -100).all()


def test_a_tone_is_heard_where_its_frequency_lies(digits: Path) -> None:
    for name in ("log_mel", "cochlea"):
        train = load_speech(digits, "train", front_end=FrontEnd(name, channels=24))
        loudest = [int(train.frames(i)[2:-2].sum(axis=0).argmax()) for i in range(len(train))]
        by_digit = [
            {c for c, d in zip(loudest, train.labels, strict=True) if d == k} for k in range(3)
        ]
        assert max(by_digit[0]) < min(by_digit[1]) <= max(by_digit[1]) < min(by_digit[2])


def test_a_chunk_of_recordings_is_heard_one_by_one(digits: Path) -> None:
    """Recordings of different lengths share an array in the ear, and do not disturb each other."""
    front_end = FrontEnd("cochlea", channels=6)
    sounds = [tone(k, k, samples=700 + 333 * k) for k in range(3)]
    together = list(front_end(sounds, 8000))
    for sound, frames in zip(sounds, together, strict=True):
        alone = next(front_end([sound], 8000))
        np.testing.assert_array_equal(frames, alone)
        assert len(frames) == -(-len(sound) // 80)


def test_a_held_out_speaker_is_in_one_split_only(digits: Path) -> None:
    train, test = (load_speech(digits, split, held_out="bob") for split in ("train", "test"))
    assert set(train.speakers) == {"ann"}
    assert set(test.speakers) == {"bob"}
    assert len(train) == len(test) == 18  # of both parts
    official = load_speech(digits, "test")
    assert set(official.speakers) == {"ann", "bob"}
    assert len(official) == 12


def test_a_speaker_must_be_there_and_not_alone(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no speaker is called 'rob'; did you mean 'bob'"):
        load_speech(digits, "train", held_out="rob")
    alone = digit_folder(tmp_path, speakers=("eve",))
    with pytest.raises(DataError, match=r"one speaker only \(eve\), so nobody is left.*held_out"):
        load_speech(alone, "train", held_out="eve")
    with pytest.raises(ValueError, match="`held_out` or `validate`, not both"):
        load_speech(digits, "train", held_out="bob", validate=True)


def test_digits_are_validated_on_a_tenth_of_the_training_part(digits: Path) -> None:
    train, valid = (load_speech(digits, split, validate=True) for split in ("train", "test"))
    assert (len(train), len(valid)) == (22, 2)
    assert set(train.names) | set(valid.names) == set(load_speech(digits, "train").names)


def test_sizes_spread_over_the_classes(digits: Path) -> None:
    assert load_speech(digits, "train", size=6).labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_bad_files_stop_or_are_counted(tmp_path: Path) -> None:
    folder = digit_folder(tmp_path, digits=1)
    path = folder / "recordings" / "0_ann_6.wav"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"0_ann_6\.wav.*truncated"):
        load_speech(folder, "train")
    train = load_speech(folder, "train", skip_bad=True)
    assert (len(train), train.skipped) == (7, 1)
    assert "0_ann_6" not in train.names
    for file in (folder / "recordings").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match="none of 8 clips can be read"):
        load_speech(folder, "train", skip_bad=True)


def test_a_folder_without_speech_is_told_what_is_understood(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)does not exist.*Speech Commands"):
        load_speech(tmp_path / "gone", "train")
    with pytest.raises(DataError, match=r"(?s)no speech is found here.*7_name_32\.wav"):
        load_speech(tmp_path, "train")
    with pytest.raises(ValueError, match="holds no recorded spikes"):
        load_speech(tmp_path, "train", front_end=FrontEnd("recorded"))
    with pytest.raises(ValueError, match="'train' or 'test'"):
        load_speech(tmp_path, "valid")


def test_one_recording_is_read_at_either_rate(tmp_path: Path) -> None:
    front_end = FrontEnd(channels=10)
    t = np.arange(3200) / 16000
    sound = 0.5 * np.sin(2 * np.pi * 700 * t)
    wide = read_recording(write_wav(tmp_path / "a.wav", sound, rate=16000), front_end)
    narrow = read_recording(write_wav(tmp_path / "b.wav", sound[::2]), front_end)
    assert wide.shape == narrow.shape == (21, 10)
    np.testing.assert_allclose(wide[2:-2, 2:6], narrow[2:-2, 2:6], atol=0.03)
    with pytest.raises(DataError, match="has 11025 samples a second; 8000 or 16000"):
        read_recording(write_wav(tmp_path / "c.wav", sound, rate=11025), front_end)
    with pytest.raises(ValueError, match="cannot process audio"):
        read_recording(tmp_path / "a.wav", FrontEnd("recorded"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "mfcc"}, '"mel_db", "cochlea" or "recorded"; got \'mfcc\''),
        ({"channels": 0}, "`channels` must be at least 1"),
        ({"frame_ms": 2.5}, "integer number of milliseconds; got 2.5"),
        ({"frame_ms": np.inf}, "integer number of milliseconds; got inf"),
        ({"low_hz": 900.0, "high_hz": 800.0}, "0 < low_hz < high_hz"),
        ({"high_hz": np.inf}, "got 50.0 and inf"),
    ],
)
def test_an_impossible_front_end_is_refused(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrontEnd(**options)


def test_filters_above_half_the_rate_are_refused() -> None:
    with pytest.raises(ValueError, match="below half of 8000 samples a second; got 5000"):
        next(FrontEnd("cochlea", high_hz=5000.0)([np.ones(80)], 8000))


@pytest.mark.parametrize("name", ["log_mel", "cochlea"])
@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (np.zeros(0), 8000, r"recording 1 is \(0,\)"),
        (np.zeros((80, 2)), 8000, r"recording 1 is \(80, 2\).*Mix"),
        (np.array([0.0, np.nan, np.inf]), 8000, "recording 1 holds NaN.* 2 of 3"),
        (np.ones(80), 11025, "integer number of samples; got 11025"),
    ],
)
def test_recordings_that_cannot_be_processed_are_refused(name, audio, rate, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(FrontEnd(name)([np.ones(80), audio], rate))


def test_all_real_digits_are_read(data_root: Path) -> None:
    """The counts of the data's README, and a nearest neighbour on eight pieces of each."""
    folder = data_root / "fsdd"
    if not folder.is_dir():
        pytest.skip(f"no spoken digits at {folder}")
    train, test = (load_speech(folder, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (2400, 300)
    assert np.bincount(train.labels).tolist() == [240] * 10
    assert np.bincount(test.labels).tolist() == [30] * 10
    assert {test.speakers.count(name) for name in set(test.speakers)} == {50}

    def pieces(dataset) -> np.ndarray:
        frames = [dataset.frames(i).astype(np.float32) for i in range(len(dataset))]
        parts = [np.array_split(one, 8) for one in frames]
        return np.stack([np.concatenate([p.mean(axis=0) for p in part]) for part in parts])

    known, asked = pieces(train), pieces(test)
    distance = (asked**2).sum(1)[:, None] + (known**2).sum(1) - 2 * asked @ known.T
    right = np.mean(train.labels[distance.argmin(axis=1)] == test.labels)
    assert right > 0.75
