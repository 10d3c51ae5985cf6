"""Read untrusted .npy and .npz files: never unpickle, never trust a size."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from snnjax.data.listing import is_hidden

from .errors import DataError

MAX_BYTES = 4 << 30  # of one file, unpacked
_NPY, _ZIP = b"\x93NUMPY", b"PK"
_PICKLES = tuple(b"\x80" + bytes([version]) for version in range(2, 6))
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError),
)
_BAD_HEADER = (
    *(ValueError, TypeError, SyntaxError, TokenError),
    *(OverflowError, RecursionError, MemoryError),
)


def read_npy(path: str | Path) -> np.ndarray:
    """The array of a .npy file.

    Raises:
      DataError: not a .npy file, a pickle, object dtype, or a size other than its header declares.
    """
    path = Path(path)
    _check_magic(path, _NPY, ".npy")
    with open(path, "rb") as file:
        return _read_array(file, path.stat().st_size, path, path.name)


def read_npz(path: str | Path, only: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name: all, or those of the names `only`.

    Raises:
      DataError: not a zip, a pickle, truncated or damaged, object dtype, or too large unpacked.
    """
    path = Path(path)
    _check_magic(path, _ZIP, ".npz")
    out = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if _is_array(m.filename)]
            total = sum(m.file_size for m in members)
            if total > MAX_BYTES:
                raise DataError.at(
                    path,
                    f"unpacks to {total} bytes, more than the {MAX_BYTES} this reader takes",
                    fix="split the file",
                )
            for member in members:
                name = member.filename.removesuffix(".npy")
                if only is not None and name not in only:
                    continue
                with archive.open(member) as file:
                    out[name] = _read_array(file, member.file_size, path, name)
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError.at(
            path,
            f"the archive is truncated or damaged ({error})",
            byte=path.stat().st_size,
            fix="copy or download the file again",
        ) from error
    if not members:
        raise DataError.at(path, "holds no arrays", fix="save it with numpy.savez")
    return out


def _is_array(member: str) -> bool:
    return member.endswith(".npy") and not is_hidden(member)


def _check_magic(path: Path, magic: bytes, kind: str) -> None:
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise DataError.at(
            path, f"cannot be read ({error.strerror})", fix="check the path"
        ) from error
    if head.startswith(magic):
        return
    if head.startswith(_PICKLES):
        raise DataError.at(
            path,
            f"is a Python pickle named {kind}; unpickling can run arbitrary code, so it is refused",
            byte=0,
            fix=f"load it where you trust it and save plain numeric arrays as {kind}",
        )
    found = "is empty" if not head else f"does not start like a {kind} file (found {head!r})"
    raise DataError.at(path, found, byte=0, fix=f"save the data as {kind} with NumPy")


def _read_array(file: IO[bytes], size: int, path: Path, name: str) -> np.ndarray:
    """One .npy stream of `size` bytes; its header must agree with that size."""
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"format version {version}")
    except _BAD_HEADER as error:
        problem = f"the header of array '{name}' is not valid ({error})"
        raise DataError.at(path, problem, byte=0, fix="save it again with NumPy") from error
    start = file.tell()
    if dtype.hasobject:
        raise DataError.at(
            path,
            f"array '{name}' holds Python objects, which are refused: unpickling can run any code",
            byte=start,
            fix="save plain numbers; clouds of different sizes go into one array with `offset`",
        )
    items = 1
    for extent in shape:  # Python integers: a hostile shape cannot overflow
        items *= int(extent)
    if min(shape, default=0) < 0 or items * dtype.itemsize != size - start:
        raise DataError.at(
            path,
            f"array '{name}' declares {shape} of {dtype}, {items * dtype.itemsize} bytes, "
            f"but {size - start} follow",
            byte=start,
            fix="the file is truncated or damaged; copy it again",
        )
    data = file.read(size - start)
    if len(data) != size - start:
        raise DataError.at(
            path, f"array '{name}' ends early", byte=start + len(data), fix="copy the file again"
        )
    flat = np.frombuffer(data, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
