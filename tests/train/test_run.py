from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from snnjax.data import PointBatch
from snnjax.data.pipeline import BatchSource
from snnjax.models import MODELS
from snnjax.sparse import Buckets, Capacities
from snnjax.train import (
    CheckpointError,
    Diverged,
    Interrupted,
    ModelConfig,
    RunFolderError,
    evaluate,
    load,
    predict,
    read_run,
    restore,
    train,
)
from snnjax.train.checkpoint import Checkpoints
from snnjax.train.writer import MetricsWriter
from tests.train.tiny import Tiny, tiny_experiment

TIMINGS = ("samples_per_second", "seconds")


def arrays(folder: Path) -> list[bytes]:
    """Every array that a finished run would go on from, and its place in the data."""
    from contextlib import closing

    from snnjax.train import build_spec, data_mesh
    from snnjax.train.folder import read_experiment, read_info

    mesh = data_mesh(1)
    _, template = build_spec(read_experiment(folder), read_info(folder), mesh)
    with closing(Checkpoints(folder / "checkpoints", mesh, read_only=True)) as checkpoints:
        state, progress = checkpoints.restore(checkpoints.pick("last") or 0, template)
    leaves = jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))
    place = json.dumps([progress["step"], progress["position"], progress["best_test_accuracy"]])
    return [np.asarray(leaf).tobytes() for leaf in leaves] + [place.encode()]


def rows(folder: Path) -> list[dict[str, Any]]:
    metrics = read_run(folder).metrics
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in metrics]


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
    keys = {"loss", "accuracy", "learning_rate", "gradient_norm", "overflow", "padding_waste"}
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
        with pytest.raises(Interrupted, match=r"Go on with: .*resume=True") as caught:
            train(experiment, progress=False)
    assert signal.getsignal(signal.SIGINT) is before
    folder = Path(caught.value.run_folder)
    # metrics are read up to two steps late, so the signal arrives up to two steps after its row
    assert step <= caught.value.step <= step + 2
    assert not (folder / "summary.json").exists()
    summary = train(None, run_folder=folder, resume=True, progress=False)
    assert arrays(folder) == arrays(finished[0])
    assert rows(folder) == rows(finished[0])
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

    class Failing(Tiny):
        def _moments(self, h, valid, axis_name):
            return super()._moments(
                h * jax.numpy.where(self.seen[...] >= 5, np.nan, 1), valid, None
            )

    def failing(in_channels, num_classes, *, levels, rngs, **_):
        return Failing(in_channels, num_classes, levels=levels, rngs=rngs)

    monkeypatch.setitem(MODELS, "failing", failing)
    experiment = tiny_experiment(
        tmp_path, model=ModelConfig(name="failing"), checkpoint_every=1, ema=0.0
    )
    with pytest.raises(Diverged, match=r"diverged at step 6: loss nan.*step 5 is kept"):
        train(experiment, progress=False)
    run = restore(tmp_path / "tiny-0")
    assert run.step == 5
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.weights))
    last = read_run(tmp_path / "tiny-0").metrics[-1]
    assert (last["step"], last["loss"]) == (6, None)


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


def test_overflow_is_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Buckets, "choose", lambda *_: Capacities((8, 8, 8, 8, 1)))
    summary = train(tiny_experiment(tmp_path, epochs=1), progress=False)
    assert summary["train_overflow"] > 0
    assert summary["test_overflow"] > 0
    assert "did not fit their capacity" in caplog.text
    assert rows(tmp_path / "tiny-0")[0]["overflow"] > 0


