"""Hostile .npy and .npz files: never unpickled, always a DataError that names the file."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.arrays import read_npy, read_npz


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.npz"
    rng = np.random.default_rng(0)
    np.savez_compressed(path, points=rng.normal(size=(40, 3)), label=np.arange(4))
    return path


def test_what_numpy_wrote_is_read(tmp_path, archive):
    with np.load(archive, allow_pickle=False) as expected:
        got = read_npz(archive)
        assert set(got) == set(expected.files)
        for name in expected.files:
            np.testing.assert_array_equal(got[name], expected[name])
    assert set(read_npz(archive, only=("label",))) == {"label"}
    for i, array in enumerate((np.asfortranarray(np.eye(3)[:2]), np.float32(3), np.zeros((0, 3)))):
        np.save(tmp_path / f"{i}.npy", array)
        np.testing.assert_array_equal(read_npy(tmp_path / f"{i}.npy"), array)


@pytest.mark.parametrize(("reader", "name"), [(read_npy, "x.npy"), (read_npz, "x.npz")])
def test_a_pickle_in_disguise_is_refused(tmp_path, reader, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(DataError, match="pickle") as error:
        reader(path)
    assert str(path) in str(error.value)
    assert "byte 0" in str(error.value)
    assert "Fix:" in str(error.value)


def test_object_arrays_are_refused(tmp_path):
    data = np.array([_Bomb(), 1], object)
    np.save(tmp_path / "o.npy", data)
    np.savez(tmp_path / "o.npz", points=data)
    for reader, name in ((read_npy, "o.npy"), (read_npz, "o.npz")):
        with pytest.raises(DataError, match="Python objects"):
            reader(tmp_path / name)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.7, 0.99])
def test_a_truncated_archive_is_refused(archive, part):
    raw = archive.read_bytes()
    archive.write_bytes(raw[: int(len(raw) * part)])
    with pytest.raises(DataError, match=r"a\.npz"):
        read_npz(archive)


@pytest.mark.parametrize("keep", [0, 5, 30, 130, -1])
def test_a_truncated_array_is_refused(tmp_path, keep):
    path = tmp_path / "t.npy"
    np.save(path, np.arange(30.0))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"t\.npy"):
        read_npy(path)


def test_any_flipped_byte_gives_the_array_or_a_data_error(archive, tmp_path):
    np.save(tmp_path / "f.npy", np.arange(6.0).reshape(2, 3))
    rng = np.random.default_rng(0)
    for reader, path in ((read_npz, archive), (read_npy, tmp_path / "f.npy")):
        raw = path.read_bytes()
        refused = 0
        for _ in range(400):
            at, bit = int(rng.integers(len(raw))), 1 << int(rng.integers(8))
            path.write_bytes(raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :])
            try:
                reader(path)
            except DataError:
                refused += 1
        assert refused > 50


def _header(text: str, data: bytes = b"") -> bytes:
    body = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body + data


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000000000000)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': 'no such type', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': __import__('os'), 'fortran_order': False, 'shape': (2,)}",
        "(" * 5000,
        "",
    ],
)
def test_lying_headers_are_refused_before_memory_is_taken(tmp_path, text):
    path = tmp_path / "h.npy"
    path.write_bytes(_header(text, b"\0" * 8))
    with pytest.raises(DataError):
        read_npy(path)
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as out:
        out.writestr("points.npy", path.read_bytes())
    with pytest.raises(DataError):
        read_npz(tmp_path / "h.npz")


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(1 << 20))
    with zipfile.ZipFile(tmp_path / "z.npz", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("points.npy", buffer.getvalue())
    monkeypatch.setattr("snnjax.data.arrays.MAX_BYTES", 1 << 20)
    with pytest.raises(DataError, match="unpacks to"):
        read_npz(tmp_path / "z.npz")


def test_missing_files_and_empty_archives(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(tmp_path / "none.npz")
    np.savez(tmp_path / "e.npz")
    with pytest.raises(DataError, match=r"e\.npz"):
        read_npz(tmp_path / "e.npz")
