"""The source: layouts, slices, bad recordings, batches, and the model's input."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from snnjax.data import DataError, DataInfo, Static, batches
from snnjax.data.events import (
    EqualParts,
    EventAugment,
    EventFrames,
    EventSource,
    TimeWindow,
    check_events,
    to_count_frames,
)
from tests.data.events import files

SENSOR = (34, 34)
AUGMENT = EventAugment(flip=0.5, shift=2, drop=0.3, jitter_us=100.0)


def recordings(n: int, seed: int = 0) -> list[files.Columns]:
    return [files.columns(40 + i, seed=seed + i) for i in range(n)]


def packed(folder: Path, **more) -> Path:
    files.write_packed(folder / "train.npz", recordings(6), [0, 1, 2] * 2, **more)
    files.write_packed(folder / "test.npz", recordings(3, 50), [2, 1, 0], **more)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return packed(tmp_path, sensor=np.array(SENSOR))


def test_packed_splits(folder) -> None:
    source = EventSource(str(folder), frames=EventFrames(steps=5))
    train, test = source.open("train"), source.open("test")
    info = DataInfo.of(train, test)
    assert info == DataInfo(("0", "1", "2"), 2, 6, 3, 0, (5, 34, 34, 2))
    for split, seed, labels in ((train, 0, [0, 1, 2] * 2), (test, 50, [2, 1, 0])):
        for i, columns in enumerate(recordings(len(split), seed)):
            events = check_events(*columns, SENSOR)
            sample = split.sample(i, None)
            want = to_count_frames(events, EqualParts(5))
            np.testing.assert_array_equal(sample["frames"], want)
            assert sample["frames"].dtype == np.uint16
            assert sample["label"] == labels[i]
            for name in "txyp":
                np.testing.assert_array_equal(getattr(split.events(i), name), getattr(events, name))
    assert train.name(4) == "train#4"


@pytest.mark.parametrize("splits", [("train", "test"), ("Train", "Test")])
def test_folders_of_classes(splits, tmp_path) -> None:
    content = {"train": {"two": 2, "one": 1}, "test": {"one": 1, "three": 1}}
    for split, name in zip(content, splits, strict=True):
        for label, n in content[split].items():
            place = tmp_path / name / label
            place.mkdir(parents=True)
            for i in range(n):
                files.write_bin(place / f"{i}.bin", files.columns(seed=i))
            (place / "._0.bin").write_bytes(b"no data")
            (place / "readme.md").write_text("no data")
    source = EventSource(str(tmp_path))
    train, test = source.open("train"), source.open("test")
    assert train.class_names == test.class_names == ("one", "three", "two")
    assert train.labels.tolist() == [0, 2, 2]
    assert test.labels.tolist() == [0, 1]
    assert test.name(1) == f"{splits[1]}/three/0.bin"
    sample = source.read(tmp_path / splits[1] / "three" / "0.bin")
    np.testing.assert_array_equal(sample["frames"], test.sample(1, None)["frames"])
    assert "label" not in sample


def test_one_file_with_both_splits(tmp_path) -> None:
    rows = [(t, x + 1, y + 1, p) for t, x, y, p in recordings(5)]
    names = np.array(["a", "b", "c", "d", "e"])
    files.write_packed(tmp_path / "all.npz", rows, [0, 1, 1, 0, 1], name=names)
    options = {"sensor": SENSOR, "first_pixel": 1}
    source = EventSource(str(tmp_path), train_recordings=3, **options)
    train, test = source.open("train"), source.open("test")
    assert [train.name(i) for i in range(3)] == ["a", "b", "c"]
    assert [test.name(i) for i in range(2)] == ["d", "e"]
    assert test.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(test.events(1).x, recordings(5)[4][1])
    with pytest.raises(DataError, match="set `train_recordings`"):
        EventSource(str(tmp_path), **options).open("train")
    with pytest.raises(DataError, match="is 5 of 5 recordings"):
        EventSource(str(tmp_path), train_recordings=5, **options).open("train")


def test_slices_are_samples_of_their_own(folder) -> None:
    source = EventSource(str(folder), frames=EventFrames(steps=4), slice_us=60_000)
    train = source.open("train")
    samples = []
    for i, columns in enumerate(recordings(6)):
        events = check_events(*columns, SENSOR)
        start, stop = events.span
        for a in range(start, stop - 60_000 + 1, 60_000):
            span = (a, a + 60_000)
            samples.append((i % 3, to_count_frames(events, EqualParts(4), span=span)))
    assert len(train) == len(samples) == 24
    for i, (label, frames) in enumerate(samples):
        sample = train.sample(i, None)
        assert sample["label"] == label
        np.testing.assert_array_equal(sample["frames"], frames)
    assert train.name(0).startswith("train#0@")
    one = files.write_npz(folder / "one.npz", recordings(1)[0], sensor=np.array(SENSOR))
    np.testing.assert_array_equal(source.read(one)["frames"], samples[0][1])
    with pytest.raises(DataError, match="shorter than `slice_us`"):
        EventSource(slice_us=10**6).read(one)


def test_empty_slices_are_left_out_of_training_only(tmp_path) -> None:
    t = np.array([0, 1, 250, 251, 399])
    gap = (t, t % 3, t % 5, t % 2)
    for split in ("train", "test"):
        files.write_packed(tmp_path / f"{split}.npz", [gap], [0])
    source = EventSource(str(tmp_path), sensor=SENSOR, slice_us=100)
    train, test = source.open("train"), source.open("test")
    assert (len(train), train.skipped) == (3, 1)
    assert (len(test), test.skipped) == (4, 0)
    assert not test.sample(1, None)["frames"].any()


def test_the_first_frame_begins_at_the_first_event_or_at_zero(folder) -> None:
    frames = EventFrames(steps=4, window_us=1000)
    late = files.columns(30, last=3500)
    late = (late[0] + 5_000_000_300, *late[1:])
    path = files.write_npz(folder / "late.npz", late, sensor=np.array(SENSOR))
    assert EventSource(frames=frames).read(path)["frames"].sum() == 30
    assert EventSource(frames=frames, start="zero").read(path)["frames"].sum() == 0
    for start, first in (("first_event", late[0][0]), ("zero", 5_000_000_000)):
        source = EventSource(frames=frames, start=start, slice_us=2000)
        span = (first, first + 2000)
        want = to_count_frames(check_events(*late, SENSOR), TimeWindow(1000, 4), span=span)
        np.testing.assert_array_equal(source.read(path)["frames"], want)


@pytest.mark.parametrize(
    "frames",
    [
        EventFrames("count", bits=8),
        EventFrames("count", polarity="signed", downsample=2),
        EventFrames("binary", events_per_frame=7, steps=4),
        EventFrames("binary", polarity="signed"),
        EventFrames("voxel", steps=3, window_us=90_000),
        EventFrames("surface", tau_us=1e4),
    ],
)
def test_the_model_receives_time_first(frames, folder) -> None:
    source = EventSource(str(folder), frames=frames)
    train = source.open("train")
    batch = next(batches(train, source, 4, seed=0, train=True))
    found = jax.jit(lambda b: source.encode(b, None, key=None, train=True))(batch)
    assert set(found) == {"x", "label"}
    steps, *rest = frames.shape(SENSOR)
    assert found["x"].shape == (steps, 4, *rest)
    assert found["x"].dtype == np.float32
    assert train.sample_shape == (steps, *rest)
    assert train.in_channels == rest[-1]
    for row, i in enumerate(batch["index"]):
        sample = train.sample(int(i), None)
        np.testing.assert_array_equal(found["x"][:, row], sample["frames"])
        assert found["label"][row] == sample["label"]
    stored = batch["frames"].dtype
    small = {"count": frames.bits // 8, "binary": 1}.get(frames.kind, 4)
    assert stored.itemsize == small
    assert (stored.kind == "f") == (frames.kind in ("voxel", "surface"))


def test_changes_are_made_in_training_only_and_repeat_with_the_seed(folder) -> None:
    source = EventSource(str(folder), augment=AUGMENT)
    train, test = source.open("train"), source.open("test")

    def first(split, **options):
        options = {"seed": 1, "train": False} | options
        return next(batches(split, source, 3, **options))["frames"]

    np.testing.assert_array_equal(first(train, train=True), first(train, train=True))
    assert (first(train, train=True) != first(train, train=True, seed=2)).any()
    plain = np.stack([test.sample(i, None)["frames"] for i in range(3)])
    np.testing.assert_array_equal(first(test), plain)
    assert (first(test, augment=True) != plain).any()  # a copy that votes
    assert source.for_voting() == source
    with pytest.raises(ValueError, match="no random changes"):
        EventSource(str(folder)).for_voting()
    assert source.shapes(train, test, None, None) == Static()  # type: ignore[arg-type]


def test_sizes_are_spread_over_the_samples(folder) -> None:
    source = EventSource(str(folder), train_size=2, test_size=1)
    assert source.open("train").labels.tolist() == [1, 1]
    assert len(source.open("test")) == 1


def test_recordings_that_are_longer_than_the_frames_are_noticed(folder) -> None:
    source = EventSource(str(folder), frames=EventFrames(steps=2, window_us=1000))
    train, test = source.open("train"), source.open("test")
    assert source.notices(train, test) == [
        "9 of 9 samples are longer than 2 frames; the events after the last frame are not used. "
        "Raise data.frames.steps to use them."
    ]
    assert EventSource(str(folder)).notices(train) != []  # the frames are those of the data set
    assert EventSource(str(folder)).notices(EventSource(str(folder)).open("train")) == []


def test_a_count_that_does_not_fit_is_an_error(tmp_path) -> None:
    t = np.zeros(300, int)
    path = files.write_npz(tmp_path / "e.npz", (t, t, t, t + 1))
    source = EventSource(sensor=(2, 2), frames=EventFrames(steps=1))
    assert source.read(path)["frames"].max() == 300
    small = EventSource(sensor=(2, 2), frames=EventFrames(steps=1, bits=8))
    with pytest.raises(DataError, match=r"frame 0 has 300 events in one pixel.*data.frames.bits"):
        small.read(path)


BAD = {
    "backwards": (np.array([3, 2]), [0, 1], [0, 1], [0, 1]),
    "outside": (np.array([2, 3]), [0, 34], [0, 1], [0, 1]),
    "polarity": (np.array([2, 3]), [0, 1], [0, 1], [0, 3]),
    "empty": (np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), np.zeros(0, int)),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_recording_is_an_error_or_skipped(kind, tmp_path, caplog) -> None:
    rows = recordings(3)
    rows[1] = tuple(np.asarray(a) for a in BAD[kind])
    files.write_packed(tmp_path / "train.npz", rows, [0, 1, 2], sensor=np.array(SENSOR))
    with pytest.raises(DataError, match=r"train.npz, recording 1: "):
        EventSource(str(tmp_path)).open("train")
    with caplog.at_level(logging.WARNING):
        train = EventSource(str(tmp_path), skip_bad=True).open("train")
    assert train.labels.tolist() == [0, 2]
    assert train.skipped == 1
    assert "train.npz, recording 1: " in caplog.text


def test_skip_bad_covers_truncated_files_but_not_all(tmp_path) -> None:
    place = tmp_path / "train" / "a"
    place.mkdir(parents=True)
    (place / "bad.bin").write_bytes(b"1234567")
    with pytest.raises(DataError, match=r"bad.bin, byte 5: ends within event 1"):
        EventSource(str(tmp_path)).open("train")
    with pytest.raises(DataError, match="none of 1 train recordings gives a sample"):
        EventSource(str(tmp_path), skip_bad=True).open("train")
    files.write_bin(place / "good.bin", files.columns())
    assert len(EventSource(str(tmp_path), skip_bad=True).open("train")) == 1


def test_a_training_file_is_not_tested_on(tmp_path) -> None:
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
    first = files.write_bin(tmp_path / "train" / "a" / "0.bin", files.columns())
    (tmp_path / "test" / "a" / "1.bin").symlink_to(first)
    files.write_bin(tmp_path / "test" / "a" / "2.bin", files.columns(seed=1))
    assert len(EventSource(str(tmp_path)).open("train")) == 1
    with pytest.raises(DataError, match=r"1\.bin: is the same file as .*0\.bin of the training"):
        EventSource(str(tmp_path)).open("test")
    test = EventSource(str(tmp_path), skip_bad=True).open("test")
    assert (len(test), test.skipped) == (1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": None}, "`label` must be integers"),
        ({"label": np.array([0, 1])}, "`offset` must be 3 integers for 2 labels"),
        ({"label": np.array([0, -1, 1])}, "recording 1 has the label -1"),
        ({"class_names": np.array(["a", "b"])}, r"recording 2 has the label 2, outside 0..1"),
        ({"class_names": np.array(["a", "b", "a"])}, "'a' more than once"),
        ({"class_names": np.array([1, 2, 3])}, "`class_names` must be a list of strings"),
        ({"offset": None}, "`offset` must be 4 integers for 3 labels; it is missing"),
        ({"offset": np.array([0, 50, 40, 123])}, "`offset` must rise from 0 to 123"),
        ({"offset": np.array([0, 5, 40, 99])}, "`offset` must rise from 0 to 123"),
        ({"x": np.zeros(5, int)}, "with one M"),
        ({"x": np.zeros(123)}, "`x` must be integers"),
        ({"t": np.zeros(123)}, r"recording 0: `t` must be integers"),
        ({"name": np.array(["a"])}, "`name` must be strings of shape"),
        ({"p": None}, "has no array `p`"),
        ({"sensor": None}, "does not specify the size of its sensor"),
        ({"sensor": np.array([3, 3])}, "outside a sensor of 3 rows"),
    ],
)
def test_bad_packed_files(change, message, tmp_path) -> None:
    path = files.write_packed(
        tmp_path / "train.npz", recordings(3), [0, 1, 2], sensor=np.array(SENSOR)
    )
    with np.load(path) as file:
        arrays = dict(file) | change
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})
    with pytest.raises(DataError, match=message):
        EventSource(str(tmp_path)).open("train")


def test_bad_layouts(folder, tmp_path_factory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    for path, message in (
        (empty, "no train split of events is found here; understood layouts"),
        (empty / "none", "does not exist; a data set of events is a folder"),
        (folder / "train.npz", "is a file; a data set"),
    ):
        with pytest.raises(DataError, match=message):
            EventSource(str(path)).open("train")
    with pytest.raises(ValueError, match="'train' or 'test'"):
        EventSource(str(folder)).open("valid")
    with pytest.raises(DataError, match="leave out `train_recordings`"):
        EventSource(str(folder), train_recordings=2).open("train")
    (empty / "train" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="the train split is empty"):
        EventSource(str(empty)).open("train")
    with pytest.raises(DataError, match="has a folder for each split"):
        EventSource(str(empty), train_recordings=2).open("train")
    names = np.array(["a", "b", "c"])
    files.write_packed(folder / "test.npz", recordings(3), [0, 1, 2], class_names=names)
    with pytest.raises(DataError, match=r"different `class_names` from test\.npz"):
        EventSource(str(folder)).open("train")


def test_a_damaged_time_does_not_make_endless_slices(tmp_path) -> None:
    columns = (np.array([0, 2**50]), np.zeros(2, int), np.zeros(2, int), np.zeros(2, int))
    path = files.write_npz(tmp_path / "e.npz", columns)
    with pytest.raises(DataError, match=r"more than 1048576 slices of 10 us"):
        EventSource(sensor=(1, 1), slice_us=10).read(path)
    assert EventSource(sensor=(1, 1)).read(path)["frames"].sum() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "surface"}, "needs data.frames.tau_us"),
        ({"kind": "count", "tau_us": 5.0}, "does not use data.frames.tau_us"),
        ({"kind": "surface", "tau_us": 0.0}, "above 0"),
        ({"kind": "counts"}, "must be count, binary, voxel or surface"),
        ({"window_us": 5, "events_per_frame": 5}, "not both"),
        ({"window_us": 0}, "data.frames.window_us must be"),
        ({"steps": 0}, "data.frames.steps must be"),
        ({"downsample": 0}, "data.frames.downsample must be"),
        ({"events_per_frame": -1}, "data.frames.events_per_frame must be"),
        ({"polarity": "on"}, "'both' or 'signed'"),
        ({"bits": 4}, "bits 8, 16 or 32"),
        ({"kind": "voxel", "bits": 8}, "is a size of counts"),
    ],
)
def test_settings_of_frames_are_checked(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        EventFrames(**options)


def test_settings_of_the_source_are_checked() -> None:
    for name in ("slice_us", "train_recordings", "train_size"):
        with pytest.raises(ValueError, match=f"data.{name} must be an integer of at least 1"):
            EventSource(**{name: 0})
    with pytest.raises(ValueError, match=r"data\.start"):
        EventSource(start="now")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"data\.first_pixel"):
        EventSource(first_pixel=-1)
    with pytest.raises(ValueError, match="`sensor`"):
        EventSource(sensor=(0, 5))


def _real(data_root: Path, name: str) -> str:
    if not (data_root / name).is_dir():
        pytest.skip(f"no {name} in the data folder")
    return str(data_root / name)


def test_nmnist_is_read_fast(data_root) -> None:
    source = EventSource(_real(data_root, "nmnist"), sensor=SENSOR)
    start = time.monotonic()
    train = source.open("train")
    assert time.monotonic() - start < 5  # about 0.5 s
    test = source.open("test")
    assert np.bincount(train.labels).tolist() == [82, 99, 84, 79, 89, 78, 80, 99, 74, 85]
    assert np.bincount(test.labels).tolist() == [8, 14, 8, 11, 14, 7, 10, 15, 2, 11]
    assert sum(len(piece) for piece in train.pieces) == 3_512_651
    assert sum(int(test.sample(i, None)["frames"].sum()) for i in range(100)) == 385_596


def test_dvs128_objects_are_windows_of_two_sessions(data_root) -> None:
    path = _real(data_root, "dvs128_objects")
    source = EventSource(path, sensor=(128, 128), slice_us=200_000)
    train, test = source.open("train"), source.open("test")
    assert (len(train), len(test)) == (844, 328)
    assert train.class_names == ("box", "mug", "cutter", "mechanical_pencil", "scissors")


def test_letters_and_digits_are_told_apart_by_their_nearest_neighbour(data_root) -> None:
    frames = EventFrames(steps=1, downsample=2)
    source = EventSource(
        _real(data_root, "dvs_letters_digits"),
        sensor=(32, 32),
        first_pixel=1,
        train_recordings=36,
        frames=frames,
    )
    train, test = source.open("train"), source.open("test")
    assert (len(train), len(test), len(train.class_names)) == (36, 40, 36)

    def maps(split):
        found = [split.sample(i, None)["frames"].sum(-1).ravel() for i in range(len(split))]
        return np.array([m / np.linalg.norm(m) for m in np.array(found, float)])

    nearest = (maps(test) @ maps(train).T).argmax(axis=1)
    assert (train.labels[nearest] == test.labels).mean() == 1.0
