from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from snnjax.runs import RunFolderError, train
from snnjax.runs.compile_cache import kept_programs, prune, user_cache
from tests.train.tiny import tiny_experiment

NAMES = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


def test_programs_are_found_again_and_the_settings_return(tmp_path: Path) -> None:
    before = [getattr(jax.config, name) for name in NAMES]
    folder = tmp_path / "new" / "programs"

    def work() -> None:
        jax.clear_caches()
        jax.jit(lambda x: x * 3 + 1)(jnp.arange(5.0)).block_until_ready()

    with kept_programs(folder) as said:
        assert said == f", compile cache {folder} (0 programs)"
        work()
    kept = sorted(path.name for path in folder.glob("*-cache"))
    assert kept
    with kept_programs(str(folder)) as said:
        assert said == f", compile cache {folder} ({len(kept)} programs)"
        work()
    assert sorted(path.name for path in folder.glob("*-cache")) == kept
    assert [getattr(jax.config, name) for name in NAMES] == before


def test_processes_may_try_one_folder_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch = Path.touch

    def taken(self: Path) -> None:
        touch(self)
        self.unlink()

    monkeypatch.setattr(Path, "touch", taken)
    with kept_programs(tmp_path) as said:
        assert said.endswith("(0 programs)")


@pytest.mark.parametrize("folder", [False, True])
def test_without_a_folder_the_settings_of_jax_stay(folder: bool) -> None:
    """The tests have a cache of their own, which the user's does not replace."""
    before = [getattr(jax.config, name) for name in NAMES]
    with kept_programs(folder) as said:
        assert said == ""
        assert [getattr(jax.config, name) for name in NAMES] == before


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_a_user_has_a_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_cache: None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with kept_programs() as said:
        assert said == f", compile cache {tmp_path}/snnjax/programs (0 programs)"
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "snnjax" / "programs")
    assert jax.config.jax_compilation_cache_dir is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache() == Path.home() / ".cache" / "snnjax" / "programs"


def test_a_home_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_cache: None
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with kept_programs() as said:
        assert said == ""
        assert jax.config.jax_compilation_cache_dir is None


def test_what_was_not_used_for_longest_is_deleted(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old", "older")):
        for kind in ("cache", "atime"):
            (tmp_path / f"{name}-{kind}").write_bytes(bytes(100))
            os.utime(tmp_path / f"{name}-{kind}", (1e9 - age, 1e9 - age))
    prune(tmp_path, limit=150)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new-atime", "new-cache"]
    prune(tmp_path, limit=100)
    assert (tmp_path / "new-cache").exists()


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = r"cannot keep compiled programs in .*file: it is a file\. Give --compile-cache"
    with pytest.raises(RunFolderError, match=message):
        train(tiny_experiment(tmp_path), compile_cache=tmp_path / "file", progress=False)
    with (
        pytest.raises(RunFolderError, match=r"programs in .*sub: Not a directory"),
        kept_programs(tmp_path / "file" / "sub"),
    ):
        pass
