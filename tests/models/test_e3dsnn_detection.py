"""The single-stage E-3DSNN detector against dense convolutions on the masked grid, in float64."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.metrics import ActivityTotals, count_parameters, layer_synops
from snnjax.models import E3DSNNDetector, E3DSNNDetectorConfig, e3dsnn_kitti
from snnjax.nn import compute_in
from snnjax.sparse import Capacities
from tests.models.random_nets import pack, random_net
from tests.reference.e3dsnn import integer
from tests.reference.e3dsnn_detection import DenseDetector

EXTENT, BATCH, CELLS = (9, 8, 12), 2, 864  # 9 -> 5 -> 2 planes
CONFIG = E3DSNNDetectorConfig(
    3, (4,), 1, in_channels=2, num_classes=1, bn_decay=0.9,
    column=3, planes=2, bev_channels=(4, 5), bev_depth=1, bev_up=3,
)  # fmt: skip
ROWS = Capacities((CELLS, 120, 48), ("table",) * 3)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def weights_of(config):
    return random_net(lambda: E3DSNNDetector(config, rngs=nnx.Rngs(0)))


def scenes():
    rng = np.random.default_rng(0)
    grid, mask = rng.normal(0.5, 1, (BATCH, *EXTENT, 2)), rng.random((BATCH, *EXTENT)) < 0.1
    return grid * mask[..., None], mask


def loss_of(parts):
    return sum((jnp.sin(1.0 + i) * part + part**2).sum() for i, part in enumerate(parts))


def program(weights, *, train, record=False, capacities=ROWS):
    graph, params, stats = weights

    def run(params, x):
        model = nnx.merge(graph, params, jax.tree.map(jnp.asarray, stats))
        out = model(None, x, train=train, capacities=capacities, record=record)[1]
        out, activity = out if record else (out, ())
        return loss_of(out[:3]), (out, activity)

    return jax.jit(jax.value_and_grad(run, has_aux=True) if train else run), params


def neuron(x):
    return integer(x, 4)


@pytest.fixture(scope="module")
def weights():
    with jax.enable_x64(True):
        return weights_of(CONFIG)


@pytest.fixture(scope="module")
def evaluated(weights):
    with jax.enable_x64(True):
        run, params = program(weights, train=False, record=True)
        return run(params, pack(*scenes()))[1]


def test_parameters_of_the_published_network():
    model = nnx.eval_shape(lambda: e3dsnn_kitti(rngs=nnx.Rngs(0)))
    assert count_parameters(model.stem) == 15_648
    assert count_parameters(model.first) == 6_944
    assert [count_parameters(level) for level in model.levels] == [180_160, 719_744, 775_040]
    assert count_parameters(model.column) == 24_832
    stages = [count_parameters(stage) for stage in model.bev.stages]
    assert stages == [147_584 + 184_960, 73_984 + 738_560]
    assert [count_parameters(up) for up in model.bev.ups] == [8_448, 65_792]
    assert count_parameters(model.head) == 5_140
    assert count_parameters(model) == 1_722_368 + 1_219_328 + 5_140
    three = nnx.eval_shape(lambda: e3dsnn_kitti(num_classes=3, rngs=nnx.Rngs(0)))
    assert (count_parameters(three.head), count_parameters(three)) == (18_504, 2_960_200)


def test_parameters_of_the_light_backbone():
    model = nnx.eval_shape(lambda: e3dsnn_kitti(light=True, rngs=nnx.Rngs(0)))
    assert count_parameters(model) - 1_219_328 - 5_140 == 711_872


def test_grids_of_the_levels_on_kitti():
    model = nnx.eval_shape(lambda: e3dsnn_kitti(rngs=nnx.Rngs(0)))
    extent, heights = (41, 1600, 1408), [41]
    for geometry in model.geometries:
        extent = geometry.out_extent(extent)
        heights.append(extent[0])
    assert heights == [41, 21, 11, 6, 2]
    assert extent == (2, 200, 176)


def test_the_initialisation_of_the_heads():
    head = E3DSNNDetector(CONFIG, rngs=nnx.Rngs(0)).head
    np.testing.assert_allclose(head.scores.bias[...], -4.595, atol=1e-3)
    assert 0 < np.abs(head.boxes.kernel[...]).max() < 0.01
    assert not np.asarray(head.boxes.bias[...]).any()


@pytest.mark.parametrize("change", [{}, {"twin": True}, {"light": True}])
def test_evaluation_equals_a_dense_network(change, weights, evaluated):
    grid, mask = scenes()
    out = evaluated[0]
    if change:
        weights = weights_of(dataclasses.replace(CONFIG, **change))
        run, params = program(weights, train=False)
        out = run(params, pack(grid, mask))[1][0]
    fire = jax.nn.relu if change.get("twin") else neuron
    dense = DenseDetector(*weights[1:], fire, light=change.get("light", False))
    for got, want in zip(out[:3], jax.jit(dense)(grid, mask), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
    assert [part.shape for part in out[:3]] == [(BATCH, 4, 6, width) for width in (2, 14, 4)]
    assert not np.asarray(out.overflow).any()


def test_training_equals_a_dense_network_in_value_and_gradient(weights):
    grid, mask = scenes()
    run, params = program(weights, train=True)
    (loss, _), gradient = run(params, pack(grid, mask))

    @jax.jit
    @partial(jax.value_and_grad)
    def dense(params):
        return loss_of(DenseDetector(params, None, neuron)(grid, mask))

    want, want_gradient = dense(params)
    np.testing.assert_allclose(loss, want, rtol=1e-9)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8), gradient, want_gradient
    )


def test_only_real_inputs_are_multiplied(evaluated):
    rows = {row.name: row for row in layer_synops(ActivityTotals().add(evaluated[1]))}
    real = {name for name, row in rows.items() if row.macs}
    assert real == {"stem.conv", "column.conv", "head.scores", "head.boxes", "head.directions"}
    assert all(rows[f"bev.stages.1.branches.{i}.conv"].acs for i in range(2))
    assert rows["bev.ups.1.conv"].acs > 0


def test_lost_sites_are_counted(weights):
    few = Capacities((CELLS, 50, 48), ("table",) * 3)
    run, params = program(weights, train=False, capacities=few)
    assert np.asarray(run(params, pack(*scenes()))[1][0].overflow).min() > 0


def test_several_steps_and_narrow_products_run():
    config = dataclasses.replace(CONFIG, steps=2, spike_head=True)

    def run():
        model = E3DSNNDetector(config, rngs=nnx.Rngs(0))
        compute_in(model, "bfloat16")
        x = pack(*scenes())
        return model(None, x.replace(feats=x.feats.astype(np.float32)), capacities=ROWS)[1]

    out = nnx.eval_shape(run)
    assert out.scores.shape == (BATCH, 4, 6, 2)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"planes": 0}, "planes must be an integer of at least 1"),
        ({"bev_channels": ()}, "bev_channels must be"),
        ({"headings": True, "column": 0}, "column must be"),
    ],
)
def test_bad_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(CONFIG, **options)


@pytest.mark.parametrize(
    ("config", "change", "match"),
    [
        ({}, lambda x: x.replace(feats=x.feats[..., :1]), "takes 2 point features; got 1"),
        ({"planes": 3}, lambda x: x, "has 2 planes at the column, and the model 3"),
        ({"bev_channels": (4, 5, 6, 7)}, lambda x: x, "make both multiples of 8"),
    ],
)
def test_bad_inputs_are_refused(config, change, match):
    config = dataclasses.replace(CONFIG, **config)
    model = nnx.eval_shape(lambda: E3DSNNDetector(config, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=match):
        nnx.eval_shape(lambda: model(None, change(pack(*scenes()))))
