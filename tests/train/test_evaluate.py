from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from snnjax.data import batches
from snnjax.data.clouds import Augment, load_dataset, to_voxels
from snnjax.runs import load, restore
from snnjax.runs.use import Restored
from snnjax.sharding import parse_mesh
from snnjax.sparse import Capacities
from snnjax.train import Evaluation, Programs, Votes


@pytest.fixture(scope="module")
def results(finished: tuple[Path, dict[str, Any]]) -> dict[tuple[int, int], Evaluation]:
    """The 24 test clouds in batches of 24, 16 and 8 on 1, 1 and 2 devices."""
    from snnjax.models import MODELS
    from tests.train.tiny import tiny

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "tiny", tiny)
        return {
            (b, d): evaluate_weights(*subject(finished[0], b, d))
            for b, d in [(24, 1), (16, 1), (8, 2)]
        }


def subject(folder: Path, batch_size: int, devices: int, augment: Augment | None = None) -> tuple:
    """The arguments of an evaluation of the 24 test clouds."""
    mesh = parse_mesh(f"data={devices}")
    run: Restored = restore(folder, mesh=mesh)
    augment = run.experiment.data.augment if augment is None else augment
    data = dataclasses.replace(run.experiment.data, batch_size=batch_size, augment=augment)
    experiment = dataclasses.replace(run.experiment, data=data)
    dataset = load_dataset("shapes3d", "test", points=64, size=24)
    buckets = fit_evaluation(data, dataset, depth=run.spec.forward.depth, devices=devices)
    programs = Programs(run.spec, lambda _: None)
    return programs, run.weights, experiment, dataset, buckets, mesh


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


TURNED = Augment(rotate="so3", scale=(0.5, 0.9), shift=0.2, jitter=0.02)


def test_votes_are_mean_probabilities_of_augmented_copies(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    """Equal to a loop over copies; points that training would leave out stay; batches regroup."""
    dataset = load_dataset("shapes3d", "test", points=64, size=24)
    _, model = load(finished[0])
    shares, single = np.zeros((24, len(dataset.class_names))), []
    copies = batches(dataset, 24, points=64, seed=0, train=False, augment=TURNED, epochs=5)
    for copy in copies:
        x = to_voxels(jnp.asarray(copy.points), jnp.asarray(copy.count), 16, Capacities((64,)))
        logits = np.asarray(model((), x)[1].logits)
        single.append(np.mean(logits.argmax(1) == copy.label))
        shares += softmax(logits, axis=1) / 5
    want = np.mean(shares.argmax(1) == [dataset.label(i) for i in range(24)])
    assert len(set(single)) > 1  # the copies differ
    augment = dataclasses.replace(TURNED, drop=0.9, cut=0.5)
    for size, devices in [(24, 1), (16, 1), (8, 2)]:
        assert Votes(*subject(finished[0], size, devices, augment), votes=5) == want


def test_votes_that_would_be_equal_and_none_are_refused(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    with pytest.raises(ValueError, match=r"the copies would be equal"):
        Votes(*subject(finished[0], 24, 1, Augment(drop=0.5)), votes=2)
    with pytest.raises(ValueError, match=r"`votes` must be at least 1; got 0"):
        Votes(*subject(finished[0], 24, 1, TURNED), votes=0)
