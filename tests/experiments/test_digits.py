"""The picture of a run shows what its seed drew and what it learned."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from experiments import digits, variants
from experiments.configs.snn_delays.spoken_digits_delays import experiment
from snnjax.data import DataInfo
from snnjax.nn import learned_delays

INFO = DataInfo(("zero", "one"), 6, 1, 1, 0)


def test_the_delays_first_drawn_are_those_of_the_seed(monkeypatch, tmp_path):
    network = dataclasses.replace(experiment.model, hidden=7, layers=1, max_delay=4)
    config = dataclasses.replace(experiment, model=network, seed=3)
    trained = network.build(INFO, rngs=nnx.Rngs(3))
    layers = learned_delays(trained).values()
    drawn = [np.rint(layer.delay[...]) for layer in layers]
    for layer in layers:
        layer.delay[...] = layer.delay[...] * 0
    monkeypatch.setattr(digits, "load", lambda _: (config, trained))
    monkeypatch.setattr(digits, "read_info", lambda _: INFO)
    figure = digits.draw(Path("run"))
    for ax, delay in zip(figure.axes, drawn, strict=True):
        learned, before = (patch.get_data().values for patch in ax.patches)
        np.testing.assert_allclose(before, [(delay == step).mean() for step in range(5)])
        np.testing.assert_array_equal(learned, [1, 0, 0, 0, 0])
    fixed = dataclasses.replace(network, delays="fixed").build(INFO, rngs=nnx.Rngs(3))
    monkeypatch.setattr(digits, "load", lambda _: (config, fixed))
    with pytest.raises(SystemExit, match="learned no delays"):
        digits.draw(Path("run"))
    with pytest.raises(SystemExit):
        digits.main(["--data", "d", "--picture", "run"])


def test_runs_of_another_length_are_not_averaged():
    """A folder that an earlier, shorter run left is found and read in place of a new one."""
    keys = ("firing_rate", "synops", "macs", "acs", "energy_mj", "seconds")
    run = dict.fromkeys(keys, 1.0) | {"epochs": 30, "steps": 9, "devices": 1, "parameters": 5}
    runs = [{**run, "test_accuracy": accuracy} for accuracy in (0.5, 1.0)]
    assert variants.condense(runs)["mean"] == 0.75
    with pytest.raises(ValueError, match=r"differ in epochs: \[30, 1\].*--run-root"):
        variants.condense([runs[0], {**runs[1], "epochs": 1}])
