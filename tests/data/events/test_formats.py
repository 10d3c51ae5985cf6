"""Readers of event files: written files, files of other writers, recorded ones, and bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.events import check_events, read_events
from snnjax.data.events.evt import decode_evt3
from tests.data.events import files
from tests.reference import events as slow

RECORDED = Path(slow.__file__).with_name("events.npz")


def same(got, want) -> None:
    for name, column in zip("txyp", want, strict=True):
        np.testing.assert_array_equal(getattr(got, name), column, err_msg=name)


WRITERS = {
    "bin": files.write_bin,
    "aedat": files.write_aedat2,
    "dat": files.write_dat,
    "raw": files.write_evt2,
    "npz": files.write_npz,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_gives_its_events(kind, tmp_path) -> None:
    events = files.columns()
    path = WRITERS[kind](tmp_path / f"e.{kind}", events)
    got = read_events(path, sensor=None if kind in ("bin", "raw", "aedat") else (34, 34))
    same(got, events)
    assert got.sensor == ((128, 128) if kind == "aedat" else (34, 34))
    assert [a.dtype for a in got[:4]] == [np.int64, np.int32, np.int32, np.uint8]


@pytest.mark.parametrize("overflow", [0, 3])
def test_aedat_3_keeps_valid_polarity_events_and_the_overflow_of_time(overflow, tmp_path) -> None:
    t, x, y, p = files.columns()
    got = read_events(
        files.write_aedat3(tmp_path / "e.aedat", (t, x, y, p), overflow), sensor=(34, 34)
    )
    same(got, (t + overflow * 2**31, x, y, p))


def test_dat_takes_the_sensor_of_its_header(tmp_path) -> None:
    head = "% Version 2\n% Width 40\n% Height 35\n"
    path = files.write_dat(tmp_path / "e.dat", files.columns(), head)
    assert read_events(path).sensor == (35, 40)
    assert read_events(path, sensor=(34, 34)).sensor == (34, 34)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("10 3 4 1\n12 0 1 0\n", ([10, 12], [3, 0], [4, 1], [1, 0])),
        ("# t x y p\n10,3,4,1\n\n12, 0, 1, -1 # late\n", ([10, 12], [3, 0], [4, 1], [1, 0])),
        ("\ufeff8 6\n10 3 4 1\n", ([10], [3], [4], [1])),
        ("0.000010 3 4 1\n0.290000 3 4 1\n", ([10, 290_000], [3, 3], [4, 4], [1, 1])),
        (
            "1468939993.067416 3 4 1\n1468939993.067417 3 4 1",
            ([1468939993067416, 1468939993067417], [3, 3], [4, 4], [1, 1]),
        ),
    ],
)
def test_text(text, want, tmp_path) -> None:
    path = tmp_path / "e.txt"
    path.write_text(text, encoding="utf-8")
    got = read_events(path, sensor=None if "8 6" in text else (6, 8))
    same(got, want)
    assert got.sensor == (6, 8)


def test_first_pixel_moves_the_origin(tmp_path) -> None:
    t, x, y, p = files.columns()
    path = files.write_npz(
        tmp_path / "e.npz", (t, (x + 1).astype(np.uint8), y + 1, p), sensor=np.array([34, 34])
    )
    same(read_events(path, first_pixel=1), (t, x, y, p))


@pytest.mark.parametrize("kind", ["evt2", "evt3", "dat"])
def test_files_of_expelliarmus(kind, tmp_path) -> None:
    with np.load(RECORDED) as kept:
        path = tmp_path / ("e.dat" if kind == "dat" else "e.raw")
        path.write_bytes(kept[kind].tobytes())
        t = kept["t"]
        if kind == "evt3":
            t = (t - t[0]) // 8 + 30 * 4096
        same(read_events(path, sensor=(6, 9)), (t, kept["x"], kept["y"], kept["p"]))


def test_vectors_of_evt3_as_expelliarmus_reads_them(tmp_path) -> None:
    with np.load(RECORDED) as kept:
        path = tmp_path / "e.raw"
        path.write_bytes(kept["vectors"].tobytes())
        same(read_events(path, sensor=(11, 60)), [kept[f"vectors_{n}"] for n in "txyp"])


@pytest.mark.parametrize("seed", range(20))
def test_evt3_is_decoded_as_one_word_after_another(seed) -> None:
    """Random words, so also repeated, missing and wrapped times, and vectors without a base."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice([0, 2, 3, 4, 5, 6, 7, 8, 0xA, 0xE, 0xF], 400)
    values = rng.integers(0, 4096, 400)
    values[rng.random(400) < 0.2] = 5
    words = kinds << 12 | values
    got = np.array(decode_evt3(words)).T.tolist()
    assert got == [list(row) for row in slow.evt3(words.tolist())]


def test_evt3_time_wraps() -> None:
    words = [0x8FFF, 0x6FFE, 0x0001, 0x2001, 0x8000, 0x6003, 0x2802, 0x8000, 0x2803]
    t, x, y, p = decode_evt3(np.array(words))
    assert t.tolist() == [2**24 - 2, 2**24 + 3, 2**24 + 3]
    assert (x.tolist(), y.tolist(), p.tolist()) == ([1, 2, 3], [1, 1, 1], [0, 1, 1])


