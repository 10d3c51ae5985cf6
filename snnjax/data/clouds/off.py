"""Polygon meshes in ASCII OFF files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.errors import DataError

_EXPORT = "export the mesh again as plain ASCII OFF"


class Mesh(NamedTuple):
    """Triangles: vertices float64 [V, 3] and faces int64 [F, 3] into them."""

    vertices: np.ndarray
    faces: np.ndarray


class _Lines(NamedTuple):
    """The lines with content, and where each stood in the file."""

    text: list[bytes]
    number: list[int]


def read_off(path: str | Path) -> Mesh:
    """Read an ASCII OFF mesh; polygons are fanned into triangles.

    Comments, blank lines and colours after a face are skipped. The header may share its line with
    the counts ("OFF490 518 0"), a known fault of some ModelNet40 files.

    Raises:
      DataError: file, line and fix, for anything else than a whole mesh of finite vertices.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        fix = "check the path and its permissions"
        raise DataError.at(path, f"cannot be read ({error.strerror})", fix=fix) from error
    lines = _content(raw)
    vertices, faces, start = _counts(lines, path)
    missing = start + vertices + faces - len(lines.text)
    if missing > 0:
        raise DataError.at(
            path,
            f"the header promises {vertices} vertices and {faces} faces, but the file ends "
            f"{missing} lines too early",
            byte=len(raw),
            fix="the file is truncated or its counts are wrong; copy or export it again",
        )
    corners = _vertices(lines, start, vertices, path)
    return Mesh(corners, _faces(lines, start + vertices, faces, vertices, path))


def _content(raw: bytes) -> _Lines:
    rows = raw.splitlines()
    if b"#" in raw:
        rows = [row.partition(b"#")[0] for row in rows]
    number = [i for i, row in enumerate(rows) if row and not row.isspace()]
    return _Lines([rows[i] for i in number], [i + 1 for i in number])


def _counts(lines: _Lines, path: Path) -> tuple[int, int, int]:
    """Numbers of vertices and faces, and the index of the first vertex line."""
    if not lines.text:
        raise DataError.at(path, "the file is empty", byte=0, fix=_EXPORT)
    head = lines.text[0].strip()
    if not head.startswith(b"OFF"):
        problem = f"an OFF file starts with 'OFF'; this one starts with {head[:16]!r}"
        raise DataError.at(path, problem, line=lines.number[0], fix=_EXPORT)
    same_line = head[3:].strip()
    at = 0 if same_line else 1
    if at >= len(lines.text):
        raise DataError.at(path, "the counts after 'OFF' are missing", line=2, fix=_EXPORT)
    words = same_line.split() if same_line else lines.text[1].split()
    try:
        counts = [int(word) for word in words]
    except ValueError:
        counts = []
    if len(counts) not in (2, 3) or min(counts[:2]) < 1:
        problem = f"needs the numbers of vertices and faces, both above 0; found {words[:4]}"
        raise DataError.at(path, problem, line=lines.number[at], fix=_EXPORT)
    return counts[0], counts[1], at + 1


def _vertices(lines: _Lines, start: int, count: int, path: Path) -> np.ndarray:
    rows = lines.text[start : start + count]
    try:
        values = np.array(b" ".join(rows).split()).astype(np.float64)
    except ValueError:
        values = np.empty(0)
    if values.size != 3 * count or any(len(row.split()) != 3 for row in rows):
        raise _bad_vertex(lines, start, count, path)
    out = values.reshape(count, 3)
    finite = np.isfinite(out).all(1)
    if not finite.all():
        at = int(np.argmin(finite))
        problem = f"vertex {at} has a NaN or infinite coordinate: {out[at].tolist()}"
        raise DataError.at(path, problem, line=lines.number[start + at], fix=_EXPORT)
    return out


def _bad_vertex(lines: _Lines, start: int, count: int, path: Path) -> DataError:
    """The error about the first line that is not three numbers."""
    for i in range(start, start + count):
        words = lines.text[i].split()
        if len(words) == 3 and all(_is_number(word) for word in words):
            continue
        problem = f"vertex {i - start} must be three numbers; found {lines.text[i][:40]!r}"
        return DataError.at(path, problem, line=lines.number[i], fix=_EXPORT)
    return DataError.at(path, "the vertices cannot be read", line=lines.number[start], fix=_EXPORT)


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return b"_" not in word


def _faces(lines: _Lines, start: int, count: int, vertices: int, path: Path) -> np.ndarray:
    words = b" ".join(lines.text[start : start + count]).split()
    if len(words) == 4 * count and all(w == b"3" for w in words[::4]):
        try:
            out = np.array(words).astype(np.int64).reshape(count, 4)[:, 1:]
        except (ValueError, OverflowError):
            out = None
        if out is not None and out.min() >= 0 and out.max() < vertices:
            return out
    return _polygons(lines, start, count, vertices, path)


def _polygons(lines: _Lines, start: int, count: int, vertices: int, path: Path) -> np.ndarray:
    """Faces line by line: any number of corners, colours after them, errors with their line."""
    fans: list[tuple[int, int, int]] = []
    for i in range(start, start + count):
        words = lines.text[i].split()
        try:
            corners = [int(word) for word in words[1 : 1 + int(words[0])]]
            sides = int(words[0])
        except ValueError:
            sides, corners = -1, []
        if sides < 3 or len(corners) != sides:
            problem = (
                f"face {i - start} must be 'n i1 ... in' with n >= 3; found {lines.text[i][:40]!r}"
            )
            raise DataError.at(path, problem, line=lines.number[i], fix=_EXPORT)
        outside = [c for c in corners if not 0 <= c < vertices]
        if outside:
            problem = (
                f"face {i - start} names vertex {outside[0]}, but the mesh has {vertices} vertices"
                f" (0..{vertices - 1})"
            )
            raise DataError.at(path, problem, line=lines.number[i], fix=_EXPORT)
        fans += [(corners[0], a, b) for a, b in pairwise(corners[1:])]
    return np.array(fans, np.int64)


def sample_mesh(
    mesh: Mesh, n: int, rng: np.random.Generator, *, normals: bool = False
) -> np.ndarray:
    """Points uniform in area on a mesh.

    A triangle is drawn in proportion to its area, then, with u, v uniform and r = sqrt(u),

        p = (1 - r) a + r (1 - v) b + r v c

    Args:
      mesh: triangles. n: how many points. rng: where the draws come from.
      normals: append the triangle's unit normal, its side given by the order of the corners.

    Returns:
      float64 [n, 3] or [n, 6].

    Raises:
      ValueError: every triangle has area 0.

    >>> square = Mesh(np.array([[0., 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    >>> sample_mesh(square, 5, np.random.default_rng(0), normals=True)[:, 5].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    size = max(float(np.abs(mesh.vertices).max()), np.finfo(np.float64).tiny)
    a, b, c = np.moveaxis((mesh.vertices / size)[mesh.faces], 1, 0)  # unit size: no overflow
    across = np.cross(b - a, c - a)
    area = np.sqrt((across**2).sum(1))
    if not area.sum() > 0:
        raise ValueError("the mesh has no area: all its triangles are degenerate")
    edges = np.cumsum(area) / area.sum()
    face = np.searchsorted(edges, rng.random(n), side="right").clip(max=len(area) - 1)
    r, v = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    points = (1 - r) * a[face] + r * (1 - v) * b[face] + r * v * c[face]
    if not normals:
        return points * size
    return np.concatenate([points * size, across[face] / area[face][:, None]], axis=1)
