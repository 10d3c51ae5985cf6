"""Text files from other systems: byte-order marks and encodings."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

from snnjax.data.errors import DataError

_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}


def read_bytes(path: Path) -> bytes:
    """The content of a text file without its UTF-8 byte-order mark.

    Raises:
      DataError: the file cannot be read, or is UTF-16 or UTF-32.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DataError.at(path, problem, fix="check the path and its permissions") from error
    for mark, name in _OTHER_MARKS.items():
        if raw.startswith(mark):
            raise DataError.at(path, f"is {name} text", byte=0, fix="save it as UTF-8")
    return raw.removeprefix(_UTF8_MARK)


def read_names(path: Path) -> list[tuple[int, str]]:
    """The lines of a list of names that are not blank, with their numbers from 1 on.

    Raises:
      DataError: the file cannot be read, or is not UTF-8.
    """
    try:
        text = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError.at(
            path, "is not UTF-8 text", byte=error.start, fix="save it as UTF-8"
        ) from error
    return [(i, row.strip()) for i, row in enumerate(text.splitlines(), 1) if row.strip()]


Rows = list[tuple[int, str]]


def check_lists(lists: Mapping[Path, Rows], key: Callable[[str], Hashable] = str) -> None:
    """Raise if a name is listed twice: a duplicate in one list, a leak across two lists.

    Args:
      lists: the rows of `read_names` by file. key: what makes two names the same sample.

    Raises:
      DataError: the list, the line, and the other place of the name.
    """
    seen: dict[Hashable, tuple[Path, int]] = {}
    for path, rows in lists.items():
        for line, name in rows:
            other, first = seen.setdefault(key(name), (path, line))
            if (other, first) == (path, line):
                continue
            if other == path:
                problem = f"'{name}' is listed in line {first} already"
                raise DataError.at(path, problem, line=line, fix="list every sample once")
            problem = f"'{name}' is in {other.name}, line {first}, too"
            raise DataError.at(
                path, problem, line=line, fix="take it out of one list: no sample is in two parts"
            )
