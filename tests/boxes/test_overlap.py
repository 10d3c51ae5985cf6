"""Overlap of boxes: golden pairs, polygon clipping, symmetry, gradients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.boxes import aligned_iou, bev_iou, iou_3d
from tests.reference import boxes as slow

GOLDEN = {  # (x, y, l, w, angle) twice, and the overlap
    "identical": ((31, -12, 3.9, 1.6, 0.7), (31, -12, 3.9, 1.6, 0.7), 1),
    "turned by pi": ((31, -12, 3.9, 1.6, 0.7), (31, -12, 3.9, 1.6, 0.7 + np.pi), 1),
    "square turned by pi/4": ((0, 0, 1, 1, 0), (0, 0, 1, 1, np.pi / 4), 0.707107),
    "turned by pi/2": ((5, 5, 3.9, 1.6, 0.3), (5, 5, 3.9, 1.6, 0.3 + np.pi / 2), 0.258065),
    "crossed at +-pi/4": ((0, 0, 4, 1, np.pi / 4), (0, 0, 4, 1, -np.pi / 4), 1 / 7),
    "shifted by 2 along l": ((0, 0, 4, 2, 0), (2, 0, 4, 2, 0), 1 / 3),
    "touching at a side": ((0, 0, 4, 2, 0), (4, 0, 4, 2, 0), 0),
    "touching at a corner": ((0, 0, 4, 2, 0), (4, 2, 4, 2, 0), 0),
    "no size": ((0, 0, 0, 0, 0), (0, 0, 4, 2, 0), 0),
    "two without size": ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), 0),
    "sharing a side, inside": ((0, 0, 4, 2, 0), (0, 0.5, 4, 1, 0), 0.5),
    "inside, any angle": ((0, 0, 10, 10, 0.2), (1, 1, 2, 1, 1.1), 0.02),
    "apart": ((0, 0, 4, 2, 0), (60, 0, 4, 2, 1), 0),
}


def box(x, y, length, width, angle):
    return [x, y, 0, length, width, 1, angle]


@pytest.mark.parametrize(("xp", "dtype"), [(np, np.float32), (np, np.float64), (jnp, np.float32)])
def test_golden_pairs(xp, dtype):
    a, b = (np.array([box(*pair[i]) for pair in GOLDEN.values()], dtype) for i in (0, 1))
    expected = [pair[2] for pair in GOLDEN.values()]
    for found in (bev_iou, iou_3d):
        for first, second in ((a, b), (b, a)):
            iou = np.asarray(found(xp.asarray(first), xp.asarray(second)))
            np.testing.assert_allclose(iou, expected, atol=1e-6)
            assert iou.dtype == dtype


def pairs(n, seed=3):
    """Near and far pairs, a third of them degenerate: shared angles, shifts along the heading."""
    rng = np.random.default_rng(seed)
    a = rng.uniform((-60, -40, -2, 0.2, 0.2, 0.5, -4), (60, 40, 1, 6, 3, 2, 4), (n, 7))
    b = a + rng.normal(0, 1, (n, 7)) * (2, 2, 0.5, 0.5, 0.2, 0.2, 2)
    third = n // 3
    b[:third, 3:] = a[:third, 3:]
    along = np.stack([np.cos(a[:third, 6]), np.sin(a[:third, 6])], -1)
    b[:third, :2] = a[:third, :2] + rng.choice([0, 1e-6, 1e-3, 1, 2], (third, 1)) * along
    b[:, 3:6] = np.maximum(np.abs(b[:, 3:6]), 0.05)
    return a, b


def test_equals_polygon_clipping():
    a, b = pairs(10_000)
    flat = [slow.bev_iou(*pair) for pair in zip(a, b, strict=True)]
    solid = [slow.iou_3d(*pair) for pair in zip(a, b, strict=True)]
    assert 0.3 < np.mean(np.array(flat) > 0.05) < 1
    np.testing.assert_allclose(bev_iou(a, b), flat, atol=1e-11)
    np.testing.assert_allclose(iou_3d(a, b), solid, atol=1e-11)
    # In float32 the coordinates themselves are rounded: compare with the rounded boxes.
    a32, b32 = a.astype(np.float32), b.astype(np.float32)
    rounded = [
        slow.bev_iou(*pair) for pair in zip(a32.astype(float), b32.astype(float), strict=True)
    ]
    found = jax.jit(bev_iou)(a32, b32)
    np.testing.assert_allclose(found, rounded, atol=2e-6)
    np.testing.assert_allclose(found, jax.jit(bev_iou)(b32, a32), atol=2e-6)
    assert (np.asarray(found) >= 0).all()


def test_gradients_are_finite_and_those_of_differences():
    x, y = np.array(box(0, 0, 4, 2, 0.3)), np.array(box(1, 0.4, 3.5, 1.8, 0.9))
    golden = [[box(*pair[i]) for pair in GOLDEN.values()] for i in (0, 1)]
    a, b = (np.concatenate(p) for p in zip(pairs(300), golden, ([x], [y]), strict=True))
    gradient = jax.grad(lambda a, b: bev_iou(a, b).sum(), argnums=(0, 1))
    found = gradient(jnp.float32(a), jnp.float32(b))  # op by op: quicker than compiling
    assert all(bool(jnp.isfinite(g).all()) for g in found)
    step = 1e-6 * np.eye(7)
    expected = [(bev_iou(x + s, y) - bev_iou(x - s, y)) / 2e-6 for s in step]
    np.testing.assert_allclose(found[0][-1], expected, atol=1e-4)


def test_aligned_overlap_uses_the_nearest_rectangles():
    a, b = np.array(box(0, 0, 4, 2, 1.57)), np.array(box(0, 0, 2, 4, 0.1))
    assert aligned_iou(a, b) == pytest.approx(1)
    assert aligned_iou(np.array(box(0, 0, 4, 2, 0.0)), b) == pytest.approx(4 / 12)
    assert aligned_iou(a, b + np.array([2, 0, 0, 0, 0, 0, 0])) == 0
