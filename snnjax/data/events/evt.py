"""Prophesee .raw files: EVT 2.0 and EVT 3.0, decoded without loops over events.

Both are streams of words that change a state (time, row, first column) or send events. The state
at a word is the last one before it, which a running maximum over positions finds.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from snnjax.data.errors import DataError

from .binary import Raw, check_length, read_bytes, skip_lines

_NUMBER = re.compile(rb"%\s*geometry\s+(\d+)x(\d+)")


def read_raw(path: Path) -> Raw:
    """Change-detection events of a .raw file; triggers and other words are skipped.

    Raises:
      DataError: another format than EVT 2.0 or 3.0, or a truncated file.
    """
    data = read_bytes(path)
    start = skip_lines(data, b"%")
    header = data[:start]
    found = re.search(rb"%\s*(?:evt\s+|format\s+EVT)(\d)", header)
    version = found[1].decode() if found else "unknown"
    if version not in ("2", "3"):
        problem = f"is in the format EVT {version}; EVT 2 and EVT 3 are read"
        raise DataError.at(path, problem, byte=0, fix="export it as EVT 2, EVT 3, .dat or .npz")
    if re.search(rb"%\s*endianness\s+big", header):
        problem = "has big-endian words; little-endian ones are read"
        raise DataError.at(path, problem, byte=0, fix="export it as .dat or .npz")
    size = 4 if version == "2" else 2
    check_length(path, len(data), size, start)
    words = np.frombuffer(data, f"<u{size}", offset=start).astype(np.int64)
    t, x, y, p = (decode_evt2 if version == "2" else decode_evt3)(words)
    return Raw(t, x, y, p, _geometry(header))


def _geometry(header: bytes) -> tuple[int, int] | None:
    """The sensor size (H, W) from a header."""
    plain = _NUMBER.search(header)
    if plain:
        return int(plain[2]), int(plain[1])
    sizes = [
        re.search(rb"format.*\b" + name + rb"=(\d+)", header) for name in (b"height", b"width")
    ]
    return (int(sizes[0][1]), int(sizes[1][1])) if sizes[0] and sizes[1] else None


def decode_evt2(words: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """t, x, y, p of 32-bit words.

    Bits 28..31 are the type: 0 and 1 an event that became darker or brighter (bits 22..27 the low 6
    bits of time, 11..21 x, 0..10 y), 8 the high 28 bits of time.

    Args:
      words: int64 [N].
    """
    kind = words >> 28
    high, known = _latest(kind == 8, (words & 0xFFFFFFF) << 6)
    pixel = (kind <= 1) & known
    w = words[pixel]
    return high[pixel] | (w >> 22 & 0x3F), w >> 11 & 0x7FF, w & 0x7FF, w >> 28


def decode_evt3(words: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """t, x, y, p of 16-bit words.

    Bits 12..15 are the type: 0 sets y, 2 is an event at x, 3 sets the first column and polarity of
    vectors, 4 and 5 are vectors of 12 and 8 pixels (one bit each) and move that column on, 6 and 8
    set the low and high 12 bits of time. The 24-bit time wraps about every 16.8 s; a high
    part that falls by half of its range or more counts as one wrap.

    Args:
      words: int64 [N].
    """
    kind, low12 = words >> 12, words & 0xFFF
    y, _ = _latest(kind == 0, words & 0x7FF)
    t, known = _time(kind, low12)
    single = (kind == 2) & known
    w = np.flatnonzero(single)
    base, based = _latest(kind == 3, words & 0x7FF)
    sign, _ = _latest(kind == 3, words >> 11 & 1)
    width = np.where(kind == 4, 12, np.where(kind == 5, 8, 0))
    moved = np.cumsum(width) - width  # columns that vectors before this word have covered
    column = base + moved - _latest(kind == 3, moved)[0]
    vector = np.flatnonzero((width > 0) & known & based)
    bits = (words[vector, None] >> np.arange(12) & 1).astype(bool) & (
        np.arange(12) < width[vector, None]
    )
    row, bit = np.nonzero(bits)
    v = vector[row]
    order = np.argsort(np.concatenate([w, v]), kind="stable")
    columns = ((t[w], t[v]), (words[w] & 0x7FF, column[v] + bit), (y[w], y[v]))
    t, x, y = (np.concatenate(both)[order] for both in columns)
    return t, x, y, np.concatenate([words[w] >> 11 & 1, sign[v]])[order]


def _time(kind: np.ndarray, low12: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds at each word, and whether a high part of time came before it."""
    places = np.flatnonzero(kind == 8)
    parts = low12[places]
    wraps = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(parts) <= -2048)])
    high = np.zeros(len(kind), np.int64)
    high[places] = parts + (wraps[: len(places)] << 12)
    latest, known = _latest(kind == 8, high)
    # a high part that changes sets the low part to 0 until the next one; a repeated one keeps it
    fresh = np.zeros(len(kind), bool)
    fresh[places] = np.diff(high[places], prepend=-1) != 0
    low, _ = _latest((kind == 6) | fresh, np.where(kind == 6, low12, 0))
    return latest << 12 | low, known


def _latest(sets: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each word, the value of the latest setting word (or 0), and whether there is one."""
    at = np.maximum.accumulate(np.where(sets, np.arange(len(sets)), -1))
    return np.where(at >= 0, value[np.maximum(at, 0)], 0), at >= 0
