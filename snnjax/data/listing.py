"""Files and folders that are data: sorted, without hidden ones."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path


def visible_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files of a folder that end in one of `suffixes` (lower case), in the order of names.

    Names that begin with a dot are not data: `._a.wav` is a note about `a.wav` that some systems
    leave on memory sticks and in archives.
    """
    return sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in suffixes and not is_hidden(p.name) and p.is_file()
    )


def visible_folders(folder: Path) -> list[Path]:
    """The folders in a folder, in the order of names; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not is_hidden(p.name))


def is_hidden(name: str) -> bool:
    """Whether a file of this name, or a member of an archive, is left out.

    >>> [is_hidden(n) for n in ("a.wav", "._a.wav", "yes/._a.wav", "__MACOSX/a.npy")]
    [False, True, True, True]
    """
    parts = name.split("/")
    return parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts)
