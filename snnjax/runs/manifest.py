"""SHA-256 manifests of checkpoints, written before a commit and verified on restore."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

NAME = "sha256.json"

# Orbax still changes these two while it commits. They contain no part of a state and are
# not needed to restore it.
_UNLISTED = ("_CHECKPOINT_METADATA", "commit_success.txt")


def write_manifest(folder: Path) -> None:
    """List size and SHA-256 of every file below `folder` in its `sha256.json`."""
    listed = {name: [size, _digest(folder / name)] for name, size in _sizes(folder).items()}
    with (folder / NAME).open("w", encoding="utf-8") as file:
        json.dump(listed, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())


def find_damage(folder: Path) -> str | None:
    """The problem with the first file that differs from what was saved; None if all match.

    The answer depends on the files alone, so processes that see the same ones agree. Sizes are
    compared first, then contents, in the order of the names. Unlisted files are
    ignored.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     file = Path(name, "array")
    ...     _ = file.write_bytes(bytes(4))
    ...     write_manifest(Path(name))
    ...     sound = find_damage(Path(name))
    ...     _ = file.write_bytes(bytes([0, 0, 1, 0]))
    ...     sound, find_damage(Path(name))
    (None, 'array differs in content from what was saved')
    """
    try:
        listed = _read(folder / NAME)
        found = _sizes(folder)
        for name, (size, _) in listed.items():
            if name not in found:
                return f"{name} is missing"
            if found[name] != size:
                return f"{name} has {found[name]} bytes instead of {size}"
        for name, (_, digest) in listed.items():
            if _digest(folder / name) != digest:
                return f"{name} differs in content from what was saved"
    except OSError as error:
        name = error.filename and os.path.relpath(error.filename, folder)
        return f"{name or 'a file'} cannot be read: {error.strerror or error}"
    except (ValueError, TypeError, AttributeError, RecursionError):
        return f"{NAME}, the list of its files, is not readable"
    return None


def _read(path: Path) -> dict[str, tuple[int, str]]:
    listed: Any = json.loads(path.read_text(encoding="utf-8"))
    return {str(name): (int(size), str(digest)) for name, (size, digest) in listed.items()}


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of the files below `folder` by their name in it, in the order of the names."""
    skipped = {folder / name for name in (NAME, *_UNLISTED)}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in skipped)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
