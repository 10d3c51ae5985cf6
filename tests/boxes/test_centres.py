"""Centre heads: radius, heat maps against a loop, codes and detections."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from snnjax.boxes import (
    CentreMap,
    centre_detections,
    centre_targets,
    decode_centres,
    encode_centres,
    gaussian_radius,
)

WHERE = CentreMap((-12.0, 12.0), (-8.0, 8.0), (0.8, 0.8))
K = 2


def some(seed=0, rows=50, objects=5):
    rng = np.random.default_rng(seed)
    flat = rng.choice(30 * 20, rows, replace=False)
    cells = np.stack([flat % 30, flat // 30], -1).astype(np.float32)
    valid = np.arange(rows) < rows - 6
    low, high = (-11, -7, -1, 2, 1, 1, -3, -5, -5), (11, 7, 1, 9, 3, 3, 3, 5, 5)
    boxes = rng.uniform(low, high, (objects, 9)).astype(np.float32)
    kind = rng.integers(0, K, objects)
    return cells, valid, boxes, kind


def slow_heat(cells, valid, boxes, kind, overlap=0.1, least=2):
    heat, nearest = np.zeros((len(cells), K)), []
    for box, k in zip(boxes, kind, strict=True):
        x, y = (box[0] + 12) / 0.8, (box[1] + 8) / 0.8
        far = [
            math.hypot(c[0] - x, c[1] - y) if v else math.inf
            for c, v in zip(cells, valid, strict=True)
        ]
        near = cells[int(np.argmin(far))]
        nearest.append(int(np.argmin(far)))
        radius = float(gaussian_radius(jnp.array(box[3] / 0.8), jnp.array(box[4] / 0.8), overlap))
        sigma = (2 * max(int(radius), least) + 1) / 6
        for n, cell in enumerate(cells):
            if valid[n]:
                for cx, cy in ((x, y), near):
                    d = (cell[0] - cx) ** 2 + (cell[1] - cy) ** 2
                    heat[n, k] = max(heat[n, k], math.exp(-d / (2 * sigma**2)))
    return heat, nearest


run = jax.jit(lambda *a: centre_targets(*a, WHERE, num_classes=K))


def test_heat_and_codes_against_a_loop():
    for seed in range(3):
        cells, valid, boxes, kind = some(seed)
        heat, nearest = slow_heat(cells, valid, boxes, kind)
        given = np.concatenate([boxes, np.full((2, 9), np.nan, np.float32)])
        given[-1] = [50, 0, 0, 4, 2, 1, 0, 0, 0]  # outside the map
        found = run(cells, valid, given, np.append(kind, [-1, 0]))
        np.testing.assert_allclose(found.heat, heat, atol=2e-5)
        assert found.cell[:5].tolist() == nearest
        assert found.used.tolist() == [True] * 5 + [False] * 2
        assert all(found.heat[n, k] == 1 for n, k in zip(nearest, kind, strict=True))
        assert bool(jnp.isfinite(found.codes).all())
        again = decode_centres(found.codes[:5], jnp.asarray(cells[nearest]), WHERE)
        np.testing.assert_allclose(again, boxes, atol=1e-4)


def test_no_cell_and_no_object():
    cells, valid, boxes, kind = some()
    found = run(cells, valid & False, boxes, kind)
    assert not bool(found.used.any())
    assert not bool(found.heat.any())
    assert bool(jnp.isfinite(found.codes).all())


def test_codes_have_eight_or_ten_numbers():
    _, _, boxes, _ = some()
    cell = jnp.array([3.0, 4.0])
    assert encode_centres(jnp.asarray(boxes[:, :7]), cell, WHERE).shape == (5, 8)
    assert encode_centres(jnp.asarray(boxes), cell, WHERE).shape == (5, 10)
    code = encode_centres(jnp.array([0.0, 0, 1, 4, 2, 1, 0]), cell, WHERE)
    np.testing.assert_allclose(code, [12, 6, 1, np.log(4), np.log(2), 0, 1, 0], atol=1e-5)


def test_the_radius_is_the_least_of_three_roots():
    """By the released form: every root divided by 2."""
    for length, width, o in ((6.5, 3.0, 0.1), (2.0, 1.0, 0.5), (20.0, 5.0, 0.7)):
        s, a = length + width, length * width
        roots = [
            s + math.sqrt(s * s - 4 * a * (1 - o) / (1 + o)),
            2 * s + math.sqrt(4 * s * s - 16 * a * (1 - o)),
            -2 * o * s + math.sqrt(4 * o * o * s * s + 16 * o * a * (1 - o)),
        ]
        found = gaussian_radius(jnp.array(length), jnp.array(width), o)
        np.testing.assert_allclose(found, min(roots) / 2, rtol=1e-5)


def test_targets_are_detected():
    cells, valid, boxes, kind = some(4)
    target = run(cells, valid, boxes, kind)
    logits = np.full((len(cells), K), -9.0, np.float32)
    codes = np.zeros((len(cells), 10), np.float32)
    codes[:, 0] = np.nan  # what is not detected is not read
    for m, n in enumerate(np.asarray(target.cell)):
        logits[n, kind[m]], codes[n] = 3 - 0.1 * m, target.codes[m]
    logits[-1] = 9  # not valid
    logits[0, 0] = np.nan
    found = centre_detections(
        jnp.asarray(logits), jnp.asarray(codes), jnp.asarray(cells), jnp.asarray(valid), WHERE,
        top=20, keep=8, limit=0.99,
    )  # fmt: skip
    assert found.label.tolist() == [*kind.tolist(), -1, -1, -1]
    np.testing.assert_allclose(found.boxes[:5], boxes, atol=1e-4)
