from __future__ import annotations

import dataclasses
import errno
import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from snnjax.data.clouds import CloudSource
from snnjax.data.pipeline import BatchSource
from snnjax.experiment import OptimiserConfig
from snnjax.runs import (
    CheckpointError,
    Interrupted,
    RunFolderError,
    read_experiment,
    read_info,
    read_run,
    restore,
    train,
)
from snnjax.runs.checkpoint import Checkpoints
from snnjax.runs.writer import MetricsWriter
from snnjax.sharding import parse_mesh
from snnjax.sparse import Buckets, Capacities
from snnjax.train import Diverged, Session
from tests.train.tiny import Norm, TinyConfig, tiny_experiment

TIMINGS = ("samples_per_second", "seconds")


def arrays(folder: Path) -> list[bytes]:
    """Every array that a finished run would go on from, and its place in the data."""
    from contextlib import closing

    mesh = parse_mesh("data=1")
    template = Session.of(read_experiment(folder), read_info(folder), mesh).state
    with closing(Checkpoints(folder / "checkpoints", read_only=True)) as checkpoints:
        state, progress = checkpoints.restore(checkpoints.pick("last") or 0, template)
    leaves = jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))
    place = json.dumps([progress["step"], progress["position"], progress["best_score"]])
    return [np.asarray(leaf).tobytes() for leaf in leaves] + [place.encode()]


def rows(folder: Path) -> list[dict[str, Any]]:
    metrics = read_run(folder).metrics
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in metrics]


def assert_same_run(folder: Path, other: Path) -> None:
    """Weights, moments, place in the data and metrics of two runs, bit for bit."""
    assert arrays(folder) == arrays(other)
    assert rows(folder) == rows(other)


def signal_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGINT) -> None:
    """Raise a signal when the row of `step` is written, once."""
    write = MetricsWriter.write

    def writing(self: MetricsWriter, row: dict[str, Any]) -> None:
        write(self, row)
        if row["step"] == step and row["split"] == "train":
            signal.raise_signal(number)

    monkeypatch.setattr(MetricsWriter, "write", writing)


