"""Kernels, outputs and gradients of DCLS 0.1.1: see tests/reference/record_dcls.py."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.delays import (
    delayed_dense,
    gaussian_taps,
    kernel_of,
    spaced_conv,
    spaced_kernel,
    triangle_taps,
    two_taps,
)

MAX_DELAY, HALF = 8, 4
CASES = {
    "gauss_wide": (gaussian_taps, 4.0),
    "gauss_narrow": (gaussian_taps, 0.23),
    "max": (triangle_taps, 1.5),
    "bilinear": (two_taps, 0.0),
    "bilinear_normalised": (triangle_taps, 0.0),
}
close = partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5)


def recorded(name):
    with np.load(Path(__file__).parents[1] / "reference" / "dcls.npz", allow_pickle=False) as file:
        return {key.split("/")[1]: file[key] for key in file.files if key.startswith(f"{name}/")}


@pytest.mark.parametrize("name", CASES)
def test_over_time(name):
    taps, sigma = CASES[name]
    case = recorded(name)
    weight = jnp.asarray(case["weight"].swapaxes(0, 1))  # theirs is [O, I, Kc]
    delay = HALF - jnp.asarray(case["position"][0].swapaxes(0, 1))
    x = case["x"].transpose(2, 0, 1)  # theirs is [B, I, T]

    @jax.jit
    def run(x, weight, delay):
        kernel = kernel_of(weight, delay, sigma, MAX_DELAY, taps=taps)
        layer = partial(delayed_dense, sigma=sigma, max_delay=MAX_DELAY, taps=taps)
        y, pull = jax.vjp(layer, x, weight, delay)
        return kernel, y, pull(case["upstream"].transpose(2, 0, 1))

    kernel, y, (dx, dweight, ddelay) = run(x, weight, delay)
    close(kernel[::-1].transpose(2, 1, 0), case["kernel"])  # their taps run to shorter delays
    close(y.transpose(1, 2, 0), case["y"])
    close(dx.transpose(1, 2, 0), case["dx"])
    close(dweight.swapaxes(0, 1), case["dweight"])
    close(-ddelay.swapaxes(0, 1), case["dposition"][0])


@pytest.mark.parametrize("name", ["gauss_narrow", "bilinear_normalised"])
def test_in_the_plane(name):
    taps, sigma = CASES[name]
    case = recorded(f"plane_{name}")
    weight = jnp.asarray(case["weight"].swapaxes(0, 1))
    position = jnp.asarray(case["position"][::-1].swapaxes(1, 2))  # theirs are columns, rows
    x = case["x"].transpose(0, 2, 3, 1)[None]  # [T, B, H, W, C]

    @jax.jit
    def run(x, weight, position):
        kernel = spaced_kernel(weight, position, sigma, (5, 5), taps=taps)
        conv = partial(spaced_conv, sigma=sigma, sizes=(5, 5), groups=2, taps=taps)
        y, pull = jax.vjp(conv, x, weight, position)
        return kernel, y, pull(case["upstream"].transpose(0, 2, 3, 1)[None])

    kernel, y, (dx, dweight, dposition) = run(x, weight, position)
    close(kernel.transpose(3, 2, 0, 1), case["kernel"])
    close(y[0].transpose(0, 3, 1, 2), case["y"])
    close(dx[0].transpose(0, 3, 1, 2), case["dx"])
    close(dweight.swapaxes(0, 1), case["dweight"])
    close(dposition.swapaxes(1, 2)[::-1], case["dposition"], atol=3e-5)


def test_spacings_of_other_shapes():
    """Integer positions in an oblong kernel and in one and three dimensions; refusals."""
    for sizes in ((5,), (3, 7), (3, 1, 5)):
        middle = [(size - 1) // 2 for size in sizes]
        place = [m - 1 if m else 0 for m in middle]
        position = jnp.array([p - m for p, m in zip(place, middle, strict=True)], float)
        position = position.reshape(-1, 1, 1, 1)
        kernel = spaced_kernel(jnp.full((1, 1, 1), 2.0), position, 0.0, sizes, taps=two_taps)
        want = np.zeros((*sizes, 1, 1))
        want[tuple(place)] = 2
        np.testing.assert_array_equal(kernel, want)
        x = np.random.default_rng(0).normal(size=(2, *(4,) * len(sizes), 1)).astype(np.float32)
        y = spaced_conv(x, jnp.full((1, 1, 1), 2.0), position, 0.0, sizes, taps=two_taps)
        shift = tuple(m - p for p, m in zip(place, middle, strict=True))
        rolled = np.roll(2 * x, shift, range(1, 1 + len(sizes)))
        inner = (slice(None), *(slice(1, None) for _ in sizes))
        np.testing.assert_allclose(y[inner], rolled[inner], rtol=1e-6)
    weight, position = jnp.ones((1, 1, 1)), jnp.zeros((2, 1, 1, 1))
    with pytest.raises(ValueError, match="D = 1 sizes"):
        spaced_kernel(weight, position, 0.0, (3,))
    with pytest.raises(ValueError, match="without axes before"):
        spaced_conv(x, weight, position, 0.0, (3, 3), groups=3)
    with pytest.raises(TypeError, match="cast one of them"):
        spaced_conv(jnp.ones((1, 3, 3, 1), jnp.bfloat16), weight, position, 0.0, (3, 3))
    with pytest.raises(ValueError, match="1 to 3 dimensions"):
        spaced_conv(x, weight, position, 0.0, (3, 3, 3, 3))