def test_recorded_files(data_root) -> None:
    folder = data_root / "event_files"
    if not folder.is_dir():
        pytest.skip("no event_files in the data folder")
    facts = {
        "dvs128_walking_a.aedat": (19_182, 6.88655),
        "dvs128_walking_b.aedat": (70_304, 9.243604),
        "dvs128_standing_up.aedat": (110_228, 18.018985),
        "nmnist_sample.bin": (4_325, None),
        "ncars_sample.dat": (2_009, None),
        "ncars_obj_004397_td.dat": (4_407, None),
    }
    for name, (count, seconds) in facts.items():
        events = read_events(folder / name, sensor=(100, 120) if "ncars" in name else None)
        assert len(events.t) == count, name
        if seconds is not None:
            assert (events.t[-1] - events.t[0]) / 1e6 == pytest.approx(seconds, abs=1e-9)
    with pytest.raises(DataError, match=r"Davis346red; AEDAT 2.0 is read of DVS128 only"):
        read_events(folder / "aedat_header_sample.aedat")
    for name in ("davis_sample.aedat4", "dvs.es", "stmnist_sample.mat"):
        with pytest.raises(DataError, match=r"cannot read .*; supported are .bin, .aedat, .dat"):
            read_events(folder / name)


def test_bin_files_are_the_packed_recordings(data_root) -> None:
    folder = data_root / "nmnist"
    if not folder.is_dir():
        pytest.skip("no nmnist in the data folder")
    with np.load(folder / "test.npz") as kept:
        offset = kept["offset"]
        for i in range(10):
            rows = slice(offset[i], offset[i + 1])
            events = read_events(folder / "raw" / f"{i + 1:05d}.bin")
            same(events, [kept[name][rows] for name in "txyp"])


def changed(**values):
    """Two good events, with some values replaced."""
    events = {"t": [5, 9], "x": [0, 1], "y": [2, 2], "p": [0, 1]} | values
    return [np.array(events[name]) for name in "txyp"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"t": [9, 5]}, "time goes backwards at event 1, from 9 to 5 us"),
        ({"t": [-1, 5]}, "event 0 has the time -1 us"),
        ({"t": [5, 2**60]}, "event 1 has the time 1152921504606846976 us"),
        ({"x": [0, 2]}, r"event 1 has x = 2, outside a sensor of 3 rows and 2 columns.*0..1"),
        ({"x": [-1, 0]}, "event 0 has x = -1"),
        ({"y": [3, 0]}, r"event 0 has y = 3.*0..2"),
        ({"p": [0, 2]}, "event 1 has the polarity 2"),
        ({"p": [-2, 1]}, "event 0 has the polarity -2"),
        ({"p": [0, -1]}, "event 0 has the polarity 0 in a recording with -1"),
        ({"p": [0.0, 1.0]}, "`p` must be integers"),
        ({"t": [0.1, 0.2]}, r"`t` must be integers \(microseconds\).*np.round"),
        ({"x": [0.0, 1.0]}, "`x` must be integers"),
        ({"x": [0]}, r"t, x, y and p must be .E. with one E; got t \(2,\), x \(1,\)"),
        ({"t": [], "x": [], "y": [], "p": []}, "holds no events"),
    ],
)
def test_bad_events_are_named(values, message) -> None:
    with pytest.raises(DataError, match=rf"^some.npz: {message}"):
        check_events(*changed(**values), (3, 2), "some.npz")


def test_polarities() -> None:
    for p in ([0, 1], [-1, 1], [False, True]):
        assert check_events(*changed(p=p), (3, 2)).p.tolist() == [0, 1]
    assert check_events(*changed(p=np.array([0, 1], np.uint64)), (3, 2)).p.tolist() == [0, 1]


def bad_bin(path: Path) -> None:
    path.write_bytes(files.write_bin(path, files.columns()).read_bytes()[:-2])


def bad_wrap(path: Path) -> None:
    _, x, y, p = files.columns(3)
    files.write_bin(path, (np.array([5, 2**23 - 2, 4]), x, y, p))


def bad_marker(path: Path) -> None:
    t, x, _, p = files.columns(3)
    files.write_bin(path, (t, x, np.array([1, 240, 2]), p))


def bad_backwards(path: Path) -> None:
    _, x, y, p = files.columns(3)
    files.write_bin(path, (np.array([5, 20, 19]), x, y, p))


def truncated_packet(path: Path) -> None:
    path.write_bytes(files.write_aedat3(path, files.columns()).read_bytes()[:-3])


def negative_packet(path: Path) -> None:
    head = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n"
    path.write_bytes(head + np.array([1, -8, 4, 0, 1, 1, 1], "<i4").tobytes())


