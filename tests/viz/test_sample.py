"""A sample is drawn by the form of its array."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.sparse import sparse_tensor
from snnjax.viz import input_figure, spikes_figure

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "panels"),
    [((9, 2, 5), 2), ((2, 8, 8, 3), 1), ((2, 8, 8, 1), 1), ((4, 2, 8, 8, 2), 2)],
)
def test_each_form_has_its_picture(shape: tuple[int, ...], panels: int) -> None:
    figure = input_figure(RNG.random(shape), title="zero, predicted: zero (0.9)")
    assert len(figure.axes) == panels
    figure.canvas.draw()
    titles = [ax.get_title("left") for ax in figure.axes] + [figure.get_suptitle()]
    assert "zero, predicted: zero (0.9)" in titles


def test_counts_are_a_raster_and_real_values_shades() -> None:
    spikes = (RNG.random((9, 2, 5)) < 0.3).astype(np.float32)
    assert (
        len(input_figure(spikes, title="x").axes[0].collections[0].get_offsets())
        == spikes[:, 0].sum()
    )
    assert input_figure(0.5 * spikes, title="x").axes[0].images


def test_voxels_are_shown_with_the_spikes_of_each_resolution() -> None:
    coords = jnp.asarray([[[0, 0, 0], [1, 2, 3]]])
    x = sparse_tensor(jnp.ones((1, 2, 1)), coords, jnp.array([2]), extent=(4, 4, 4))
    figure = input_figure(x, {"first": x, "second": x}, title="a cloud")
    assert len(figure.axes) >= 2
    assert "spikes of first" in figure.axes[1].get_title()
    assert figure.get_suptitle() == "a cloud"


def test_samples_of_other_forms_get_no_picture() -> None:
    assert input_figure(np.zeros((2, 3)), title="x") is None
    assert input_figure({"a": 1}, title="x") is None
    assert input_figure(np.zeros((2, 8, 8, 7)), title="x") is None
    assert spikes_figure(None, {"a": np.full((3, 1, 2), 0.5)}, title="x") is None
    figure = spikes_figure(None, {"a": np.full((3, 1, 2), 0.5), "b": np.ones((3, 1, 2))}, title="x")
    assert "b: x" in figure.axes[0].get_title("left")
