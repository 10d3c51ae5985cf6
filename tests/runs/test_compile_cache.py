from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from snnjax.runs import RunFolderError
from snnjax.runs import train
from snnjax.runs.compile_cache import kept_programs
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


def test_none_changes_nothing() -> None:
    before = [getattr(jax.config, name) for name in NAMES]
    with kept_programs(None) as said:
        assert said == ""
        assert [getattr(jax.config, name) for name in NAMES] == before


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
