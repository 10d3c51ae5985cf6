"""The error that all readers of data raise."""

from __future__ import annotations

from pathlib import Path


class DataError(ValueError):
    """A file, folder or array that cannot be used as data.

    The message names the file, the place in it (line number or byte offset) and the fix.

    >>> str(DataError.at("a.off", "has no faces", line=3, fix="export the mesh again"))
    'a.off, line 3: has no faces. Fix: export the mesh again.'
    """

    @classmethod
    def at(
        cls,
        path: str | Path,
        problem: str,
        *,
        line: int | None = None,
        byte: int | None = None,
        fix: str = "",
    ) -> DataError:
        """An error about one place of one file.

        Args:
          path: the file. problem: what is wrong, as a sentence without its full stop.
          line: line number, counted from 1. byte: byte offset, counted from 0.
          fix: what the user can do, in the imperative.
        """
        place = f", line {line}" if line is not None else ""
        place += f", byte {byte}" if byte is not None else ""
        return cls(f"{path}{place}: {problem}." + (f" Fix: {fix}." if fix else ""))
