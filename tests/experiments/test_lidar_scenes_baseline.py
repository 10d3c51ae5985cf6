from __future__ import annotations

import numpy as np
import pytest

from experiments.lidar_scenes_baseline import mean_iou, measure


def test_mean_iou_of_a_small_case() -> None:
    label, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert mean_iou(predicted, label) == pytest.approx((1 / 2 + 2 / 3) / 2)


@pytest.mark.slow
def test_height_and_reflectance_do_not_give_the_class_away() -> None:
    found = measure()
    assert 0.14 < found["logistic_miou"] < 0.25
    assert found["majority_miou"] < 0.03
