"""Files in the layout of SHD and SSC, written with h5py; without it the tests are skipped."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.speech import FrontEnd, load_speech
from tests.data.speech.files import spike_file
from tests.data.speech.files import write_h5 as write

RECORDED = FrontEnd("recorded", channels=140)
ROWS = 6


def content(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 60, ROWS)
    return {
        "spikes/times": [np.sort(rng.uniform(0, 0.4, n)).astype(np.float16) for n in sizes],
        "spikes/units": [rng.integers(0, 700, n).astype(np.uint16) for n in sizes],
        "labels": np.array([0, 1, 2, 0, 1, 2], np.uint16),
        "extra/speaker": np.array([0, 0, 0, 4, 4, 4], np.uint16),
        "extra/keys": np.array([b"zero", b"one", b"null"]),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "shd_train.h5", content(0))
    write(tmp_path / "shd_test.h5", content(1))
    return tmp_path


def test_recordings_become_counts(folder: Path) -> None:
    train = load_speech(folder, "train", front_end=RECORDED)
    values = content(0)
    assert train.class_names == ("zero", "one", "null")
    assert train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert train.speakers == ("0", "0", "0", "4", "4", "4")
    for i in range(ROWS):
        times, units = values["spikes/times"][i], values["spikes/units"][i]
        want = np.zeros((1 + int(float(times[-1]) * 100), 140))
        for time, unit in zip(times, units, strict=True):
            rounding = 0.5 * float(np.spacing(time))  # of float16: a border is met within it
            want[int((float(time) + rounding) * 100), unit // 5] += 1
        np.testing.assert_array_equal(train.frames(i), want)


def test_a_speaker_is_held_out_of_both_parts(folder: Path) -> None:
    train, test = (
        load_speech(folder, split, front_end=RECORDED, held_out="4") for split in ("train", "test")
    )
    assert set(train.speakers) == {"0"}
    assert set(test.speakers) == {"4"}
    assert len(train) == len(test) == ROWS


def test_names_and_speakers_may_be_missing(tmp_path: Path) -> None:
    values = {name: v for name, v in content().items() if not name.startswith("extra")}
    write(tmp_path / "ssc_train.h5", values)
    train = load_speech(tmp_path, "train", front_end=RECORDED)
    assert train.class_names == tuple(map(str, range(35)))
    assert set(train.speakers) == {"unknown"}
    with pytest.raises(DataError, match=r"no ssc_valid\.h5; here are ssc_train\.h5"):
        load_speech(tmp_path, "test", front_end=RECORDED, validate=True)


def test_shd_is_validated_on_every_tenth_recording_that_is_not_trained_on(tmp_path: Path) -> None:
    spike_file(tmp_path / "shd_train.h5", classes=20, rows=45)
    train, valid = (
        load_speech(tmp_path, split, front_end=RECORDED, validate=True)
        for split in ("train", "test")
    )
    assert valid.names == ("9", "19", "29", "39")
    assert sorted(map(int, train.names + valid.names)) == list(range(45))
    assert valid.labels.tolist() == [9, 19, 9, 19]


def floats(value: list[np.ndarray]) -> list[np.ndarray]:
    return [row.astype(np.float32) for row in value]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("labels", None, "has no array `labels`"),
        ("spikes/units", None, "has no array `spikes/units`"),
        ("labels", np.array([0.0, 1, 2, 0, 1, 2]), "`labels` must be integers.*float64"),
        ("labels", np.array([0, 1, -2, 0, 1, 2]), "`labels` must be integers from 0 on.*-2"),
        ("labels", np.array([0, 1, 9, 0, 1, 2]), "is 9 for recording 2, but `extra/keys` names 3"),
        ("labels", np.array([0, 1, 2]), r"one N of at least 1; got .*labels \(3,\)"),
        ("labels", np.array([b"a"] * 6), r"`labels` must be integers from 0 on; got .S1\."),
        ("extra/speaker", np.array([0, 1]), r"`extra/speaker` must be \[6\]; got \(2,\)"),
        ("extra/speaker", np.array(3), r"`extra/speaker` must be \[6\]; got \(\)"),
        ("extra/keys", np.array(b"zero"), r"`extra/keys` must be \[classes\]; got \(\)"),
        ("extra/keys", np.zeros((4, 2)), r"`extra/keys` must be \[classes\]; got \(4, 2\)"),
        ("spikes/times", np.zeros(6), "`spikes/times` must hold a row .* got float64"),
        ("spikes/units", np.zeros(6, np.int32), "`spikes/units` must hold a row .* got int32"),
        ("spikes/units", floats, "`spikes/units` of recording 0 must be integers; got float32"),
        ("spikes/units", lambda v: [r + 650 for r in v], "`spikes/units` of recording 0 go from "),
        (
            "spikes/units",
            lambda v: [r.astype(np.int16) - 700 for r in v],
            "`spikes/units` of recording 0 go from -",
        ),
        ("spikes/units", lambda v: [r[1:] for r in v], "in `spikes/times` and .*`spikes/units`"),
        ("spikes/times", lambda v: [-r for r in v], "`spikes/times` of recording 0 begin at -0"),
        ("spikes/times", lambda v: [r[::-1] for r in v], "`spikes/times` of recording 0 fall from"),
        (
            "spikes/times",
            lambda v: [r / 0 for r in floats(v)],
            "recording 0 must be finite seconds",
        ),
        (
            "spikes/times",
            lambda v: [(1000 * r).astype(np.float32) for r in v],
            "recording 0 must be finite seconds",
        ),
        ("spikes/times", lambda v: [(9 * r).astype(np.int32) for r in v], "as floats"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_arrays_of_another_kind_are_refused(tmp_path: Path, name, change, message: str) -> None:
    values = content()
    value = change(values[name]) if callable(change) else change
    values[name] = value
    if value is None:
        del values[name]
    write(tmp_path / "shd_train.h5", values)
    with pytest.raises(DataError, match=rf"(?s)shd_train\.h5.*{message}.*Fix"):
        load_speech(tmp_path, "train", front_end=RECORDED)


def test_without_names_the_classes_are_those_of_the_data_set(tmp_path: Path) -> None:
    values = content() | {"labels": np.array([0, 1, 20, 0, 1, 2])}
    del values["extra/keys"]
    write(tmp_path / "shd_train.h5", values)
    with pytest.raises(DataError, match=r"is 20 for recording 2, but the data set has 20.*0\.\.19"):
        load_speech(tmp_path, "train", front_end=RECORDED)


def test_bad_recordings_can_be_skipped(tmp_path: Path) -> None:
    values = content()
    values["spikes/units"][2][0] = 700
    write(tmp_path / "shd_train.h5", values)
    train = load_speech(tmp_path, "train", front_end=RECORDED, skip_bad=True)
    assert (len(train), train.skipped) == (ROWS - 1, 1)
    assert train.labels.tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused(folder: Path, share: float) -> None:
    path = folder / "shd_train.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"shd_train\.h5.*truncated or damaged.*download"):
        load_speech(folder, "train", front_end=RECORDED)


def test_a_folder_with_both_data_sets_is_refused(folder: Path) -> None:
    write(folder / "ssc_train.h5", content())
    with pytest.raises(DataError, match=r"SHD and SSC together.*a folder of its own"):
        load_speech(folder, "train", front_end=RECORDED)


def test_channels_and_front_end_must_suit_the_spikes(folder: Path) -> None:
    with pytest.raises(ValueError, match="divide the 700 units; got 40"):
        load_speech(folder, "train", front_end=FrontEnd("recorded", channels=40))
    with pytest.raises(ValueError, match="set the front end's name to 'recorded'"):
        load_speech(folder, "train")


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "shd_train.h5").write_bytes(b"")
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "h5py":
            raise ImportError("no h5py here")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'snnjax\[events\]'"):
        load_speech(tmp_path, "train", front_end=RECORDED)
