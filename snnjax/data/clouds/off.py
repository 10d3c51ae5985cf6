"""Polygon meshes in ASCII OFF files."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.errors import DataError
from snnjax.data.text import read_bytes

_EXPORT = "export the mesh again as plain ASCII OFF"


class Mesh(NamedTuple):
    """Triangles: vertices float64 [V, 3] and faces int64 [F, 3] into them."""

    vertices: np.ndarray
    faces: np.ndarray


class _Lines(NamedTuple):
    """The lines with content, and the line number of each."""

    text: list[bytes]
    number: list[int]


def read_off(path: str | Path) -> Mesh:
    """Read an ASCII OFF mesh; polygons are fanned into triangles.

    Numbers may be laid out on lines in any way, as the format allows. Comments and blank lines are
    skipped, and so are colours after a face that ends with its line. The header may share its line
    with the counts ("OFF490 518 0"), a known fault of some ModelNet40 files.

    Raises:
      DataError: file, line and fix, for anything but a complete mesh of finite vertices.
    """
    path = Path(path)
    raw = read_bytes(path)
    lines = _content(raw)
    counts = _counts(lines, path)
    if counts is None:
        return _by_tokens(lines, path, len(raw))
    vertices, faces, start = counts
    if len(lines.text) < start + vertices + faces:  # fewer than one line each
        return _by_tokens(lines, path, len(raw))
    try:
        corners = _vertices(lines, start, vertices, path)
        return Mesh(corners, _faces(lines, start + vertices, faces, vertices, path))
    except DataError as error:
        try:
            return _by_tokens(lines, path, len(raw))
        except DataError:
            raise error from None


def _content(raw: bytes) -> _Lines:
    rows = raw.splitlines()
    if b"#" in raw:
        rows = [row.partition(b"#")[0] for row in rows]
    number = [i for i, row in enumerate(rows) if row and not row.isspace()]
    return _Lines([rows[i] for i in number], [i + 1 for i in number])


def _counts(lines: _Lines, path: Path) -> tuple[int, int, int] | None:
    """Numbers of vertices and faces, and the index of the first vertex line.

    None where the counts are not on a line of their own.
    """
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
    if len(words) not in (2, 3):
        return None
    return (*_two_counts(words, path, lines.number[at]), at + 1)


def _two_counts(words: list[bytes], path: Path, line: int) -> tuple[int, int]:
    """Parse the numbers of vertices and faces at the start of `words`."""
    try:
        counts = [int(word) for word in words[:3]]
    except ValueError:
        counts = []
    if len(counts) < 2 or min(counts[:2]) < 1:
        problem = f"needs the numbers of vertices and faces, both above 0; found {words[:4]}"
        raise DataError.at(path, problem, line=line, fix=_EXPORT)
    return counts[0], counts[1]


class _Tokens(NamedTuple):
    """The words after OFF, the line of each, and the line index of each."""

    words: list[bytes]
    line: list[int]
    row: list[int]


def _by_tokens(lines: _Lines, path: Path, size: int) -> Mesh:
    """Parse a mesh by the rule of the format that any white space separates numbers.

    Nothing may follow the last face, so that a line with too many numbers is not read as the
    beginning of the next. The number of edges may be missing where a line ends before it.
    """
    rows = [row.split() for row in (lines.text[0].strip()[3:], *lines.text[1:])]
    words = [word for row in rows for word in row]
    row = [i for i, found in enumerate(rows) for _ in found]
    tokens = _Tokens(words, [lines.number[i] for i in row], row)
    try:
        return _after_counts(tokens, 3, lines, path, size)
    except DataError:
        if len(rows[row[0]]) != 2:
            raise
        return _after_counts(tokens, 2, lines, path, size)


def _after_counts(tokens: _Tokens, counts: int, lines: _Lines, path: Path, size: int) -> Mesh:
    vertices, faces = _two_counts(tokens.words[:counts], path, tokens.line[0])
    need = 3 * vertices + 4 * faces
    if counts + need > len(tokens.words):
        raise DataError.at(
            path,
            f"the header promises {vertices} vertices and {faces} faces, at least {need} numbers, "
            f"but the file ends {counts + need - len(tokens.words)} numbers too early",
            byte=size,
            fix="the file is truncated or its counts are wrong; copy or export it again",
        )
    at = counts + 3 * vertices
    corners = _three_each(tokens, counts, at, path)
    try:
        return Mesh(corners, _token_faces(tokens, at, faces, vertices, path))
    except DataError:
        first = tokens.row[at]  # colours are only known by the end of their line
        if tokens.row[at - 1] == first or first + faces > len(lines.text):
            raise
        return Mesh(corners, _polygons(lines, first, faces, vertices, path))


def _three_each(tokens: _Tokens, start: int, end: int, path: Path) -> np.ndarray:
    words = tokens.words[start:end]
    bad = next((i for i, word in enumerate(words) if not _is_number(word)), None)
    if bad is not None:
        problem = f"vertex {bad // 3} must be three numbers; found {words[bad][:40]!r}"
        raise DataError.at(path, problem, line=tokens.line[start + bad], fix=_EXPORT)
    out = np.array(words).astype(np.float64).reshape(-1, 3)
    _check_finite(out, path, lambda i: tokens.line[start + 3 * i])
    return out


def _token_faces(tokens: _Tokens, at: int, count: int, vertices: int, path: Path) -> np.ndarray:
    fans: list[tuple[int, int, int]] = []
    for i in range(count):
        words, line = tokens.words, tokens.line[min(at, len(tokens.line) - 1)]
        sides = int(words[at]) if at < len(words) and words[at].isdigit() else 0
        face = words[at : at + 1 + sides] if sides >= 3 else words[at : at + 4]
        fans += _fan(face, i, vertices, path, line)
        at += len(face)
    if at < len(tokens.words):
        problem = f"{len(tokens.words) - at} numbers follow the last face"
        raise DataError.at(path, problem, line=tokens.line[at], fix=_EXPORT)
    return np.array(fans, np.int64)


def _vertices(lines: _Lines, start: int, count: int, path: Path) -> np.ndarray:
    rows = lines.text[start : start + count]
    try:
        values = np.array(b" ".join(rows).split()).astype(np.float64)
    except ValueError:
        values = np.empty(0)
    if values.size != 3 * count or any(len(row.split()) != 3 for row in rows):
        raise _bad_vertex(lines, start, count, path)
    out = values.reshape(count, 3)
    _check_finite(out, path, lambda i: lines.number[start + i])
    return out


def _check_finite(vertices: np.ndarray, path: Path, line: Callable[[int], int]) -> None:
    finite = np.isfinite(vertices).all(1)
    if not finite.all():
        at = int(np.argmin(finite))
        problem = f"vertex {at} has a NaN or infinite coordinate: {vertices[at].tolist()}"
        raise DataError.at(path, problem, line=line(at), fix=_EXPORT)


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
        fans += _fan(lines.text[i].split(), i - start, vertices, path, lines.number[i])
    return np.array(fans, np.int64)


def _fan(
    words: list[bytes], face: int, vertices: int, path: Path, line: int
) -> list[tuple[int, int, int]]:
    """The triangles of one face, 'n i1 ... in' and whatever follows."""
    try:
        sides = int(words[0])
        corners = [int(word) for word in words[1 : 1 + sides]]
    except (ValueError, IndexError):
        sides, corners = -1, []
    if sides < 3 or len(corners) != sides:
        found = b" ".join(words)[:40]
        problem = f"face {face} must be 'n i1 ... in' with n >= 3; found {found!r}"
        raise DataError.at(path, problem, line=line, fix=_EXPORT)
    outside = [c for c in corners if not 0 <= c < vertices]
    if outside:
        problem = (
            f"face {face} names vertex {outside[0]}, but the mesh has {vertices} vertices"
            f" (0..{vertices - 1})"
        )
        raise DataError.at(path, problem, line=line, fix=_EXPORT)
    return [(corners[0], a, b) for a, b in pairwise(corners[1:])]


def sample_mesh(
    mesh: Mesh, n: int, rng: np.random.Generator, *, normals: bool = False
) -> np.ndarray:
    """Points uniform in area on a mesh.

    A triangle is drawn in proportion to its area, then, with u, v uniform and r = sqrt(u),

        p = (1 - r) a + r (1 - v) b + r v c

    Args:
      mesh: triangles. n: how many points. rng: random generator.
      normals: append the triangle's unit normal, oriented by the order of the corners.

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
