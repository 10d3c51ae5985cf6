from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from snnjax.runs import CheckpointError
from snnjax.runs.checkpoint import Checkpoints, quiet_orbax
from snnjax.sharding import parse_mesh
from snnjax.train import TrainState, Weights, replicate
from snnjax.train.state import state_shardings

ROOT = Path(__file__).resolve().parents[2]


def state_of(seed: int, width: int = 300) -> TrainState:
    """The same bits in every process: uniform numbers are made of bits alone."""
    a, b, c = jax.random.split(jax.random.key(seed), 3)
    weights = Weights(
        {"layers": {0: jax.random.uniform(a, (width, 100)), 1: jnp.float32(seed)}},
        {"n": jnp.int32(seed)},
    )
    return TrainState(jnp.int32(seed), weights, (jax.random.uniform(b, (7,)), ()), None, c)


def same(a: Any, b: Any) -> bool:
    def raw(leaf: Any) -> np.ndarray:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(
        x.dtype == y.dtype and raw(x).tobytes() == raw(y).tobytes() for x, y in pairs
    ) and jax.tree.structure(a) == jax.tree.structure(b)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Iterator[Checkpoints]:
    quiet_orbax()
    with closing(Checkpoints(tmp_path / "checkpoints")) as opened:
        yield opened


def test_a_state_comes_back_bit_for_bit_on_the_mesh(checkpoints: Checkpoints) -> None:
    state = replicate(state_of(3), parse_mesh("data=2"))
    checkpoints.save(3, state, {"step": 3, "position": {"next_index": 7}})
    checkpoints.wait()
    restored, progress = checkpoints.restore(3, replicate(state_of(9), parse_mesh("data=2")))
    assert same(restored, state)
    assert progress == {"step": 3, "position": {"next_index": 7}}
    assert restored.weights.params["layers"][0].sharding.device_set == set(
        parse_mesh("data=2").devices.flat
    )


PLACES = [
    ("data=8", "fsdp"),
    ("data=4", "fsdp"),
    ("data=1", "replicated"),
    ("data=2,model=2", "mixed"),
    ("data=8", "fsdp"),
]


def test_a_state_goes_from_mesh_to_mesh_bit_for_bit(checkpoints: Checkpoints) -> None:
    """The width is such that eight devices divide it and cut the parameter and its moments."""
    rules = ((r"layers/0", P(None, "model")), (".*", P()))
    first, cuts = state_of(3, width=304), []
    first = first._replace(opt_state={"mu": first.weights.params}, ema=first.weights)
    state = first
    for step, (axes, sharding) in enumerate(PLACES):
        shardings = state_shardings(first, sharding, parse_mesh(axes), rules)
        template = jax.device_put(jax.tree.map(jnp.copy, first), shardings)
        checkpoints.save(step, state, {"step": step})
        checkpoints.wait()
        state, _ = checkpoints.restore(step, template)
        assert same(state, first)
        for leaf, want in zip(jax.tree.leaves(state), jax.tree.leaves(shardings), strict=True):
            assert leaf.sharding.is_equivalent_to(want, leaf.ndim)
        kernels = (state.weights, state.opt_state["mu"], state.ema)
        (kernel,) = {
            leaf.sharding.shard_shape(leaf.shape)
            for leaf in jax.tree.leaves(kernels)
            if leaf.ndim == 2
        }
        cuts.append(kernel)
    assert cuts == [(38, 100), (76, 100), (304, 100), (152, 50), (38, 100)]


def test_a_saved_state_may_be_donated_at_once(checkpoints: Checkpoints) -> None:
    state = state_of(1, width=3000)
    before = jax.device_get(state.weights.params)
    checkpoints.save(1, state, {"step": 1})
    leaf = state.weights.params["layers"][0]
    jax.jit(lambda x: x * 0, donate_argnums=0)(leaf).block_until_ready()
    checkpoints.wait()
    restored, _ = checkpoints.restore(1, state_of(2, width=3000))
    np.testing.assert_array_equal(restored.weights.params["layers"][0], before["layers"][0])


def test_the_last_two_and_the_best_are_kept(checkpoints: Checkpoints) -> None:
    assert checkpoints.pick("last") is None
    for step, accuracy in enumerate([0.1, 0.9, None, 0.5, None, 0.3], 1):
        checkpoints.save(step, state_of(step), {"step": step}, score=accuracy)
        checkpoints.wait()
    assert checkpoints.steps() == [2, 5, 6]
    assert (checkpoints.pick("last"), checkpoints.pick("best"), checkpoints.pick(5)) == (6, 2, 5)
    with pytest.raises(ValueError, match=r"'last', 'best' or one of \[2, 5, 6\]; got 4"):
        checkpoints.pick(4)


def test_a_saved_step_is_never_overwritten(checkpoints: Checkpoints) -> None:
    checkpoints.save(1, state_of(1), {"step": 1})
    checkpoints.wait()
    checkpoints.save(1, state_of(5), {"step": 1})
    checkpoints.wait()
    assert same(checkpoints.restore(1, state_of(0))[0], state_of(1))


