"""Rows of numbers in text files: separators, headers and counts.

Programs write decimal commas, semicolons, headers and counts. Unambiguous
files are read; ambiguous ones are refused, since a wrong reading gives a wrong cloud.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.errors import DataError

_NAME = re.compile(rb"[A-Za-z_][\w.()\[\]-]*")
_BLANKS = re.compile(rb"\s*,\s+|\s+,?")  # with the comma next to them
_THOUSANDS = re.compile(rb"[+-]?[1-9]\d{0,2},\d{3}")
_AXES = [b"x", b"y", b"z"]


class _Row(NamedTuple):
    """A line with content: its number, counted from 1, and its text without comment."""

    line: int
    text: bytes


Table = list[list[bytes]]


def read_columns(raw: bytes, path: Path) -> np.ndarray:
    """The numbers of a text, a row for each line that is not blank or a comment ('#').

    Numbers are separated by blanks, tabs, commas or semicolons. Decimal commas are read where
    another character separates the numbers. A count of the rows and a header that names x, y, z
    first may precede the rows.

    Args:
      raw: the text. path: its file, for messages.

    Returns:
      float64 [n, C].

    Raises:
      DataError: a row is not numbers, differs in length from the first, or is ambiguous.
    """
    lines = enumerate(raw.splitlines(), 1)
    rows = [_Row(i, text) for i, line in lines if (text := line.partition(b"#")[0].strip())]
    if not rows:
        raise DataError.at(path, "the cloud is empty", byte=0, fix="remove the file or fill it")
    rows = _after_header(_after_count(rows, path), path)
    return _numbers(_table(rows, path), rows, path)


def _after_count(rows: list[_Row], path: Path) -> list[_Row]:
    """The rows without a first line that holds only the number of points."""
    if len(rows) == 1 or not rows[0].text.isdigit() or len(_words(rows[1].text)) < 3:
        return rows
    header = _is_header(rows[1])
    count, points = int(rows[0].text), len(rows) - 1 - header
    if count != points:
        raise DataError.at(
            path,
            f"is a count of {count} points, but {points} follow",
            line=rows[0].line,
            fix="the file is truncated or the count is wrong; copy it again or remove the line",
        )
    return rows[1:]


def _after_header(rows: list[_Row], path: Path) -> list[_Row]:
    """The rows without a header line, which must name x, y, z first."""
    if not _is_header(rows[0]):
        return rows
    names = [name.lower() for name in _header(rows[0].text)]
    if len(rows) == 1:
        raise DataError.at(path, "the cloud is empty", fix="remove the file or fill it")
    if names[:3] != _AXES:
        shown = b" ".join(names[:6]).decode("ascii", "replace")
        problem = f"is a header whose columns do not begin with x, y, z: {shown}"
        raise DataError.at(path, problem, line=rows[0].line, fix="put the columns x, y, z first")
    return rows[1:]


def _header(text: bytes) -> list[bytes]:
    return [word.strip(b"\"'") for word in _words(text.removeprefix(b"//"))]


def _is_header(row: _Row) -> bool:
    words = _header(row.text)
    return bool(words) and all(_NAME.fullmatch(w) and not _is_number(w) for w in words)


def _words(text: bytes) -> list[bytes]:
    return re.split(rb"[\s,;]+", text.strip(b" \t,;"))


def _table(rows: list[_Row], path: Path) -> Table:
    """Split each row into words with decimal points."""
    if any(b";" in row.text for row in rows):
        fields = [[f.strip() for f in _open(row.text, b";").split(b";")] for row in rows]
        return [[_point(field) for field in found] for found in fields]
    if not any(b"," in row.text for row in rows):
        return [row.text.split() for row in rows]
    if not any(b" " in row.text or b"\t" in row.text for row in rows):
        return [_open(row.text, b",").split(b",") for row in rows]
    commas, decimals = _by_commas(rows), _by_blanks(rows)
    if decimals is not None and _is_cloud(decimals):
        if _is_cloud(commas) and commas != decimals:
            problem = (
                "can be read in two ways, with decimal commas or with commas between the numbers: "
                f"{rows[0].text[:40]!r}"
            )
            raise DataError.at(path, problem, line=rows[0].line, fix="write decimal points")
        _refuse_thousands(rows, path)
        return decimals
    if commas is None:
        row = next(row for row in rows if _is_mixed(row.text))
        problem = f"has commas and blanks between its numbers: {row.text[:40]!r}"
        fix = "separate all numbers by the same character, and write decimal points"
        raise DataError.at(path, problem, line=row.line, fix=fix)
    return commas


def _open(text: bytes, separator: bytes) -> bytes:
    """A row without the separator after its last number."""
    return text.removesuffix(separator)


def _is_mixed(text: bytes) -> bool:
    """Whether a row separates some numbers by commas and others by blanks alone."""
    return b"," in text and any(b" " in f or b"\t" in f for f in _comma_fields(text))


def _comma_fields(text: bytes) -> list[bytes]:
    return [field.strip() for field in _open(text, b",").split(b",")]


def _by_commas(rows: list[_Row]) -> Table | None:
    """Rows read with commas as separators; None if blanks separate some numbers."""
    if any(_is_mixed(row.text) for row in rows):
        return None
    return [_comma_fields(row.text) if b"," in row.text else row.text.split() for row in rows]


def _by_blanks(rows: list[_Row]) -> Table | None:
    """Rows read with decimal commas: only commas next to a blank are separators."""
    fields = [_BLANKS.split(_open(row.text, b",")) for row in rows]
    if any(f.count(b",") > 1 or (b"," in f and b"." in f) for found in fields for f in found):
        return None
    return [[_point(field) for field in found] for found in fields]


def _is_cloud(table: Table | None) -> bool:
    """Whether a reading gives at least three columns, with the same number in each row."""
    return table is not None and len(table[0]) >= 3 and len({len(found) for found in table}) == 1


def _point(field: bytes) -> bytes:
    return field.replace(b",", b".") if field.count(b",") == 1 and b"." not in field else field


def _refuse_thousands(rows: list[_Row], path: Path) -> None:
    """Raise if every comma of the file may be a thousands separator, as in 1,234."""
    fields = [f for row in rows for f in _BLANKS.split(row.text) if b"," in f]
    if fields and all(_THOUSANDS.fullmatch(field) for field in fields):
        problem = f"has commas that may be decimal or separate thousands: {rows[0].text[:40]!r}"
        fix = "write decimal points, and no commas inside numbers"
        raise DataError.at(path, problem, line=rows[0].line, fix=fix)


def _numbers(table: Table, rows: list[_Row], path: Path) -> np.ndarray:
    width = len(table[0])
    for row, words in zip(rows, table, strict=True):
        if len(words) != width:
            if not all(map(_is_number, table[0])):
                raise _not_numbers(rows[0], path)
            problem = f"has {len(words)} values where the first line has {width}"
            raise DataError.at(
                path, problem, line=row.line, fix="give every point the same columns"
            )
    try:
        return np.array(table).astype(np.float64)
    except ValueError as error:
        pairs = zip(rows, table, strict=True)
        bad = next(row for row, words in pairs if not all(map(_is_number, words)))
        raise _not_numbers(bad, path) from error


def _not_numbers(row: _Row, path: Path) -> DataError:
    problem = f"is not a row of numbers: {row.text[:40]!r}"
    return DataError.at(path, problem, line=row.line, fix="remove the line or start it with #")


def _is_number(word: bytes) -> bool:
    try:
        np.array([word]).astype(np.float64)
    except ValueError:
        return False
    return True
