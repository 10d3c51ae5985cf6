"""Use of a finished run: evaluate, load, predict, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from snnjax.data import batches
from snnjax.data.clouds import to_voxels
from snnjax.runs import (
    CheckpointError,
    RunFolderError,
    evaluate,
    load,
    predict,
    read_run,
    restore,
    train,
)
from snnjax.sparse import Capacities
from tests.train.tiny import Tiny, tiny_experiment


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
    """Its accuracy, computed batch by batch without the loop, is that of the summary."""
    folder, summary = finished
    experiment, model = load(folder)
    assert isinstance(model, Tiny)
    dataset = experiment.data.open("test")
    graphdef, weights = nnx.split(model)

    @jax.jit
    def logits(points: jax.Array, count: jax.Array) -> jax.Array:
        x = to_voxels(points, count, 16, Capacities((64,)))  # one row for each point
        return nnx.merge(graphdef, weights)(None, x)[1].logits

    right = 0
    for batch in batches(dataset, experiment.data, 16, seed=0, train=False):
        keep = batch["weight"] > 0
        out = np.asarray(logits(batch["points"], batch["count"]))
        right += int((out.argmax(-1) == batch["label"])[keep].sum())
    assert right / 24 == summary["test_accuracy"]


def test_on_the_devices_of_the_run_evaluation_repeats_its_numbers_exactly(
    tmp_path: Path,
) -> None:
    summary = train(tiny_experiment(tmp_path, mesh="data=2", epochs=1), progress=False)
    found = evaluate(summary["run_folder"])
    assert found["devices"] == 2
    for name in ("test_loss", "synops", "firing_rate", "energy_mj"):
        assert found[name] == summary[name], name


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
    from snnjax.runs.folder import DataInfo, create_folder, write_info

    folder = create_folder(tiny_experiment(tmp_path), None)
    write_info(folder, DataInfo(tuple("abcdefghij"), 3, 64, 24, 0))
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        load(folder)
    with pytest.raises(RunFolderError, match=r"config\.json is missing"):
        evaluate(tmp_path)


def test_read_run_gathers_a_folder(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    record = read_run(finished[0])
    assert record.experiment == tiny_experiment(record.experiment.run_root)
    assert record.summary == finished[1]
    assert len(record.metrics) == 15


def test_any_kept_checkpoint_can_be_chosen_and_others_are_listed(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    folder, summary = finished
    kept = sorted(int(path.name) for path in (folder / "checkpoints").iterdir())
    assert kept[-1] == 12
    assert summary["best_step"] in kept
    for step in kept:
        assert restore(folder, checkpoint=step).step == step
    assert restore(folder, checkpoint="best").step == summary["best_step"]
    with pytest.raises(
        ValueError, match=rf"'last', 'best' or one of {kept}; got 7".replace("[", r"\[")
    ):
        restore(folder, checkpoint=7)
    with pytest.raises(ValueError, match="got 'newest'"):
        load(folder, checkpoint="newest")


def test_another_source_with_the_same_classes_is_evaluated(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    """The generator under its own name: other capacities, the same result."""
    folder, summary = finished
    result = evaluate(folder, data="shapes3d")
    assert result["test_accuracy"] == summary["test_accuracy"]
    with pytest.raises(ValueError, match="does not exist"):
        evaluate(folder, data="absent/folder")


def test_reading_a_run_changes_nothing(finished: tuple[Path, dict[str, Any]]) -> None:
    folder = finished[0]

    def listing() -> dict[str, tuple[int, int]]:
        files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
        return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in files}

    before = listing()
    load(folder)
    evaluate(folder, checkpoint="best")
    read_run(folder)
    assert listing() == before


def test_a_run_that_has_not_ended_has_no_summary(tmp_path: Path) -> None:
    from snnjax.runs.folder import create_folder

    record = read_run(create_folder(tiny_experiment(tmp_path), None))
    assert (record.summary, record.metrics) == ({}, [])
