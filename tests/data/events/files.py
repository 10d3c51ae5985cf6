"""Event files written for tests, after the descriptions of their formats."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def columns(n: int = 50, *, seed: int = 0, sensor=(34, 34), last: int = 300_000) -> Columns:
    """t, x, y, p of random events."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, last, n))
    height, width = sensor
    return t, rng.integers(0, width, n), rng.integers(0, height, n), rng.integers(0, 2, n)


def write_bin(path: Path, events: Columns) -> Path:
    rows = [
        bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])
        for t, x, y, p in zip(*(a.tolist() for a in events), strict=True)
    ]
    path.write_bytes(b"".join(rows))
    return path


def write_aedat2(path: Path, events: Columns, chip: str = "DVS128") -> Path:
    rows = [
        struct.pack(">II", (127 - y) << 8 | (127 - x) << 1 | (1 - p), t)
        for t, x, y, p in zip(*(a.tolist() for a in events), strict=True)
    ]
    rows.insert(1, struct.pack(">II", 0x8000, 0))  # a synchronisation event, no pixel
    head = f"#!AER-DAT2.0\r\n# a comment\r\n# AEChip: ch.unizh.ini.{chip}\r\n".encode()
    path.write_bytes(head + b"".join(rows))
    return path


def packet(kind: int, size: int, overflow: int, bodies: list[bytes]) -> bytes:
    n = len(bodies)
    return struct.pack("<hhiiiiii", kind, 1, size, 4, overflow, n, n, n) + b"".join(bodies)


def write_aedat3(path: Path, events: Columns, overflow: int = 0) -> Path:
    rows = [
        struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t)
        for t, x, y, p in zip(*(a.tolist() for a in events), strict=True)
    ]
    rows.insert(3, struct.pack("<II", 5 << 17, 0))  # marked as not valid
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"
    other = packet(0, 8, 0, [bytes(8)])  # a special event
    body = packet(1, 8, overflow, rows[:20]) + other + packet(1, 8, overflow, rows[20:])
    path.write_bytes(head + body)
    return path


def write_dat(path: Path, events: Columns, head: str = "% Version 2\n") -> Path:
    rows = [
        struct.pack("<II", t, p << 28 | y << 14 | x)
        for t, x, y, p in zip(*(a.tolist() for a in events), strict=True)
    ]
    path.write_bytes(head.encode() + b"\x0c\x08" + b"".join(rows))
    return path


def write_evt2(path: Path, events: Columns) -> Path:
    words, high = [], None
    for t, x, y, p in zip(*(a.tolist() for a in events), strict=True):
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 28 | high)
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    words.append(0xA << 28)  # a trigger
    head = b"% format EVT2;height=34;width=34\n% end\n"
    path.write_bytes(head + np.array(words, "<u4").tobytes())
    return path


def write_npz(path: Path, events: Columns, **more) -> Path:
    np.savez(path, **dict(zip("txyp", events, strict=True)), **more)
    return path


def write_packed(path: Path, recordings: list[Columns], labels, **more) -> Path:
    flat = [np.concatenate(column) for column in zip(*recordings, strict=True)]
    offset = np.cumsum([0, *(len(r[0]) for r in recordings)])
    np.savez(
        path, **dict(zip("txyp", flat, strict=True)), offset=offset, label=np.array(labels), **more
    )
    return path
