"""Codes of boxes and directions."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.boxes import decode_boxes, direction_bin, encode_boxes, with_direction
from tests.boxes.test_geometry import some_boxes


@pytest.mark.parametrize("xp", [np, jnp])
def test_codes_return_to_the_box(xp):
    anchor = xp.asarray([10, 0, -1, 3.9, 1.6, 1.56, 0])
    code = encode_boxes(xp.asarray([10.4, -0.3, -0.8, 4.2, 1.7, 1.5, 0.1]), anchor)
    golden = [0.094889, -0.071167, 0.128205, 0.074108, 0.060625, -0.039221, 0.1]
    np.testing.assert_allclose(code, golden, atol=1e-6)
    boxes, anchors = (xp.asarray(some_boxes(20, seed)) for seed in (0, 1))
    again = decode_boxes(encode_boxes(boxes, anchors), anchors)
    np.testing.assert_allclose(again, boxes, atol=1e-12 if xp is np else 1e-4)


def test_wild_codes_stay_finite():
    anchor = jnp.array([10, 0, -1, 3.9, 1.6, 1.56, 0])
    box = decode_boxes(jnp.array([0, 0, 0, 99.0, -99.0, 5.0, 0]), anchor)
    np.testing.assert_allclose(box[3:6] / anchor[3:6], np.exp([5, -5, 5]), rtol=1e-5)


def test_direction_and_half_turn_give_the_heading():
    yaw = np.concatenate([np.linspace(-9, 9, 181), [0.78539, 0.78539 + np.pi, -1.57, 1.57]])
    for shift in (0.0, np.pi, -np.pi):  # what a sine cannot tell
        again = with_direction(yaw + shift, direction_bin(yaw))
        np.testing.assert_allclose(np.exp(1j * again), np.exp(1j * yaw), atol=1e-9)
    bins = np.asarray(direction_bin(jnp.asarray(yaw)))
    assert set(bins.tolist()) == {0, 1}
    assert (bins != direction_bin(yaw)).sum() <= 2  # at the borders float32 may differ
