"""Compiled programs that outlive the process, in JAX's own persistent cache."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from snnjax.runs.errors import RunFolderError

LIMIT = 4 << 30
"""Size limit of the user's cache in bytes; least recently used programs are deleted first."""

_QUICK = 0.2  # seconds; programs that compile faster are not kept in the user's cache


def user_cache() -> Path:
    """The folder of compiled programs of this user: $XDG_CACHE_HOME/snnjax, or ~/.cache/snnjax."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "snnjax" / "programs"


@contextlib.contextmanager
def kept_programs(folder: str | Path | bool = True) -> Iterator[str]:
    """A context in which compiled programs are read from and stored in a folder.

    A program found there is the one that was compiled: results are the same bit for bit. Programs
    for other versions, devices or flags are distinct.

    Args:
      folder: the cache; True is the user's own, see `user_cache`, unless JAX has a cache already
        (such as by `JAX_COMPILATION_CACHE_DIR`); False leaves JAX's settings unchanged.

    Yields:
      Text to append to a line about the run; empty without a cache.

    Raises:
      RunFolderError: the folder that was given cannot be written. JAX itself continues
        silently, which is kept for the user's own cache.
    """
    if folder is False or (folder is True and _configured()):
        yield ""
        return
    own = folder is True
    path = user_cache() if own else Path(folder)
    try:
        count = _ready(path)
    except OSError as error:
        if own:  # a read-only home must not prevent training
            yield ""
            return
        why = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise RunFolderError(
            f"cannot keep compiled programs in {path}: {why}. Give --compile-cache a folder that "
            "can be written."
        ) from error
    if own:
        prune(path)
    settings: dict[str, Any] = {
        "jax_compilation_cache_dir": str(path.resolve()),
        "jax_persistent_cache_min_compile_time_secs": _QUICK if own else 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    _set(settings)
    try:
        yield f", compile cache {path} ({count} programs)"
    finally:
        _set(before)


def prune(folder: Path, limit: int = LIMIT) -> None:
    """Delete the least recently used programs until the rest is within `limit` bytes."""
    found = []
    for path in folder.glob("*-cache"):
        with contextlib.suppress(OSError):  # another process may delete it too
            stat = path.stat()
            found.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        total -= size
        for each in (path, path.with_name(path.name.removesuffix("-cache") + "-atime")):
            with contextlib.suppress(OSError):
                each.unlink()


def _configured() -> bool:
    flags: Any = jax.config  # its attributes are created dynamically
    return bool(flags.jax_compilation_cache_dir)


def _set(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # it is opened at the first compilation, and then stays


def _ready(folder: Path) -> int:
    """Make the folder, try to write in it, and count its programs."""
    probe = folder / ".probe"
    folder.mkdir(parents=True, exist_ok=True)
    probe.touch()
    probe.unlink(missing_ok=True)  # another process may have deleted it
    return sum(1 for _ in folder.glob("*-cache"))