def test_each_bucket_is_compiled_once_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training batches alternate between two buckets; all test batches share one."""
    choose, calls = Buckets.choose, []

    def alternate(self: Buckets, counts: np.ndarray) -> Capacities:
        chosen = choose(self, counts)
        if len(self.choices) == 1:
            return chosen
        calls.append(counts)
        return dataclasses.replace(chosen, rows=(80 + 8 * (len(calls) % 2), *chosen.rows[1:]))

    monkeypatch.setattr("snnjax.train.feed.Buckets.choose", alternate)
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
        ({"model": ModelConfig(name="tinyy")}, "did you mean 'tiny'"),
        ({"devices": 3}, "multiple of the 3 devices"),
        ({"devices": 99}, "from 1 to the 8 local ones"),
    ],
)
def test_an_impossible_experiment_leaves_no_folder(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(tiny_experiment(tmp_path, **changes), progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_larger_than_the_split_is_refused(tmp_path: Path) -> None:
    base = tiny_experiment(tmp_path)
    data = dataclasses.replace(base.data, train_size=10)
    with pytest.raises(ValueError, match="at most the 10 training clouds; got 16"):
        train(dataclasses.replace(base, data=data), progress=False)


def test_labels_out_of_range_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = BatchSource.__getitem__

    def wrong(self: BatchSource, step: int) -> PointBatch:
        batch = read(self, step)
        return batch._replace(label=batch.label + 4)

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


def test_evaluate_repeats_the_summary(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = finished
    result = evaluate(folder)
    for name in ("test_accuracy", "test_loss", "synops", "energy_mj", "firing_rate", "parameters"):
        assert result[name] == pytest.approx(summary[name], rel=1e-6), name
    assert result["checkpoint"] == 12
    best = evaluate(folder, checkpoint="best")
    assert best["test_accuracy"] == summary["best_test_accuracy"]
    assert best["checkpoint"] == summary["best_step"]


def test_the_average_is_what_is_loaded(finished: tuple[Path, dict[str, Any]]) -> None:
    """Its accuracy by hand, batch by batch, is that of the summary."""
    from snnjax.data import load_dataset
    from snnjax.train.plan import fitting_capacities, test_batches
    from snnjax.train.step import to_voxels

    folder, summary = finished
    experiment, model = load(folder)
    assert isinstance(model, Tiny)
    dataset = load_dataset("shapes3d", "test", points=64, size=24)
    right = 0
    for batch in test_batches(experiment.data, dataset):
        x = to_voxels(batch.points, batch.count, 16, fitting_capacities(batch, 16))  # pyright: ignore
        _, out = model(model.init_state(x), x)
        keep = batch.weight > 0
        right += int((np.asarray(out.logits).argmax(-1) == batch.label)[keep].sum())
    assert right / 24 == summary["test_accuracy"]


def test_predict_one_file(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "cloud.npy", rng.standard_normal((100, 3)).astype(np.float32))
    ranked = predict(finished[0], tmp_path / "cloud.npy")
    probabilities = [p for _, p in ranked]
    assert sorted(probabilities, reverse=True) == probabilities
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-5)
    assert {name for name, _ in ranked} >= {"sphere", "box", "torus"}
    with pytest.raises(ValueError, match="absent"):
        predict(finished[0], tmp_path / "absent.npy")


def test_data_with_other_classes_are_refused(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    for name in ("apple", "pear"):
        for split in ("train", "test"):
            (tmp_path / name / split).mkdir(parents=True)
            np.save(tmp_path / name / split / "a.npy", np.random.rand(20, 3).astype(np.float32))  # noqa: NPY002
    with pytest.raises(ValueError, match="apple, pear; the run was trained on sphere"):
        evaluate(finished[0], data=str(tmp_path))


def test_a_run_without_checkpoint_says_so(tmp_path: Path) -> None:
    from snnjax.train.folder import DatasetInfo, create_folder, write_info

    folder = create_folder(tiny_experiment(tmp_path), None)
    write_info(folder, DatasetInfo(tuple("abcdefghij"), 3, 64, 24, 0))
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        load(folder)
    with pytest.raises(RunFolderError, match=r"config\.json is missing"):
        evaluate(tmp_path)


def test_read_run_gathers_a_folder(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    record = read_run(finished[0])
    assert record.experiment == tiny_experiment(record.experiment.run_root)
    assert record.summary == finished[1]
    assert len(record.metrics) == 15
