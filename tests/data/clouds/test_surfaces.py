"""Each family against its own implicit equation, and against areas worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from snnjax.data.clouds.shapes3d import sample_surface
from snnjax.data.clouds.surfaces import FAMILIES

SAMPLES = 20_000


def _draw(name: str, q: float | tuple[float, float, float] = 0.5) -> np.ndarray:
    proportions = np.full((1, 1, 3), q, np.float32)
    uv = np.random.default_rng(1).random((1, 3, SAMPLES), dtype=np.float32)
    return sample_surface(FAMILIES[name], proportions, uv)[0].astype(np.float64)


def _residual(name: str, p: np.ndarray) -> np.ndarray:
    """How far each point misses the implicit equation of the family at q = 0.5."""
    x, y, z = np.abs(p).T
    r = np.hypot(x, y)
    match name:
        case "sphere":
            return np.linalg.norm(p, axis=1) - 1
        case "ellipsoid":
            return (x / 0.625) ** 2 + (y / 0.325) ** 2 + z**2 - 1
        case "superquadric":
            return (x ** (2 / 2.5) + y ** (2 / 2.5)) + z ** (2 / 2.5) - 1
        case "box":
            return np.maximum.reduce([x, y / 0.8, z / 0.8]) - 1
        case "cylinder":
            return np.maximum(r, z / 1.05) - 1
        case "cone":
            side = r - (1.1 - p[:, 2]) / 2.2
            return np.where(p[:, 2] < -1.1 + 1e-5, np.maximum(r - 1, 0), side)
        case "pyramid":
            side = np.maximum(x, y) - (0.95 - p[:, 2]) / 1.9
            return np.where(p[:, 2] < -0.95 + 1e-5, np.maximum(np.maximum(x, y) - 1, 0), side)
        case "capsule":
            return np.hypot(r, np.maximum(z - 1.35, 0)) - 1
        case "torus":
            return np.hypot(r - 1, z) - 0.3
        case "saddle":
            return p[:, 2] - 0.7 * (x**2 - y**2)
        case "cross":
            rolled = np.stack([np.hypot(y, z), np.hypot(z, x), np.hypot(x, y)])
            return np.abs(rolled - 0.17).min(0)
        case "helix":
            turn = np.linspace(0, 1, 4001)
            line = np.stack(
                [
                    np.cos(5 * np.pi * turn),
                    np.sin(5 * np.pi * turn),
                    1.1 * (2 * turn - 1),
                ],
                -1,
            )
            some = p[:500]
            return np.linalg.norm(some[:, None] - line[None], axis=-1).min(1) - 0.15
    raise AssertionError(name)


@pytest.mark.parametrize("name", FAMILIES)
def test_points_lie_on_the_surface(name):
    tolerance = 5e-3 if name == "superquadric" else 1e-4
    assert np.abs(_residual(name, _draw(name))).max() < tolerance


def test_there_are_at_least_ten_families():
    assert len(FAMILIES) >= 10


def test_samples_are_uniform_in_area():
    """Fractions of area worked out by hand; 20,000 points leave a deviation of about 0.0035."""
    expected = {
        "sphere": (lambda p: p[:, 2] > 0.5, 0.25),  # Archimedes: equal zones, equal areas
        "cylinder": (lambda p: np.abs(p[:, 2]) > 1.05 - 1e-6, 1 / (1 + 2 * 1.05)),
        "cone": (lambda p: p[:, 2] < -1.1 + 1e-6, 1 / (1 + np.hypot(1, 2.2))),
        "pyramid": (lambda p: p[:, 2] < -0.95 + 1e-6, 1 / (1 + np.hypot(1, 1.9))),
        "torus": (lambda p: np.hypot(p[:, 0], p[:, 1]) > 1, 0.5 + 0.3 / np.pi),
        "capsule": (lambda p: np.abs(p[:, 2]) > 1.35, 2 / (2 + 2 * 1.35)),
        "box": (lambda p: np.abs(p[:, 0]) > 1 - 1e-6, 0.64 / (0.64 + 0.8 + 0.8)),
    }
    for name, (inside, fraction) in expected.items():
        assert abs(inside(_draw(name)).mean() - fraction) < 0.02, name


def test_neighbouring_families_do_not_degenerate_into_one_another():
    for q in (0.0, 1.0):
        axes = np.sort(np.ptp(_draw("ellipsoid", q), axis=0))
        assert axes[1] < 0.75 * axes[2]
        assert axes[0] < 0.75 * axes[1]
        star = _draw("superquadric", q)
        on_sphere = np.linalg.norm(star, axis=1)
        assert np.median(on_sphere) < 0.75  # far inside the ball that its tips touch
        assert np.ptp(_draw("capsule", q)[:, 2]) > 1.9 * np.ptp(_draw("capsule", q)[:, 0])