def test_the_summary_says_what_was_promised(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = finished
    promised = "test_accuracy parameters firing_rate synops energy_mj seconds compiles run_folder"
    assert set(promised.split()) <= set(summary)
    assert summary["parameters"] == 3 * 24 + 24 + 2 * 24 + 24 * 12 + 12
    assert summary["compiles"] == 2
    assert summary["test_samples"] == 24
    assert summary["steps"] == 12
    assert json.loads((folder / "summary.json").read_text()) == summary
    names = {"config.json", "dataset.json", "buckets.json", "metrics.jsonl", "checkpoints"}
    assert names | {"summary.json", "report.html", "pictures"} <= {p.name for p in folder.iterdir()}


def test_every_step_and_evaluation_has_a_row(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = finished
    got = rows(folder)
    assert [r["step"] for r in got if r["split"] == "train"] == list(range(1, 13))
    assert [r["step"] for r in got if r["split"] == "test"] == [4, 8, 12]
    assert got[-1]["accuracy"] == summary["test_accuracy"]
    assert [r["epoch"] for r in got if r["split"] == "train"] == [1] * 4 + [2] * 4 + [3] * 4
    keys = {"loss", "accuracy", "learning_rate", "gradient_norm", "overflow", "padding"}
    assert all(keys <= set(r) for r in got if r["split"] == "train")


@pytest.mark.parametrize(("number", "step"), [(signal.SIGINT, 5), (signal.SIGTERM, 2)])
def test_an_interrupted_and_resumed_run_is_the_uninterrupted_one(
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    step: int,
) -> None:
    before = signal.getsignal(signal.SIGINT)
    experiment = tiny_experiment(tmp_path)
    with monkeypatch.context() as patch:
        signal_at(patch, step, number)
        with pytest.raises(Interrupted, match=r"Resume with: .*resume=True") as caught:
            train(experiment, progress=False)
    assert signal.getsignal(signal.SIGINT) is before
    folder = Path(caught.value.run_folder)
    # metrics are read up to two steps late, so the signal arrives up to two steps after its row
    assert step <= caught.value.step <= step + 2
    assert not (folder / "summary.json").exists()
    summary = train(None, run_folder=folder, resume=True, progress=False)
    assert_same_run(folder, finished[0])
    ignore = {"seconds", "compile_seconds", "compiles", "run_folder"}
    assert {k: v for k, v in summary.items() if k not in ignore} == {
        k: v for k, v in finished[1].items() if k not in ignore
    }


def test_a_finished_run_resumes_to_itself_and_another_seed_is_another_run(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    experiment = tiny_experiment(tmp_path, epochs=1, seed=1)
    first = train(experiment, progress=False)
    before = rows(Path(first["run_folder"]))
    assert before[0]["loss"] != rows(finished[0])[0]["loss"]
    again = train(experiment, resume=True, progress=False)
    assert again["test_accuracy"] == first["test_accuracy"]
    assert rows(Path(first["run_folder"])) == before


def test_divergence_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sixth update meets a loss that is not a number."""

    moments = Norm._moments

    def failing(self: Norm, h: Any, valid: Any, axis_name: Any) -> Any:
        broken = h * jax.numpy.where(self.seen[...] >= 5, np.nan, 1)
        return moments(self, broken, valid, None)

    monkeypatch.setattr(Norm, "_moments", failing)
    experiment = tiny_experiment(tmp_path, checkpoint_every=1, ema=0.0)
    with pytest.raises(Diverged, match=r"diverged at step 6: loss nan.*step 5 is kept"):
        train(experiment, progress=False)
    run = restore(tmp_path / "tiny-0")
    assert run.step == 5
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.weights))
    last = read_run(tmp_path / "tiny-0").metrics[-1]
    assert (last["step"], last["loss"]) == (6, None)


def test_a_rate_far_too_high_ends_in_a_remedy(tmp_path: Path) -> None:
    """The loss grows for some steps before it leaves the numbers: what is kept is finite."""
    optimiser = OptimiserConfig(learning_rate=1e9)
    experiment = tiny_experiment(tmp_path, optimiser=optimiser, checkpoint_every=1)
    message = "Lower optimiser.learning_rate, lengthen schedule.warmup .*start a new run"
    with pytest.raises(Diverged, match=message) as caught:
        train(experiment, progress=False)
    step = int(re.findall(r"diverged at step (\d+)", str(caught.value))[0])
    kept = [int(p.name) for p in (tmp_path / "tiny-0" / "checkpoints").iterdir()]
    assert max(kept, default=0) < step
    for number in kept:
        weights = restore(tmp_path / "tiny-0", checkpoint=number).weights
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(weights))


def test_an_update_that_breaks_the_weights_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own loss is finite, and statistics of norms are not read in training at all."""

    moments = Norm._moments

    def breaking(self: Norm, h: Any, valid: Any, axis_name: Any) -> Any:
        found = moments(self, h, valid, axis_name)
        self.mean[...] = jax.numpy.where(self.seen[...] >= 4, np.nan, self.mean[...])
        return found

    monkeypatch.setattr(Norm, "_moments", breaking)
    experiment = tiny_experiment(tmp_path, ema=0.0)
    message = (
        r"step 4: weights or norm statistics are not finite\. The checkpoint of step 3 is kept"
    )
    with pytest.raises(Diverged, match=message):
        train(experiment, progress=False)
    assert restore(tmp_path / "tiny-0").step == 3


def test_a_full_disk_stops_the_run_and_loses_nothing(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Checkpoints._check_room

    def full(self: Checkpoints, step: int, size: int) -> None:
        check(self, step, size if step < 6 else 10**18)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "_check_room", full)
        message = "the checkpoint of step 6 .*disk full.*checkpoint of step 4 is intact"
        with pytest.raises(CheckpointError, match=message):
            train(tiny_experiment(tmp_path), progress=False)
    train(tiny_experiment(tmp_path), resume=True, progress=False)
    assert arrays(tmp_path / "tiny-0") == arrays(finished[0])


def test_a_write_that_fails_in_the_background_stops_the_run_and_loses_nothing(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import orbax.checkpoint as ocp

    begin, calls = ocp.PyTreeCheckpointHandler.async_save, []

    async def filling(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return await begin(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ocp.PyTreeCheckpointHandler, "async_save", filling)
        message = r"No space left on device.*checkpoint of step 4 is intact; make room, then resume"
        with pytest.raises(CheckpointError, match=message):
            train(tiny_experiment(tmp_path), progress=False)
    assert restore(tmp_path / "tiny-0").step == 4
    train(tiny_experiment(tmp_path), resume=True, progress=False)
    assert_same_run(tmp_path / "tiny-0", finished[0])


def copy_of(folder: Path, root: Path) -> Path:
    return Path(shutil.copytree(folder, root / "tiny-0"))


def last_array_file(folder: Path, step: int) -> Path:
    files = [p for p in (folder / "checkpoints" / str(step) / "state").rglob("*") if p.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def test_a_damaged_checkpoint_is_set_aside_and_the_run_ends_as_it_did(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy_of(finished[0], tmp_path)
    damaged = last_array_file(folder, 12)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the checkpoint of step 12 .* is damaged"):
        restore(folder, checkpoint=12)
    assert restore(folder).step == 9  # a reader renames nothing
    assert damaged.exists()
    caplog.clear()
    train(None, run_folder=folder, resume=True, progress=False)
    told = re.escape(
        f"{damaged.name} differs in content from what was saved. The one of step 9 is used"
    )
    assert re.search(rf"step 12 .* is damaged: .*{told} .* kept as 12\.damaged\.", caplog.text)
    assert (folder / "checkpoints" / "12.damaged" / "sha256.json").exists()
    assert restore(folder).step == 12
    assert_same_run(folder, finished[0])


def test_a_checkpoint_of_another_run_is_refused(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Its arrays fit and its checksums agree, but it was saved under another configuration."""
    folder = copy_of(finished[0], tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"seed": 7, "epochs": 4}))
    message = (
        r"the checkpoint of step 12 .* belongs to another run: epochs: the run has 3, now 4; "
        r"seed: the run has 0, now 7\. Delete .*12 to resume from step"
    )
    with pytest.raises(CheckpointError, match=message):
        train(None, run_folder=folder, resume=True, progress=False)
    with pytest.raises(CheckpointError, match=message):
        restore(folder)


def test_a_checkpoint_of_another_model_is_refused(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = TinyConfig.build
    wider = lambda self, info, rngs: build(  # noqa: E731
        self, dataclasses.replace(info, class_names=(*info.class_names, "more")), rngs=rngs
    )
    monkeypatch.setattr(TinyConfig, "build", wider)
    folder = copy_of(finished[0], tmp_path)
    message = r"step 12 .*another model: .*bias: \(12,\) float32, the model needs \(13,\).*Delete "
    with pytest.raises(CheckpointError, match=message):
        train(None, run_folder=folder, resume=True, progress=False)


@pytest.mark.parametrize("name", ["config.json", "dataset.json", "buckets.json"])
def test_a_damaged_file_of_a_run_is_named_before_anything_is_lost(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, name: str
) -> None:
    folder = copy_of(finished[0], tmp_path)
    whole = (folder / name).read_bytes()
    metrics = (folder / "metrics.jsonl").read_bytes()
    for content in (whole[: len(whole) // 2], b"[]", b""):
        (folder / name).write_bytes(content)
        with pytest.raises(RunFolderError, match=name.replace(".", r"\.")):
            train(None, run_folder=folder, resume=True, progress=False)
    assert (folder / "metrics.jsonl").read_bytes() == metrics
    (folder / name).write_bytes(whole)
    assert restore(folder).step == 12


def test_an_unknown_field_of_a_run_is_named_with_the_nearest(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = copy_of(finished[0], tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"epoch": 3}))
    with pytest.raises(RunFolderError, match="unknown field 'epoch'; did you mean 'epochs'"):
        train(None, run_folder=folder, resume=True, progress=False)


def test_a_lock_that_cannot_be_made_is_told(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = copy_of(finished[0], tmp_path)
    (folder / ".lock").unlink()
    (folder / ".lock").mkdir()
    with pytest.raises(RunFolderError, match=r"cannot write in .*: Is a directory"):
        train(None, run_folder=folder, resume=True, progress=False)


def test_a_stop_before_the_first_step_can_be_resumed(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes while the first batch is prepared."""
    from snnjax.train import session

    feed = session.train_feed

    def interrupted(*args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return feed(*args)

    with monkeypatch.context() as patch:
        patch.setattr(session, "train_feed", interrupted)
        with pytest.raises(Interrupted, match="stopped after step 0, which is saved"):
            train(tiny_experiment(tmp_path), progress=False)
    train(tiny_experiment(tmp_path), resume=True, progress=False)
    assert_same_run(tmp_path / "tiny-0", finished[0])


def test_overflow_is_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Buckets, "choose", lambda *_: Capacities((8, 8, 8)))
    summary = train(tiny_experiment(tmp_path, epochs=1), progress=False)
    assert summary["train_overflow"] > 0
    assert summary["test_overflow"] > 0
    assert "did not fit their capacity" in caplog.text
    assert rows(tmp_path / "tiny-0")[0]["overflow"] > 0


def test_each_bucket_is_compiled_once_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training batches alternate between two buckets; all test batches share one."""
    calls = []

    class Alternating(Buckets):
        def choose(self, counts: np.ndarray) -> Capacities:
            chosen = super().choose(counts)
            calls.append(counts)
            return dataclasses.replace(chosen, rows=(80 + 8 * (len(calls) % 2), *chosen.rows[1:]))

    read = CloudSource.shapes_from_json

    def alternating(self: CloudSource, *given: Any) -> Any:
        shapes = read(self, *given)
        own = Alternating(shapes.training.choices, shapes.training.cells)
        return dataclasses.replace(shapes, training=own)

    monkeypatch.setattr(CloudSource, "shapes_from_json", alternating)
    experiment = tiny_experiment(tmp_path, epochs=1, evaluate_every=5)
    summary = train(experiment, progress=True)
    said = capsys.readouterr().err
    assert summary["compiles"] == 3
    assert said.count("compiled train step") == 2
    assert said.count("compiled evaluate step") == 1
    assert "rows=(80," in said
    assert "rows=(88," in said
    assert summary["compile_seconds"] > 0


def test_a_run_of_another_configuration_is_left_alone(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = finished
    with pytest.raises(ValueError, match="epochs: the run has 3, now 4"):
        train(tiny_experiment(tmp_path, epochs=4), run_folder=folder, resume=True, progress=False)
    with pytest.raises(RunFolderError, match="already holds a run"):
        train(tiny_experiment(tmp_path), run_folder=folder, progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mesh": "data=3"}, "multiple of the 3 devices"),
        ({"mesh": "data=99"}, "needs 99 devices, but there are 8"),
        ({"mesh": "data=4,model=2"}, "does not use the 2 devices of the axis 'model'"),
        ({"mesh": "model=2", "sharding": "tensor"}, "tensor_rules|says how|pair"),
        ({"mesh": "data=2", "sharding": "tensor"}, "tensor_rules|says how|pair"),
    ],
)
def test_an_impossible_experiment_leaves_no_folder(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(tiny_experiment(tmp_path, **changes), progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_table_of_arithmetics_leaves_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text('[{"rows": 1}]')
    base = tiny_experiment(tmp_path / "runs")
    data = dataclasses.replace(base.data, arithmetic=str(path))
    experiment = dataclasses.replace(base, data=data)
    with pytest.raises(ValueError, match=r"not a table of arithmetics .* --write-table FILE"):
        train(experiment, progress=False)
    assert not (tmp_path / "runs").exists()


def samples_of(folder: Path) -> int:
    buckets = json.loads((folder / "buckets.json").read_text())
    return buckets["training"]["choices"][0]["samples"]


def test_a_run_goes_on_with_more_devices(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Clouds are packed for the share of a device; other devices need other capacities."""
    folder = copy_of(finished[0], tmp_path)
    samples = samples_of(folder)
    experiment = tiny_experiment(finished[0].parent)
    summary = train(
        experiment, run_folder=folder, resume=True, progress=False, mesh=parse_mesh("data=4")
    )
    assert summary["steps"] == finished[1]["steps"]
    assert samples_of(folder) == samples // 4


def test_a_batch_larger_than_the_split_is_refused(tmp_path: Path) -> None:
    base = tiny_experiment(tmp_path)
    data = dataclasses.replace(base.data, train_size=10)
    with pytest.raises(ValueError, match="at most the 10 training samples; got 16"):
        train(dataclasses.replace(base, data=data), progress=False)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("absent/folder", r"the data folder .*absent/folder does not exist"),
        ("shapes3", "did you mean 'shapes3d'"),
    ],
)
def test_missing_data_are_told_and_leave_no_folder(
    tmp_path: Path, source: str, message: str
) -> None:
    base = tiny_experiment(tmp_path / "runs")
    data = dataclasses.replace(base.data, path=source)
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(base, data=data), progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_experiment_is_refused() -> None:
    with pytest.raises(TypeError, match="only with resume=True"):
        train(None)


def test_labels_out_of_range_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = BatchSource.__getitem__

    def wrong(self: BatchSource, step: int) -> dict[str, Any]:
        batch = read(self, step)
        return {**batch, "label": batch["label"] + 4}

    monkeypatch.setattr(BatchSource, "__getitem__", wrong)
    with pytest.raises(ValueError, match=r"labels must be in 0..11; sample \d+ has 1[2-5]"):
        train(tiny_experiment(tmp_path), progress=False)


def test_a_folder_serves_one_process(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    folder = finished[0]
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunFolderError, match="in use by another process"):
            train(None, run_folder=folder, resume=True, progress=False)