BAD = {
    "e.bin": [
        (bad_bin, r"byte 245: ends within event 49: 3 of its 5 bytes"),
        (bad_wrap, r"byte 10: event 2 is 4 us after 8388606 us: the 23-bit time stamp has overfl"),
        (bad_marker, r"byte 5: event 1 is an overflow marker \(y = 240\): the 23-bit"),
        (bad_backwards, r": time goes backwards at event 2, from 20 to 19 us"),
        (lambda path: path.write_bytes(b""), "holds no events"),
    ],
    "e.aedat": [
        (truncated_packet, "a packet ends beyond the file"),
        (negative_packet, "a packet ends beyond the file"),
        (lambda path: path.write_bytes(b"#!AER-DAT3.1\r\n"), "has no #!END-HEADER"),
        (lambda path: path.write_bytes(b"#!AER-DAT4.0\r\n"), "version 4.0; 2.0 and 3.1 are read"),
        (lambda path: path.write_bytes(b"nothing"), "version unknown; 2.0 and 3.1 are read"),
        (lambda path: path.write_bytes(b"#!AER-DAT2.0\r\n"), "holds no events"),
        (lambda path: path.write_bytes(b"#!AER-DAT2.0\r\n\0\0\0"), "ends within event 0: 3 of its"),
        (lambda path: path.write_bytes(b"#!AER-DAT2.0\n\1" + bytes(7)), "beyond the 16 bits"),
    ],
    "e.dat": [
        (lambda path: path.write_bytes(b"% Version 1\n\0\x08"), "version 1; version 2 is read"),
        (lambda path: path.write_bytes(b"\0\x08"), "version unknown"),
        (lambda path: path.write_bytes(b"% Version 2\n\x0e\x08"), "type and size .14, 8."),
        (lambda path: path.write_bytes(b"% Version 2\n\0\x08abc"), "ends within event 0"),
        (lambda path: path.write_bytes(b"% Version 2\n"), "type and size .."),
        (lambda path: path.write_bytes(b"% Version 2\n\0\x08"), "holds no events"),
    ],
    "e.raw": [
        (lambda path: path.write_bytes(b"% evt 4.0\n"), "format EVT 4; EVT 2 and EVT 3 are read"),
        (lambda path: path.write_bytes(b"nothing"), "format EVT unknown"),
        (lambda path: path.write_bytes(b"% evt 3.0\n\0\0\0"), "ends within event 1: 1 of its 2"),
        (lambda path: path.write_bytes(b"% evt 3.0\n"), "holds no events"),
        (lambda path: path.write_bytes(b"% evt 2.0\n"), "holds no events"),
        (lambda path: path.write_bytes(b"% evt 3.0\n% endianness big\n"), "big-endian"),
    ],
    "e.txt": [
        (lambda path: path.write_text("1 2 3\n"), "line 1: has 3 values; t, x, y and p"),
        (lambda path: path.write_text("1 2 3 1\n1,5 2 3 1\n"), "line 2: has 5 values"),
        (lambda path: path.write_text("1;2;3;1\n"), "line 1: has 1 values"),
        (lambda path: path.write_text("1 2 3 1\n2 2 x 1\n"), r"line 2: is not a time in integer"),
        (lambda path: path.write_text("1 2 3 1\n0.5 2 3 1\n"), "line 2: is not a time in integer"),
        (lambda path: path.write_text("0.5 2 3 1\nnan 2 3 1\n"), "line 2: is not a time in sec"),
        (lambda path: path.write_text("0.5 2 3 1\ninf 2 3 1\n"), "line 2: is not a time in sec"),
        (
            lambda path: path.write_text("1 1 1 1\n99999999999999999999 1 1 1\n"),
            "line 2: is not a time",
        ),
        (lambda path: path.write_text("0 5\n1 1 1 1\n"), "line 1: declares a sensor of 0 columns"),
        (lambda path: path.write_text(""), "holds no events"),
    ],
    "e.npz": [
        (lambda path: np.savez(path, t=[1], x=[1], y=[1]), "has no array `p`"),
        (lambda path: files.write_packed(path, [files.columns()], [0]), "holds many recordings"),
        (lambda path: path.write_bytes(b"PK\3\4"), "truncated or damaged"),
        (lambda path: files.write_npz(path, files.columns(), sensor=[34]), "two positive integers"),
    ],
}


@pytest.mark.parametrize(
    ("name", "write", "message"), [(n, *case) for n, cases in BAD.items() for case in cases]
)
def test_bad_files_are_errors_that_name_the_place(name, write, message, tmp_path) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match=message) as caught:
        read_events(tmp_path / name, sensor=(34, 34))
    assert str(tmp_path / name) in str(caught.value)
    assert "Fix: " in str(caught.value)


def test_a_missing_file_and_a_missing_sensor(tmp_path) -> None:
    for name in ("e.bin", "e.aedat", "e.dat", "e.raw", "e.npz", "e.txt"):
        with pytest.raises(DataError, match="cannot be read"):
            read_events(tmp_path / name, sensor=(3, 3))
    path = files.write_npz(tmp_path / "e.npz", files.columns())
    with pytest.raises(DataError, match="does not specify the size of its sensor"):
        read_events(path)
    with pytest.raises(ValueError, match="`sensor` must be"):
        read_events(path, sensor=(0, 3))
