from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from snnjax.data import batches
from snnjax.data.clouds import Augment, to_voxels
from snnjax.runs import load, restore
from snnjax.runs.use import Restored
from snnjax.sharding import parse_mesh
from snnjax.sparse import Capacities
from snnjax.train import ContinuousDelays, Evaluation, Programs, Trained, Votes, evaluations

Finished = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def results(finished: Finished) -> dict[tuple[int, int], Evaluation]:
    """The 24 test clouds in batches of 24, 16 and 8 on 1, 1 and 2 devices."""
    found = {}
    for b, d in [(24, 1), (16, 1), (8, 2)]:
        trained, dataset = subject(finished[0], b, d)
        found[b, d] = trained.evaluate(dataset)
    return found


def subject(
    folder: Path, batch_size: int, devices: int, augment: Augment | None = None
) -> tuple[Trained, Any]:
    """A trained model and the 24 test clouds."""
    run: Restored = restore(folder, mesh=parse_mesh(f"data={devices}"))
    source = run.experiment.data
    if augment is not None:
        source = dataclasses.replace(source, augment=augment)
    experiment = dataclasses.replace(run.experiment, data=source, batch_size=batch_size)
    session = dataclasses.replace(run.session, experiment=experiment).with_spec(source=source)
    dataset = source.open("test")
    shapes = source.shapes(None, dataset, session.model, session.layout)
    session = dataclasses.replace(session, shapes=shapes)
    return Trained(session, Programs(session.spec, lambda _: None), run.weights), dataset


def labels_of(dataset: Any) -> np.ndarray:
    return np.array([dataset.sample(i, None)["label"] for i in range(len(dataset))])


def test_each_test_cloud_counts_once(results: Any, finished: Finished) -> None:
    """A last batch that is filled up adds nothing: two batches of 16 are one of 24."""
    full = results[24, 1]
    _, dataset = subject(finished[0], 24, 1)
    labels = np.bincount(labels_of(dataset), minlength=12)
    for result in results.values():
        confusion = result.sums["confusion"]
        np.testing.assert_array_equal(confusion, full.sums["confusion"])
        np.testing.assert_array_equal(confusion.sum(axis=1), labels)
        assert result.totals.samples == result.samples == 24
        accuracy = result.scores["accuracy"]
        assert accuracy == np.trace(confusion) / 24 == finished[1]["test_accuracy"]
        assert result.loss == pytest.approx(full.loss, rel=1e-5)
        assert result.overflow == 0


def test_activity_is_that_of_the_true_clouds(results: Any, finished: Finished) -> None:
    full = results[24, 1].numbers()
    for result in results.values():
        numbers = result.numbers()
        for name in ("firing_rate", "synops", "macs", "acs", "energy_mj", "ann_energy_mj"):
            assert numbers[name] == pytest.approx(full[name], rel=1e-6), name
            assert numbers[name] == pytest.approx(finished[1][name], rel=1e-6), name
    assert 0 < full["firing_rate"] < 1
    assert full["synops"] == full["macs"] + full["acs"]


TURNED = Augment(rotate="so3", scale=(0.5, 0.9), shift=0.2, jitter=0.02)


def test_votes_are_mean_probabilities_of_augmented_copies(finished: Finished) -> None:
    """Equal to a loop over copies; points that training would leave out stay; batches regroup."""
    trained, dataset = subject(finished[0], 24, 1, TURNED)
    _, model = load(finished[0])
    shares, single, labels = np.zeros((24, 12)), [], labels_of(dataset)
    copies = batches(
        dataset, trained.experiment.data, 24, seed=0, train=False, augment=True, epochs=5
    )
    for copy in copies:
        points, count = jnp.asarray(copy["points"]), jnp.asarray(copy["count"])
        logits = np.asarray(model(None, to_voxels(points, count, 16, Capacities((64,))))[1].logits)
        single.append(np.mean(logits.argmax(1) == copy["label"]))
        shares += softmax(logits, axis=1) / 5
    want = np.mean(shares.argmax(1) == labels)
    assert len(set(single)) > 1  # the copies differ
    augment = dataclasses.replace(TURNED, drop=0.9, crop_fraction=0.5)
    for size, devices in [(24, 1), (16, 1), (8, 2)]:
        voter, clouds = subject(finished[0], size, devices, augment)
        assert Votes(5).run(voter, clouds) == {"voted_accuracy": want}


def test_votes_that_would_be_equal_and_none_are_refused(finished: Finished) -> None:
    with pytest.raises(ValueError, match=r"the copies would be equal"):
        Votes(2).run(*subject(finished[0], 24, 1, Augment(drop=0.5)))
    with pytest.raises(ValueError, match=r"votes.copies must be at least 1; got 0"):
        Votes(0)


def test_evaluators_together_must_not_say_the_same_twice(finished: Finished) -> None:
    trained, dataset = subject(finished[0], 24, 1, TURNED)
    assert evaluations((ContinuousDelays(),), trained, dataset) == {}  # it has no delays
    with pytest.raises(ValueError, match="voted_accuracy, which another evaluator returns too"):
        evaluations((Votes(1), Votes(2)), trained, dataset)


def test_a_model_with_other_parameters_cannot_replace_the_trained_one(finished: Finished) -> None:
    trained, _ = subject(finished[0], 24, 1)
    other = trained.model
    other.levels = 1
    assert trained.replace(model=other).model.levels == 1
    del other.norm.scale
    with pytest.raises(ValueError, match="must have the same parameters"):
        trained.replace(model=other)
