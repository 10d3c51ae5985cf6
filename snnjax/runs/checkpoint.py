"""Asynchronous, atomic checkpoints (orbax) that survive a full disk, a kill and a flipped bit."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from snnjax.runs import hosts
from snnjax.runs.errors import CheckpointError
from snnjax.runs.manifest import find_damage, write_manifest

_MARGIN = 1 << 20  # bytes of metadata that a checkpoint needs in addition to its arrays
_PATIENCE = 10**6  # seconds for a save: orbax uses the wall clock, which may jump


class Checkpoints:
    """The checkpoints of a run: the last two, and the one with the best score.

    `save` copies the arrays to the host and returns; a thread writes them to a temporary folder
    with the SHA-256 of each file, and renames it when complete, so a checkpoint is either complete
    or absent. Errors of that thread are raised by the next `save`, `check` or `wait`. While it
    writes, the host holds one more copy of the state and little else.

    Args:
      folder: folder of the checkpoints.
      read_only: only restore; nothing is created or cleaned up.
      larger: whether a larger score is better.

    Attributes:
      seconds: the longest save so far, until it was complete; None before the first.
    """

    def __init__(self, folder: Path, *, read_only: bool = False, larger: bool = True):
        if not read_only:
            _make(folder)
        self._folder, self._read_only, self._larger = folder, read_only, larger
        self.seconds: float | None = None
        self._saving, self._began = -1, 0.0
        self._sound: set[int] = set()
        self._scores: dict[int, float] = {}
        options = ocp.CheckpointManagerOptions(
            create=False,
            read_only=read_only,
            cleanup_tmp_directories=not read_only,
            preservation_policy=None if read_only else self,
            async_options=ocp.options.AsyncOptions(
                timeout_secs=_PATIENCE,
                create_directories_asynchronously=False,  # else another timeout, of 5 minutes
                post_finalization_callback=self._list_files,
            ),
        )
        handlers = {
            "state": _handler(),
            "progress": ocp.JsonCheckpointHandler(),
        }
        self._manager = ocp.CheckpointManager(
            folder.resolve(), options=options, item_handlers=handlers
        )
        self._unread: set[int] = set()
        for step in self.steps():
            try:
                self._note(step, _read_score(folder / str(step)))
            except (OSError, ValueError, TypeError, KeyError, RecursionError):
                self._unread.add(step)  # damaged; may be the best

    def save(
        self, step: int, state: Any, progress: dict[str, Any], *, score: float | None = None
    ) -> None:
        """Begin to save `state` (a tree of arrays) and `progress` (JSON values) as `step`.

        A step that is already saved is not written again.

        Raises:
          CheckpointError: the disk is full, or an earlier save failed.
        """
        if step in self._manager.all_steps():
            return
        self.wait()  # so that there is one copy at a time
        arrays = _to_arrays(state)
        with hosts.together():
            self._check_room(step, sum(leaf.nbytes for leaf in arrays.values()))
        copies = {name: _own(leaf) for name, leaf in arrays.items()}
        record = {"progress": progress, "score": score}
        self._note(step, score)
        self._saving, self._began = step, time.perf_counter()
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeSave(copies), progress=ocp.args.JsonSave(record)
                ),
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
        """The step of checkpoint "last", "best" or a number; None if there is no checkpoint.

        Raises:
          ValueError: the step does not exist.
          CheckpointError: a score cannot be read, so the best is unknown.
        """
        steps = self.steps()
        if not steps:
            return None
        if which == "last":
            return steps[-1]
        if which == "best":
            for step in self._unread.intersection(steps):
                why = find_damage(self._folder / str(step))
                raise self._damaged(step, why or "its score cannot be read")
            best = self._best(steps)
            return steps[-1] if best is None else best
        if which in steps:
            return int(which)
        raise ValueError(f"checkpoint must be 'last', 'best' or one of {steps}; got {which!r}.")

    def newest(self, warn: Callable[[str], None]) -> int | None:
        """The last step whose files are intact; None if there is no checkpoint.

        Damaged later ones are reported to `warn` and renamed to `<step>.damaged`, so that the run
        can save these steps again; with `read_only` they are not renamed.

        Raises:
          CheckpointError: all of them are damaged; nothing is renamed.
        """
        damaged: dict[int, str] = {}
        for step in reversed(self.steps()):
            why = find_damage(self._folder / str(step))
            if why is None:
                self._sound.add(step)
                break
            damaged[step] = why
        else:
            if damaged:
                step, why = next(iter(damaged.items()))
                raise self._damaged(step, why, list(damaged))
            return None
        kept = {} if self._read_only else self._set_aside(list(damaged))
        for number, why in damaged.items():
            remark = f"; the damaged one is kept as {kept[number]}" if number in kept else ""
            warn(
                f"the checkpoint of step {number} in {self._folder} is damaged: {why}. "
                f"The one of step {step} is used instead{remark}."
            )
        return step

    def trust(self, step: int) -> None:
        """Accept a step that another process has verified, and reload the folder."""
        if step not in self._sound:
            self._sound.add(step)
            self._manager.reload()

    def restore(self, step: int, template: Any) -> tuple[Any, dict[str, Any]]:
        """The state and the progress of `step`.

        Args:
          step: a complete checkpoint.
          template: a state of the same structure, shapes and dtypes, or its shapes with their
            shardings. They also determine how the restored arrays lie on devices, which may differ
            from how they were saved.

        Raises:
          CheckpointError: it is damaged or belongs to another model; the message has the fix.
        """
        path = self._folder.resolve() / str(step)
        if step not in self._sound and (why := find_damage(path)):
            raise self._damaged(step, why)
        target = {name: _abstract(leaf) for name, leaf in _to_arrays(template).items()}
        largest = max((leaf.size * leaf.dtype.itemsize for leaf in target.values()), default=0)
        handler = _handler(2 * largest + _MARGIN)
        try:
            record = _read_record(path)["progress"]
            arrays_path: Any = path / "state"
            found = handler.metadata(arrays_path).tree
            self._check_structure(step, found, target)
            arrays = ocp.Checkpointer(handler).restore(
                arrays_path,
                ocp.args.PyTreeRestore(
                    target, restore_args=ocp.checkpoint_utils.construct_restore_args(target)
                ),
            )
        except CheckpointError:
            raise
        except Exception as error:
            raise self._damaged(step, _cause(error)) from error
        return _from_arrays(arrays, template), record

    def close(self) -> None:
        """Wait for saves in progress and stop the threads; errors of saves are raised."""
        try:
            self.wait()
        finally:
            try:
                self._manager.close()
            except Exception as error:
                raise self._write_error(None, error) from error

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Which checkpoints to keep after a save; called by orbax.

        The scores are not stored as orbax metrics: it cannot open a folder in which one of
        those is damaged.
        """
        steps = [info.step for info in checkpoints]
        kept = {*steps[-2:], self._best(steps)}
        return [step in kept for step in steps]

    def _best(self, steps: Sequence[int]) -> int | None:
        """The best of `steps`, the latest of equals; None if none was evaluated."""
        known = [step for step in steps if step in self._scores]
        sign = 1 if self._larger else -1
        return max(known, key=lambda step: (sign * self._scores[step], step), default=None)

    def _note(self, step: int, score: float | None) -> None:
        if score is not None:
            self._scores[step] = score

    def _list_files(self) -> None:
        """Write the manifest of the checkpoint that is about to be committed.

        Orbax calls this when all processes have written their files, before the rename, in a
        thread of the process that renames: the primary one.
        """
        (temporary,) = self._folder.glob(f"{self._saving}.orbax-checkpoint-tmp*")
        write_manifest(temporary)
        self.seconds = max(self.seconds or 0.0, time.perf_counter() - self._began)

    def _set_aside(self, steps: list[int]) -> dict[int, str]:
        """Rename damaged checkpoints; returns their new names. One process of a run does this."""
        names = {step: _free(self._folder / f"{step}.damaged").name for step in steps}
        for step, name in names.items():
            (self._folder / str(step)).rename(self._folder / name)
            self._scores.pop(step, None)
        if names:
            self._manager.reload()
        return names

    def _check_structure(self, step: int, found: dict[str, Any], expected: dict[str, Any]) -> None:
        wrong = [
            f"{name}: {_kind(found[name]) if name in found else 'absent'}, the model needs "
            f"{_kind(leaf)}"
            for name, leaf in expected.items()
            if name not in found or _kind(found[name]) != _kind(leaf)
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

    def _damaged(self, step: int, why: str, also: list[int] | None = None) -> CheckpointError:
        return self.unusable(step, f"is damaged: {why}", also)

    def unusable(self, step: int, why: str, also: list[int] | None = None) -> CheckpointError:
        """The error for an unusable checkpoint, with the fix.

        Args:
          step: its step. why: completes "the checkpoint ...".
          also: steps that are known to be no better.
        """
        others = [s for s in self.steps() if s != step and s not in (also or ())]
        older = [s for s in others if s < step]
        if others and others[-1] > step:  # it was requested by name
            remedy = f"Use checkpoint 'last', which is step {others[-1]}"
        elif older:
            remedy = f"Delete {self._folder / str(step)} to resume from step {older[-1]}"
        elif also and len(also) > 1:
            remedy = "The older ones are damaged too; start a new run"
        else:
            remedy = "There is no older one; start a new run"
        return CheckpointError(
            f"the checkpoint of step {step} in {self._folder} {why.rstrip('.')}. {remedy}."
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise CheckpointError(f"cannot keep checkpoints in {folder}: {why}.") from error


def _read_record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "progress" / "metadata").read_text(encoding="utf-8"))


