"""Event files with one fixed-size word for each event: N-MNIST .bin, AEDAT 2.0 and 3.1, and .dat.

Sources: Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using
saccades", Frontiers in Neuroscience 2015 (.bin); the AEDAT specification of iniVation; the file
format pages of Prophesee (.dat). Reading checks the consistency of the format; `check_events` then
checks the events.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.errors import DataError

NMNIST_SENSOR = (34, 34)
DVS128_SENSOR = (128, 128)
_WRAP = 1 << 23
_MARKER = 240  # the row of time overflow markers in recordings longer than 23 bits of microseconds


class Raw(NamedTuple):
    """Unchecked arrays of a file; `sensor` is None if the file does not specify it."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    sensor: tuple[int, int] | None


def read_bytes(path: Path) -> bytes:
    """The content of a file, or a DataError."""
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DataError.at(path, problem, fix="check the path and its permissions") from error


def read_bin(path: Path) -> Raw:
    """N-MNIST and N-Caltech101: five bytes an event, big endian.

    Byte 0 is x, byte 1 is y, then one bit of polarity and 23 bits of microseconds.

    Raises:
      DataError: the length is not a multiple of 5, or a time stamp has overflowed.
    """
    data = read_bytes(path)
    check_length(path, len(data), 5)
    rows = np.frombuffer(data, np.uint8).reshape(-1, 5).astype(np.int32)
    t = (rows[:, 2] & 127) << 16 | rows[:, 3] << 8 | rows[:, 4]
    wrapped = t[1:] - t[:-1] < -(_WRAP // 2)
    marked = rows[:, 1] == _MARKER
    if wrapped.any() or marked.any():
        i = int(np.argmax(marked)) if marked.any() else int(np.argmax(wrapped)) + 1
        how = f"is an overflow marker (y = {_MARKER})" if marked.any() else f"is {t[i]} us"
        raise DataError.at(
            path,
            f"event {i} {how}{'' if marked.any() else f' after {t[i - 1]} us'}: the 23-bit time "
            "stamp has overflowed",
            byte=5 * i,
            fix="shorten the recording to below 8.388 s, or save it as .npz with 64-bit times",
        )
    # of other cameras the size is not written in the file
    return Raw(t, rows[:, 0], rows[:, 1], rows[:, 2] >> 7, None)


def read_aedat(path: Path) -> Raw:
    """AEDAT 2.0 of a DVS128, or AEDAT 3.1 polarity events.

    Raises:
      DataError: another version or camera, or a truncated file.
    """
    data = read_bytes(path)
    match = re.match(rb"#!AER-DAT(\d)\.(\d)", data)
    version = f"{match[1].decode()}.{match[2].decode()}" if match else "unknown"
    if version == "2.0":
        return _aedat2(path, data)
    if version == "3.1":
        return _aedat3(path, data)
    raise DataError.at(
        path,
        f"is AEDAT of version {version}; 2.0 and 3.1 are read",
        byte=0,
        fix="export it as AEDAT 3.1 or .npz",
    )


def _aedat2(path: Path, data: bytes) -> Raw:
    """Pairs of a 32-bit address and 32-bit microseconds, big endian, after lines that start with #.

    x = 127 - bits 1..7, y = 127 - bits 8..14, p = 1 - bit 0; bit 15 marks other events.
    """
    start = skip_lines(data, b"#")
    chip = re.search(rb"AEChip:\s*(\S+)", data[:start])
    if chip is not None and b"DVS128" not in chip[1]:
        problem = f"was recorded by {chip[1].decode('latin-1')}; AEDAT 2.0 is read of DVS128 only"
        raise DataError.at(path, problem, byte=chip.start(), fix="export it as AEDAT 3.1 or .npz")
    check_length(path, len(data), 8, start)
    address, t = np.frombuffer(data, ">u4", offset=start).reshape(-1, 2).astype(np.int64).T
    high = address > 0xFFFF
    if high.any():
        i = int(np.argmax(high))
        problem = f"event {i} has the address {int(address[i]):#x}, beyond the 16 bits of a DVS128"
        raise DataError.at(path, problem, byte=start + 8 * i, fix="export it as AEDAT 3.1 or .npz")
    pixel = (address & 0x8000) == 0
    a = address[pixel]
    x, y = 127 - (a >> 1 & 127), 127 - (a >> 8 & 127)
    return Raw(t[pixel], x, y, 1 - (a & 1), DVS128_SENSOR)


def _aedat3(path: Path, data: bytes) -> Raw:
    """Packets of a 28-byte header and events, little endian; those of type 1 are polarity events.

    Word 0 of an event: bit 0 valid, bit 1 polarity, bits 2..16 y, bits 17..31 x; word 1:
    microseconds, of which the packet's header holds the overflow, in units of 2^31.
    """
    mark = b"#!END-HEADER\r\n"
    at = data.find(mark)
    if at < 0:
        raise DataError.at(path, "has no #!END-HEADER", byte=0, fix="copy the file again")
    at += len(mark)
    words, base = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)]
    while at < len(data):
        head = np.frombuffer(data, "<i4", count=min(7, (len(data) - at) // 4), offset=at)
        kind = int(head[0]) & 0xFFFF if len(head) else 0
        size, number = (int(head[1]), int(head[5])) if len(head) == 7 else (0, 0)
        end = at + 28 + size * number
        if len(head) < 7 or size < 1 or number < 0 or end > len(data):
            problem = "a packet ends beyond the file: it is truncated"
            raise DataError.at(path, problem, byte=at, fix="copy the file again")
        if kind == 1:
            if size != 8:
                problem = f"polarity events have {size} bytes; 8 are expected"
                raise DataError.at(path, problem, byte=at, fix="export it again")
            packet = np.frombuffer(data, "<u4", count=2 * number, offset=at + 28)
            words.append(packet.reshape(-1, 2).astype(np.int64))
            base.append(np.full(number, int(head[3]) << 31, np.int64))
        at = end
    rows, overflow = np.concatenate(words), np.concatenate(base)
    valid = (rows[:, 0] & 1) == 1
    a = rows[valid, 0]
    t = overflow[valid] + rows[valid, 1]
    return Raw(t, a >> 17 & 0x7FFF, a >> 2 & 0x7FFF, a >> 1 & 1, None)


def read_dat(path: Path) -> Raw:
    """Prophesee DAT of version 2: 32-bit microseconds and a 32-bit word, little endian.

    Word: bits 0..13 x, bits 14..27 y, bits 28..31 polarity. Lines that start with % come first,
    then the type and the size of an event, one byte each.

    Raises:
      DataError: another version, another type of event, or a truncated file.
    """
    data = read_bytes(path)
    start = skip_lines(data, b"%")
    header = data[:start].decode("latin-1")
    version = re.search(r"%\s*Version\s+(\d+)", header)
    if start == 0 or version is None or version[1] != "2":
        found = version[1] if version else "unknown"
        problem = f"is a .dat file of version {found}; version 2 is read"
        raise DataError.at(path, problem, byte=0, fix="convert it with the tools of the camera")
    if data[start : start + 2] not in (b"\x00\x08", b"\x0c\x08"):
        problem = (
            f"has events of type and size {list(data[start : start + 2])}; (0 or 12, 8) are read"
        )
        raise DataError.at(path, problem, byte=start, fix="export change-detection events")
    start += 2
    check_length(path, len(data), 8, start)
    t, word = np.frombuffer(data, "<u4", offset=start).reshape(-1, 2).astype(np.int64).T
    sizes = [re.search(rf"%\s*{name}\s+(\d+)", header) for name in ("Height", "Width")]
    sensor = tuple(int(m[1]) for m in sizes if m)
    known = (sensor[0], sensor[1]) if len(sensor) == 2 else None
    return Raw(t, word & 0x3FFF, word >> 14 & 0x3FFF, word >> 28, known)


def skip_lines(data: bytes, start: bytes) -> int:
    """Where the lines that begin with `start` end."""
    at = 0
    while data[at : at + 1] == start:
        end = data.find(b"\n", at)
        if end < 0:
            return len(data)
        at = end + 1
    return at


def check_length(path: Path, size: int, event: int, start: int = 0) -> None:
    """Raise unless `size` bytes, from `start` on, are complete events of `event` bytes."""
    rest = (size - start) % event
    if rest:
        complete = (size - start) // event
        raise DataError.at(
            path,
            f"ends within event {complete}: {rest} of its {event} bytes are there",
            byte=start + complete * event,
            fix="the file is truncated; copy it again",
        )
