"""Tables of classes."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.lidar import NUSCENES, SEMANTIC_KITTI, class_weights

# The loss weights of the E-3DSNN recipe, classes 0 to 18.
WEIGHTS = """3.1557 8.7029 7.8281 6.1354 6.3161 7.9937 8.9704 10.1922 1.6155 4.2187 1.9385 5.5455
2.0198 2.6261 1.3212 5.1102 2.5492 5.8585 7.3929"""


def test_predictions_map_back_to_raw_classes_that_map_to_them_again() -> None:
    for table, count in ((SEMANTIC_KITTI, 19), (NUSCENES, 16)):
        classes = np.arange(count)
        assert len(table.names) == count
        np.testing.assert_array_equal(table.to_classes(table.to_raw(classes)), classes)
    assert SEMANTIC_KITTI.to_raw(np.array([4, -1, 0])).tolist() == [20, 0, 10]


def test_moving_objects_are_of_the_class_of_standing_ones() -> None:
    raw = np.array([252, 253, 254, 255, 256, 257, 258, 259, 60, 13, 16, 0, 1, 52, 99])
    want = [0, 6, 5, 7, 4, 4, 3, 4, 8, 4, 4, -1, -1, -1, -1]
    assert SEMANTIC_KITTI.to_classes(raw).tolist() == want


def test_the_raw_classes_of_nuscenes_are_32() -> None:
    used = sorted([*(n for raw in NUSCENES.raw for n in raw), *NUSCENES.ignored])
    assert used == list(range(32))
    names = dict(zip(NUSCENES.names, NUSCENES.raw, strict=True))
    assert (names["car"], names["driveable_surface"], names["vegetation"]) == ((17,), (24,), (30,))
    assert NUSCENES.ignored == (0, 1, 5, 7, 8, 10, 11, 13, 19, 20, 29, 31)


def test_an_unknown_raw_class_is_an_error_with_the_file_and_the_number() -> None:
    with pytest.raises(DataError, match=r"7\.label: holds raw classes .*: 12 \(2 points\), 65535"):
        SEMANTIC_KITTI.to_classes(np.array([10, 12, 12, 65535]), "7.label")
    with pytest.raises(ValueError, match=r"classes must be in 0\.\.18, or -1.*got 0 to 19"):
        SEMANTIC_KITTI.to_raw(np.array([0, 19]))
    with pytest.raises(ValueError, match="must be integers"):
        SEMANTIC_KITTI.to_raw(np.array([0.0]))


def test_weights_are_minus_the_logarithm_of_the_shares() -> None:
    want = [float(w) for w in WEIGHTS.split()]
    np.testing.assert_allclose(class_weights(SEMANTIC_KITTI.shares), want, rtol=1e-2)
