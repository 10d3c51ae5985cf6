"""Compiled programs that outlive the process, in JAX's own persistent cache."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from snnjax.train.errors import RunFolderError


@contextlib.contextmanager
def kept_programs(folder: str | Path | None) -> Iterator[str]:
    """While entered, programs are looked up in `folder` before they are compiled, and kept there.

    A program found there is the one that was compiled: results are the same bit for bit. Programs
    of other versions, devices or flags are told apart. With None JAX's own settings stay, such as
    `JAX_COMPILATION_CACHE_DIR`.

    Yields:
      What to add to a line about the run; empty for None.

    Raises:
      RunFolderError: the folder cannot be written. JAX alone would go on without a word.
    """
    if folder is None:
        yield ""
        return
    folder = Path(folder)
    count = _ready(folder)
    settings: dict[str, Any] = {
        "jax_compilation_cache_dir": str(folder.resolve()),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    _set(settings)
    try:
        yield f", compile cache {folder} ({count} programs)"
    finally:
        _set(before)


def _set(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # it is opened at the first compilation, and then stays


def _ready(folder: Path) -> int:
    """Make the folder, try to write in it, and count its programs."""
    probe = folder / ".probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)  # of several processes another one may be quicker
        return sum(1 for _ in folder.glob("*-cache"))
    except OSError as error:
        why = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise RunFolderError(
            f"cannot keep compiled programs in {folder}: {why}. Give --compile-cache a folder that "
            "can be written."
        ) from error
