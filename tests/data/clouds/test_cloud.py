from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snnjax.data.clouds import CloudSet, normalise, sample_points
from snnjax.data.clouds.cloud import stack_clouds


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 20), st.just(3)),
        elements=st.floats(-1e300, 1e300, allow_nan=False),
    )
)
@settings(deadline=None, max_examples=200)
def test_any_finite_cloud_ends_inside_the_ball(points):
    out = normalise(points)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert np.linalg.norm(out.astype(np.float64), axis=1).max() <= 1.0


def test_normalise_against_the_formula():
    points = np.random.default_rng(0).normal(3, 2, (50, 3))
    centred = points - points.mean(0)
    expected = 0.999 * centred / np.linalg.norm(centred, axis=1).max()
    np.testing.assert_allclose(normalise(points), expected, atol=1e-6)


@pytest.mark.parametrize("points", [np.full((9, 3), 1e6 / 3), np.full((1, 3), -7.0)])
def test_equal_points_and_one_point_go_to_the_origin(points):
    np.testing.assert_array_equal(normalise(points), np.zeros_like(points))


def test_an_empty_cloud_stays_empty():
    assert normalise(np.zeros((0, 3))).shape == (0, 3)


def test_normals_are_kept():
    cloud = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_array_equal(normalise(cloud)[:, 3:], cloud[:, 3:])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(bad):
    points = np.zeros((4, 3))
    points[2, 1] = bad
    with pytest.raises(ValueError, match="point 2 has a NaN or infinite"):
        normalise(points)


@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 2, 3)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\[n, C\]"):
        normalise(np.zeros(shape))


def test_sample_points_repeats_only_when_it_must():
    rng = np.random.default_rng(0)
    cloud = np.arange(30.0).reshape(10, 3)
    few = sample_points(cloud, 6, rng)
    assert len(np.unique(few, axis=0)) == 6
    many = sample_points(cloud, 25, rng)
    assert len(many) == 25
    assert len(np.unique(many, axis=0)) == 10
    with pytest.raises(ValueError, match="empty cloud"):
        sample_points(cloud[:0], 3, rng)
    with pytest.raises(ValueError, match="at least 1"):
        sample_points(cloud, 0, rng)


def test_a_sample_of_a_large_cloud_is_a_random_subset_fixed_in_evaluation():
    clouds = [np.random.default_rng(i).normal(size=(n, 3)) for i, n in enumerate((4, 0, 9))]
    flat, offset = stack_clouds(clouds)
    ds = CloudSet(flat, offset, np.array([0, 1, 1], np.int32), ("a", "b"), limit=5)
    np.testing.assert_array_equal(ds.sample(0, None)["points"], clouds[0].astype(np.float32))
    assert ds.sample(1, None)["points"].shape == (0, 3)
    one, two = (ds.sample(2, None) for _ in range(2))
    np.testing.assert_array_equal(one["points"], two["points"])
    drawn = [ds.sample(2, np.random.default_rng(seed))["points"] for seed in range(3)]
    rows = {tuple(p) for p in ds.points(2).tolist()}
    for kept in [one["points"], *drawn]:
        assert len({tuple(p) for p in kept.tolist()} & rows) == len(kept) == 5
    assert any((kept != drawn[0]).any() for kept in drawn[1:])
    assert one["label"] == 1