def test_another_model_is_named_leaf_by_leaf(checkpoints: Checkpoints) -> None:
    checkpoints.save(1, state_of(1), {"step": 1})
    checkpoints.wait()
    message = (
        r"another model: .*layers.0: \(300, 100\) float32, the model needs \(20, 100\) float32"
    )
    with pytest.raises(CheckpointError, match=message):
        checkpoints.restore(1, state_of(1, width=20))
    with pytest.raises(CheckpointError, match=r"opt_state.0: unknown to the model"):
        checkpoints.restore(1, state_of(1)._replace(opt_state=()))


def test_a_full_disk_is_seen_before_anything_is_written(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(1, state_of(1), {"step": 1})
    checkpoints.wait()
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("snnjax.runs.checkpoint.shutil.disk_usage", lambda _: usage)
    message = "the checkpoint of step 2 .*disk full.*checkpoint of step 1 is intact; make room"
    with pytest.raises(CheckpointError, match=message):
        checkpoints.save(2, state_of(2), {"step": 2})
    monkeypatch.undo()
    assert same(checkpoints.restore(1, state_of(0))[0], state_of(1))
    checkpoints.save(2, state_of(2), {"step": 2})
    checkpoints.wait()
    assert checkpoints.steps() == [1, 2]


REFUSED = """
import resource, sys
from pathlib import Path
from snnjax.sharding import parse_mesh
from snnjax.runs import CheckpointError
from snnjax.runs.checkpoint import Checkpoints
from tests.runs.test_checkpoint import state_of

checkpoints = Checkpoints(Path(sys.argv[1]))
checkpoints.save(1, state_of(1), {"step": 1})
checkpoints.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    checkpoints.save(2, state_of(2), {"step": 2})
    checkpoints.wait()
except CheckpointError as error:
    sys.exit(f"said: {error}")
"""


def test_a_write_that_the_system_refuses_leaves_the_last_intact(tmp_path: Path) -> None:
    """A limit on the size of files stands for a disk that fills up while orbax writes."""
    folder = tmp_path / "checkpoints"
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, str(folder)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1, done.stderr
    assert "The checkpoint of step 1 is intact; make room" in done.stderr
    assert "File too large" in done.stderr
    with closing(Checkpoints(folder)) as again:
        assert again.steps() == [1]
        assert same(again.restore(1, state_of(0))[0], state_of(1))
        again.save(2, state_of(2), {"step": 2})
        again.wait()
        assert same(again.restore(2, state_of(0))[0], state_of(2))
    assert {p.name for p in folder.iterdir()} == {"1", "2"}  # the debris is gone


def test_a_step_that_fails_in_the_writing_thread_is_told_once_it_is_known(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when orbax commits, after `save` returned."""
    import orbax.checkpoint as ocp

    checkpoints.save(1, state_of(1), {"step": 1})
    checkpoints.wait()

    async def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ocp.PyTreeCheckpointHandler, "async_save", full)
        message = r"cannot write .*No space left on device.*step 1 is intact; make room"
        with pytest.raises(CheckpointError, match=message):  # noqa: PT012 - whichever comes first
            checkpoints.save(2, state_of(2), {"step": 2})
            checkpoints.wait()
    assert same(checkpoints.restore(1, state_of(0))[0], state_of(1))


def test_strangers_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    quiet_orbax()
    folder = tmp_path / "checkpoints"
    with closing(Checkpoints(folder)) as first:
        first.save(4, state_of(4), {"step": 4})
    (folder / "notes.txt").write_text("mine")
    (folder / "old").mkdir()
    with closing(Checkpoints(folder)) as second:
        assert second.steps() == [4]
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("not a folder")
    with pytest.raises(CheckpointError, match=r"cannot keep .*checkpoints: it is a file"):
        Checkpoints(tmp_path / "checkpoints")


def test_a_reader_creates_and_deletes_nothing(tmp_path: Path) -> None:
    quiet_orbax()
    folder = tmp_path / "checkpoints"
    with closing(Checkpoints(folder)) as writer:
        writer.save(1, state_of(1), {"step": 1})
        writer.save(2, state_of(2), {"step": 2})
    debris = folder / "3.orbax-checkpoint-tmp"
    debris.mkdir()
    before = sorted(path for path in folder.rglob("*"))
    with closing(Checkpoints(folder, read_only=True)) as reader:
        assert reader.steps() == [1, 2]
        assert same(reader.restore(1, state_of(0))[0], state_of(1))
    assert sorted(path for path in folder.rglob("*")) == before


def damaged_files(folder: Path) -> list[Path]:
    """Every file of a checkpoint that holds something."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size > 0)


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def emptied(content: bytes) -> bytes:
    return content[:0]


def deleted(content: bytes) -> None:
    del content


@pytest.mark.parametrize("damage", [half, flipped, emptied, deleted])
def test_damage_of_any_file_is_named_and_the_step_before_is_used(
    tmp_path: Path, damage: Callable[[bytes], bytes | None]
) -> None:
    """Each file of a checkpoint in turn; two hold nothing that is restored."""
    quiet_orbax()
    folder = tmp_path / "checkpoints"
    with closing(Checkpoints(folder)) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state_of(step), {"step": step}, score=step / 10)
    files = damaged_files(folder / "2")
    assert len(files) > 10
    harmless = []
    for path in files:
        whole = path.read_bytes()
        content = damage(whole)
        path.unlink() if content is None else path.write_bytes(content)
        said: list[str] = []
        with closing(Checkpoints(folder, read_only=True)) as reader:
            if reader.newest(said.append) == 2:
                harmless.append(path.name)
                state, progress = reader.restore(2, state_of(0))
                assert same(state, state_of(2)), path
                assert progress == {"step": 2}
            else:
                assert reader.newest(said.append) == 1
                name = path.relative_to(folder / "2").as_posix()
                assert f"step 2 in {folder} is damaged: " in said[0]
                assert name in said[0] or name == "sha256.json"
                assert said[0].endswith("The one of step 1 is used instead.")
                with pytest.raises(CheckpointError, match=r"step 2 .* is damaged: .*Delete .*2 to"):
                    reader.restore(2, state_of(0))
        path.write_bytes(whole)
    assert sorted(set(harmless)) == ["_CHECKPOINT_METADATA", "commit_success.txt"]
    assert len(harmless) == 2
    with closing(Checkpoints(folder, read_only=True)) as reader:
        assert same(reader.restore(2, state_of(0))[0], state_of(2))


def test_damaged_ones_are_kept_aside_and_their_steps_saved_again(tmp_path: Path) -> None:
    quiet_orbax()
    folder = tmp_path / "checkpoints"
    for round_ in (1, 2):
        with closing(Checkpoints(folder)) as checkpoints:
            for step in (1, 2, 3):
                checkpoints.save(step, state_of(step), {"step": step})
        (folder / "3" / "progress" / "metadata").write_text("{}")
        said: list[str] = []
        with closing(Checkpoints(folder)) as checkpoints:
            assert checkpoints.newest(said.append) == 2
            assert checkpoints.steps() == [2]
        aside = "3.damaged" if round_ == 1 else "3.damaged-2"
        assert said[0].endswith(f"the damaged one is kept as {aside}.")
        assert (folder / aside / "progress" / "metadata").read_text() == "{}"


def test_when_all_are_damaged_nothing_is_renamed(tmp_path: Path) -> None:
    quiet_orbax()
    folder = tmp_path / "checkpoints"
    with closing(Checkpoints(folder)) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state_of(step), {"step": step})
    for step in (1, 2):
        (folder / str(step) / "sha256.json").write_text("[")
    message = r"step 2 .* is damaged: sha256.json.*The older ones are damaged too; start a new run"
    with (
        closing(Checkpoints(folder)) as checkpoints,
        pytest.raises(CheckpointError, match=message),
    ):
        checkpoints.newest(lambda _: None)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_where_the_best_is_damaged_a_newer_one_is_named(tmp_path: Path) -> None:
    quiet_orbax()
    folder = tmp_path / "checkpoints"
    with closing(Checkpoints(folder)) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state_of(step), {"step": step}, score=0.5 / step)
    (folder / "1" / "sha256.json").write_text("[")
    with closing(Checkpoints(folder, read_only=True)) as reader:
        assert reader.pick("best") == 1
        with pytest.raises(CheckpointError, match=r"Take checkpoint 'last', which is of step 2\.$"):
            reader.restore(1, state_of(0))
    (folder / "1" / "progress" / "metadata").write_text("[")
    with (
        closing(Checkpoints(folder, read_only=True)) as reader,
        pytest.raises(CheckpointError, match=r"step 1 .*Take checkpoint 'last'"),
    ):
        reader.pick("best")  # its score is lost, and 2 is not the best


def test_a_state_is_restored_from_its_shapes_alone(checkpoints: Checkpoints) -> None:
    """Keys too, of whichever kind."""
    state = state_of(3)._replace(key=jax.random.key(3, impl="rbg"))
    checkpoints.save(3, state, {})
    checkpoints.wait()
    whole = jax.sharding.SingleDeviceSharding(jax.devices()[1])
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), state
    )
    restored, _ = checkpoints.restore(3, shapes)
    assert same(restored, state)
    assert restored.weights.params["layers"][0].devices() == {jax.devices()[1]}


def test_the_only_checkpoint_has_no_older_one(checkpoints: Checkpoints) -> None:
    checkpoints.save(5, state_of(5), {"step": 5})
    checkpoints.wait()
    with pytest.raises(CheckpointError, match="There is no older one; start a new run"):
        checkpoints.restore(5, state_of(5, width=20))
