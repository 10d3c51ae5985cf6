"""Asynchronous, atomic checkpoints (orbax) that survive a full disk and a kill."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from snnjax.train import hosts
from snnjax.train.errors import CheckpointError

BEST = "test_accuracy"
_MARGIN = 1 << 20  # bytes of metadata that a checkpoint needs beside its arrays


class Checkpoints:
    """The checkpoints of a run: the last two, and the one with the best test accuracy.

    `save` copies the arrays on the device and returns; a thread writes them to a temporary folder
    that is renamed when complete, so a checkpoint exists whole or not at all. Errors of that
    thread are raised by the next `save`, `check` or `wait`.

    Args:
      folder: where they lie.
      read_only: only restore; nothing is created or cleaned up.
    """

    def __init__(self, folder: Path, *, read_only: bool = False):
        if not read_only:
            _make(folder)
        self._folder = folder
        policies = ocp.checkpoint_managers
        keep = policies.AnyPreservationPolicy(
            [
                policies.LatestN(2),
                policies.BestN(
                    get_metric_fn=lambda metrics: metrics[BEST],
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            create=False,
            read_only=read_only,
            cleanup_tmp_directories=not read_only,
            best_fn=lambda metrics: metrics[BEST],
            preservation_policy=None if read_only else keep,
        )
        handlers = {
            "state": ocp.StandardCheckpointHandler(),
            "progress": ocp.JsonCheckpointHandler(),
        }
        self._manager = ocp.CheckpointManager(
            folder.resolve(), options=options, item_handlers=handlers
        )

    def save(
        self, step: int, state: Any, progress: dict[str, Any], *, accuracy: float | None = None
    ) -> None:
        """Begin to save `state` (a tree of arrays) and `progress` (JSON values) as `step`.

        A step that is already saved is left as it is.

        Raises:
          CheckpointError: the disk has no room, or an earlier save failed.
        """
        if step in self._manager.all_steps():
            return
        arrays = _to_arrays(state)
        with hosts.together():
            self._check_room(step, sum(leaf.nbytes for leaf in arrays.values()))
        copies = jax.tree.map(jnp.copy, arrays)  # the originals are donated to the next step
        record = {"progress": progress, "checks": _checks(progress, arrays)}
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(copies), progress=ocp.args.JsonSave(record)
                ),
                metrics=None if accuracy is None else {BEST: accuracy},
            )
        except Exception as error:
            raise self._write_error(step, error) from error

    def check(self) -> None:
        """Raise if a save in the background failed."""
        try:
            self._manager.check_for_errors()
        except Exception as error:
            raise self._write_error(None, error) from error

    def wait(self) -> None:
        """Return when everything is on disk."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._write_error(None, error) from error

    def steps(self) -> list[int]:
        """Complete checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def pick(self, which: str | int) -> int | None:
        """The step of "last", "best" or of a number; None if there is no checkpoint at all."""
        steps = self.steps()
        if not steps:
            return None
        if which == "last":
            return steps[-1]
        if which == "best":
            best = self._manager.best_step()
            return steps[-1] if best is None else best
        if which in steps:
            return int(which)
        raise ValueError(f"checkpoint must be 'last', 'best' or one of {steps}; got {which!r}.")

    def restore(self, step: int, template: Any) -> tuple[Any, dict[str, Any]]:
        """The state and the progress of `step`.

        Args:
          step: a complete checkpoint.
          template: a state of the same structure, shapes and dtypes. Its arrays also say how the
            restored ones lie on devices, which need not be as they were saved.

        Raises:
          CheckpointError: it is damaged, or belongs to another model; says which and what to do.
        """
        expected = _to_arrays(template)
        self._check_structure(step, expected)
        target = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            for name, leaf in expected.items()
        }
        try:
            found = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(target), progress=ocp.args.JsonRestore()
                ),
            )
        except Exception as error:
            raise self._damaged(step, error) from error
        arrays, record = found["state"], found["progress"]
        if not isinstance(record, dict) or set(record) != {"progress", "checks"}:
            raise self._damaged(step, ValueError("its progress record is not one of ours"))
        ordered = {name: arrays[name] for name in expected}
        if record["checks"] != _checks(record["progress"], ordered):
            raise self._damaged(step, ValueError("its content is not what was saved"))
        return _from_arrays(arrays, template), record["progress"]

    def close(self) -> None:
        """Wait for saves in progress and stop the threads; an error of a save is raised."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def _check_structure(self, step: int, expected: dict[str, Any]) -> None:
        try:
            metadata = self._manager.item_metadata(step)["state"]
            found = {name: tuple(leaf.shape) for name, leaf in metadata.items()}
        except Exception as error:
            raise self._damaged(step, error) from error
        wrong = [
            f"{name}: {found.get(name, 'absent')}, the model needs {tuple(leaf.shape)}"
            for name, leaf in expected.items()
            if found.get(name) != tuple(leaf.shape)
        ] + [f"{name}: unknown to the model" for name in found if name not in expected]
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise self.unusable(step, f"belongs to another model: {'; '.join(wrong[:5])}{more}")

    def _check_room(self, step: int, size: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < size + _MARGIN:
            raise self._write_error(
                step,
                OSError(
                    errno.ENOSPC,
                    f"disk full: {free / 1e6:.1f} MB are free, {(size + _MARGIN) / 1e6:.1f} needed",
                ),
            )

    def _write_error(self, step: int | None, error: Exception) -> CheckpointError:
        steps = self.steps()
        kept = f"The checkpoint of step {steps[-1]} is intact" if steps else "None was saved before"
        what = "a checkpoint" if step is None else f"the checkpoint of step {step}"
        return CheckpointError(
            f"cannot write {what} in {self._folder}: {_cause(error)}. {kept}; make room, then "
            "resume the run."
        )

    def _damaged(self, step: int, error: Exception) -> CheckpointError:
        return self.unusable(step, f"is damaged: {_cause(error)}")

    def unusable(self, step: int, why: str) -> CheckpointError:
        """The error about a checkpoint that `why`, with what to do about it."""
        older = [s for s in self.steps() if s < step]
        remedy = (
            f"Delete {self._folder / str(step)} to resume from step {older[-1]}"
            if older
            else "There is no older one; start a new run"
        )
        return CheckpointError(
            f"the checkpoint of step {step} in {self._folder} {why.rstrip('.')}. {remedy}."
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise CheckpointError(f"cannot keep checkpoints in {folder}: {why}.") from error


def _checks(progress: dict[str, Any], arrays: dict[str, Any]) -> list[int]:
    text = json.dumps(progress, sort_keys=True)
    return [zlib.crc32(text.encode()), int(fingerprint(list(arrays.values())))]


@jax.jit
def fingerprint(leaves: list[jax.Array]) -> jax.Array:
    """A uint32 that changes with any bit of the leaves: sum_i (2 i + 1) * word_i mod 2^32.

    The words of all leaves are numbered through. An odd factor maps no changed word to itself, so
    damage inside one word is always seen, and any other with probability 1 - 2^-32.

    >>> a = fingerprint([jnp.zeros(3), jnp.ones(2)])
    >>> bool(a == fingerprint([jnp.zeros(3), jnp.ones(2)])), bool(a == fingerprint([jnp.ones(5)]))
    (True, False)
    """
    total, first = jnp.uint32(0), 0
    for leaf in leaves:
        words = _words(leaf)
        factor = 2 * (jnp.arange(words.size, dtype=jnp.uint32) + jnp.uint32(first % 2**31)) + 1
        total += jnp.sum(words * factor, dtype=jnp.uint32)
        first += words.size
    return total


def _words(leaf: jax.Array) -> jax.Array:
    """The bits of an array as uint32 [n]; narrow types take one word each."""
    if leaf.dtype == jnp.bool_:
        return leaf.ravel().astype(jnp.uint32)
    bits = leaf.dtype.itemsize * 8
    word = jnp.uint32 if bits >= 32 else jnp.dtype(f"uint{bits}")
    return jax.lax.bitcast_convert_type(leaf, word).ravel().astype(jnp.uint32)


def quiet_orbax() -> None:
    """Keep absl from telling every checkpoint; errors reach us as exceptions."""
    logging.getLogger("absl").setLevel(logging.ERROR)


def _to_arrays(tree: Any) -> dict[str, Any]:
    """Leaves by their path; typed keys as their data."""
    named, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path): _raw(leaf) for path, leaf in named}


def _from_arrays(arrays: dict[str, Any], template: Any) -> Any:
    named, structure = jax.tree_util.tree_flatten_with_path(template)
    leaves = []
    for path, old in named:
        leaf = arrays[_name(path)]
        is_key = jnp.issubdtype(old.dtype, jax.dtypes.prng_key)
        leaves.append(
            jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(old)) if is_key else leaf
        )
    return jax.tree.unflatten(structure, leaves)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _raw(leaf: Any) -> Any:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(leaf)
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 300 else text[:300] + " ..."
