from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnjax.data import load_dataset
from snnjax.train import Evaluation, data_mesh, evaluate_weights, restore
from snnjax.train.plan import fit_evaluation
from snnjax.train.programs import Programs
from snnjax.train.runs import Restored


@pytest.fixture(scope="module")
def results(finished: tuple[Path, dict[str, Any]]) -> dict[tuple[int, int], Evaluation]:
    """The 24 test clouds in batches of 24, 16 and 8 on 1, 1 and 2 devices."""
    from snnjax.models import MODELS
    from tests.train.tiny import tiny

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "tiny", tiny)
        return {(b, d): evaluated_in(finished[0], b, d) for b, d in [(24, 1), (16, 1), (8, 2)]}


def evaluated_in(folder: Path, batch_size: int, devices: int) -> Evaluation:
    mesh = data_mesh(devices)
    run: Restored = restore(folder, mesh=mesh)
    data = dataclasses.replace(run.experiment.data, batch_size=batch_size)
    experiment = dataclasses.replace(run.experiment, data=data)
    dataset = load_dataset("shapes3d", "test", points=64, size=24)
    buckets = fit_evaluation(data, dataset, depth=run.spec.depth, devices=devices)
    programs = Programs(run.spec, lambda _: None)
    return evaluate_weights(programs, run.weights, experiment, dataset, buckets, mesh)


def test_each_test_cloud_counts_once(
    results: dict[tuple[int, int], Evaluation], finished: tuple[Path, dict[str, Any]]
) -> None:
    """A last batch that is filled up adds nothing: two batches of 16 are one of 24."""
    whole = results[24, 1]
    dataset = load_dataset("shapes3d", "test", points=64, size=24)
    labels = np.bincount([dataset.label(i) for i in range(24)], minlength=12)
    for result in results.values():
        np.testing.assert_array_equal(result.confusion, whole.confusion)
        np.testing.assert_array_equal(result.confusion.sum(axis=1), labels)
        assert result.totals.samples == 24
        assert result.accuracy == np.trace(result.confusion) / 24 == finished[1]["test_accuracy"]
        assert result.loss == pytest.approx(whole.loss, rel=1e-5)
        assert result.overflow == 0


def test_activity_is_that_of_the_true_clouds(
    results: dict[tuple[int, int], Evaluation], finished: tuple[Path, dict[str, Any]]
) -> None:
    whole = results[24, 1].numbers(4)
    for result in results.values():
        numbers = result.numbers(4)
        for name in ("firing_rate", "synops", "macs", "acs", "energy_mj", "ann_energy_mj"):
            assert numbers[name] == pytest.approx(whole[name], rel=1e-6), name
            assert numbers[name] == pytest.approx(finished[1][name], rel=1e-6), name
    assert 0 < whole["firing_rate"] < 1
    assert whole["synops"] == whole["macs"] + whole["acs"]