def _read_score(folder: Path) -> float | None:
    """The score of a checkpoint; None if it was not evaluated."""
    score = _read_record(folder)["score"]
    return None if score is None else float(score)


def _free(path: Path) -> Path:
    """`path`, with a number appended if it exists."""
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{path.name.partition('-')[0]}-{number}")
    return path


def _handler(limit: int = 0) -> ocp.PyTreeCheckpointHandler:
    """The orbax handler that stores arrays uncompressed.

    Trained weights hardly compress, and the compressed copy would be held until all is written.

    Args:
      limit: bytes that are read at a time, more than the largest array has; 0 for no limit.
    """
    size: Any = limit / 1e9 if limit else None  # orbax multiplies it by 1e9
    return ocp.PyTreeCheckpointHandler(use_compression=False, restore_concurrent_gb=size)


def _own(leaf: Any) -> Any:
    """A copy of an array that the next step cannot overwrite by donation.

    Orbax copies from an accelerator to the host before its `save` returns. From a CPU it writes
    later, directly from the memory of the array.
    """
    on_cpu = isinstance(leaf, jax.Array) and next(iter(leaf.devices())).platform == "cpu"
    return jnp.copy(leaf) if on_cpu else leaf


def quiet_orbax() -> None:
    """Silence orbax's log of every checkpoint; errors are raised as exceptions."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _to_arrays(tree: Any) -> dict[str, Any]:
    """The leaves by path, with typed keys as raw data."""
    named, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path): _raw(leaf) for path, leaf in named}


def _from_arrays(arrays: dict[str, Any], template: Any) -> Any:
    named, structure = jax.tree_util.tree_flatten_with_path(template)
    leaves = [
        _keys(arrays[_name(path)], old) if _is_key(old) else arrays[_name(path)]
        for path, old in named
    ]
    return jax.tree.unflatten(structure, leaves)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _keys(data: jax.Array, like: Any) -> jax.Array:
    """Typed keys of the same kind as `like`, which may be abstract."""
    found: list[Any] = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), like)
    return jax.random.wrap_key_data(data, impl=found[0])


def _raw(leaf: Any) -> Any:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        if not _is_key(leaf):
            return leaf
        data = jax.eval_shape(jax.random.key_data, leaf)
        return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=leaf.sharding)
    if _is_key(leaf):
        return jax.random.key_data(leaf)
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


def _kind(leaf: Any) -> str:
    """Shape and dtype, for comparison and for messages."""
    return f"{tuple(leaf.shape)} {jnp.dtype(leaf.dtype).name}"


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 300 else text[:300] + " ..."
