"""The nuScenes scores of the outputs of a model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from snnjax.boxes import Detections
from snnjax.experiment.registry import make
from snnjax.tasks import DistancePrecision

NAMES = ("car", "tram")


def stub(columns):
    """A trained model with two batches; the last row of each only fills it."""
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(2):
        boxes = rng.uniform(
            (-20, -20, -1, 1, 1, 1, -3, -1, -1), (20, 20, 0, 4, 2, 2, 3, 1, 1), (3, 6, 9)
        )
        kind = np.where(np.arange(6) < 4, rng.integers(0, 2, (3, 6)), -1)
        found = boxes.copy()
        found[2] += 50  # the filling row is wrong
        found[..., 0] += 0.3
        out = Detections(found[..., :columns], rng.uniform(0.5, 1, (3, 6)), kind)
        batch = {"boxes": boxes[..., :columns], "box_class": kind, "weight": np.array([1.0, 1, 0])}
        batches.append((batch, out))
    info = SimpleNamespace(class_names=NAMES)
    return SimpleNamespace(
        session=SimpleNamespace(info=info), outputs=lambda dataset: iter(batches)
    )


@pytest.mark.parametrize("columns", [7, 9])
def test_scores_of_outputs(columns):
    numbers = make("evaluator", "distance_precision").run(stub(columns), None)
    assert numbers["car_precision"] == numbers["tram_precision"] == pytest.approx(1)
    assert numbers["translation_error"] == pytest.approx(0.3)
    assert numbers["velocity_error"] == pytest.approx(0 if columns == 9 else 1)
    assert numbers["attribute_error"] == 1
    expected = 5 + 0.7 + 1 + 1 + (columns == 9)
    assert numbers["nds"] == pytest.approx(expected / 10)
    assert all(isinstance(value, float) for value in numbers.values())


def test_objects_out_of_reach_do_not_count():
    assert DistancePrecision(reach=0.1).run(stub(7), None)["tram_precision"] == 0
    with pytest.raises(ValueError, match=r"distance_precision.reach must be above 0; got 0"):
        DistancePrecision(reach=0)
