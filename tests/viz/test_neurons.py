"""Rasters, traces and surrogates draw what was recorded."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.surrogates import atan, rectangle
from snnjax.viz import membrane_traces, spike_raster, surrogate_figure


def test_every_spike_has_its_mark():
    spikes = np.random.default_rng(0).random((30, 12)) < 0.2
    figure = spike_raster(jnp.asarray(spikes, jnp.float32), groups=np.arange(12) // 6)
    top, low = figure.axes
    marks = {tuple(map(int, p)) for p in top.collections[0].get_offsets()}
    assert marks == {(t, n) for t, n in np.argwhere(spikes).tolist()}
    np.testing.assert_allclose(low.get_lines()[0].get_ydata(), spikes.mean(1))
    assert f"{spikes.mean():.1%}" in top.get_title("left")
    assert len({tuple(c[:3]) for c in top.collections[0].get_edgecolors().tolist()}) == 2


def test_a_silent_population_is_drawn_as_such():
    figure = spike_raster(np.zeros((5, 3)))
    assert len(figure.axes[0].collections[0].get_offsets()) == 0
    assert "0.0%" in figure.axes[0].get_title("left")
    figure.canvas.draw()


def test_traces_are_the_chosen_neurons_with_their_spikes():
    v = np.random.default_rng(1).random((20, 4))
    spikes = v > 0.8
    figure = membrane_traces(v, spikes=spikes, threshold=0.8, neurons=[2, 0])
    assert [ax.get_ylabel() for ax in figure.axes] == ["neuron 2", "neuron 0"]
    trace, line, marks = figure.axes[0].get_lines()
    np.testing.assert_allclose(trace.get_ydata(), v[:, 2])
    assert set(line.get_ydata()) == {0.8}
    assert marks.get_xdata().tolist() == np.flatnonzero(spikes[:, 2]).tolist()


def test_the_derivative_is_the_surrogates_own():
    figure = surrogate_figure({"atan": atan, "rectangle": rectangle})
    forward, slope = figure.axes
    x, y = forward.get_lines()[0].get_data()
    np.testing.assert_array_equal(y, (np.asarray(x) >= 0).astype(np.float32))
    x, dy = map(np.asarray, slope.get_lines()[0].get_data())
    np.testing.assert_allclose(dy, 1 / (1 + (np.pi * x) ** 2), atol=1e-5)


def test_errors_name_the_fix():
    with pytest.raises(ValueError, match=r"Pick a sample of \[T, B, N\] by spikes\[:, 0\]"):
        spike_raster(np.zeros((3, 2, 4)))
    with pytest.raises(ValueError, match="NaN"):
        membrane_traces(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="is empty"):
        spike_raster(np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"indices in \[0, 2\); got \[5\]"):
        membrane_traces(np.zeros((3, 2)), neurons=[5])
    with pytest.raises(ValueError, match="shape of v"):
        membrane_traces(np.zeros((3, 2)), spikes=np.zeros((3, 1)))
    with pytest.raises(ValueError, match="surrogates is empty"):
        surrogate_figure({})


def test_real_values_are_not_drawn_as_a_raster():
    with pytest.raises(ValueError, match="spikes must be 0, 1 or counts; got values between them"):
        spike_raster(np.full((5, 3), 0.5))
