"""E-3DSNN with centre heads against dense convolutions on the masked grid, in float64."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.metrics import ActivityTotals, count_parameters, layer_synops
from snnjax.models import E3DSNNCentres, E3DSNNCentresConfig, e3dsnn_nuscenes
from snnjax.sparse import Capacities
from tests.models.random_nets import pack, random_net
from tests.reference.e3dsnn import integer
from tests.reference.e3dsnn_nuscenes import DenseCentres

EXTENT, BATCH, CELLS = (5, 8, 12), 3, 480
CONFIG = E3DSNNCentresConfig(
    3, (4, 5, 5), 1, in_channels=2, num_classes=3, joined=2, heads=(1, 2), bn_decay=0.9
)
ROWS = Capacities((CELLS, 80, 24, 8), ("table",) * 4)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def weights_of(config):
    return random_net(lambda: E3DSNNCentres(config, rngs=nnx.Rngs(0)))


def scenes():
    rng = np.random.default_rng(0)
    grid, mask = rng.normal(0.5, 1, (BATCH, *EXTENT, 2)), rng.random((BATCH, *EXTENT)) < 0.1
    mask[1] = False
    mask[1, 4, 7, 11] = True  # at the far corner
    return grid * mask[..., None], mask


def loss_of(heat, codes):
    """A sum that tells all outputs apart; rows without a site are 0."""
    return sum((jnp.sin(1.0 + i) * part + part**2).sum() for i, part in enumerate((*heat, *codes)))


def program(weights, *, train, record=False, capacities=ROWS):
    graph, params, stats = weights

    def run(params, x):
        model = nnx.merge(graph, params, jax.tree.map(jnp.asarray, stats))
        out = model(None, x, train=train, capacities=capacities, record=record)[1]
        out, activity = out if record else (out, ())
        return loss_of(out.heat, out.codes), (out, activity)

    return jax.jit(jax.value_and_grad(run, has_aux=True) if train else run), params


@pytest.fixture(scope="module")
def weights():
    with jax.enable_x64(True):
        return weights_of(CONFIG)


@pytest.fixture(scope="module")
def evaluated(weights):
    with jax.enable_x64(True):
        run, params = program(weights, train=False, record=True)
        return run(params, pack(*scenes()))[1]


def on_map(part, out, shape):
    """Rows back on the map [B, Y, X, C]."""
    full = np.zeros((BATCH, *shape, part.shape[-1]))
    for b in range(BATCH):
        x, y = np.asarray(out.cells[b], int)[np.asarray(out.valid[b])].T
        full[b, y, x] = part[b][np.asarray(out.valid[b])]
    return full


def neuron(x):
    return integer(x, 4)


def test_parameters_of_the_published_network():
    model = nnx.eval_shape(lambda: e3dsnn_nuscenes(rngs=nnx.Rngs(0)))
    assert count_parameters(model.conv) + count_parameters(model.norm) == 2_192
    assert sum(count_parameters(block) for block in model.blocks) == 27_840
    levels = [count_parameters(level) for level in model.levels]
    assert levels == [124_864, 498_560, 1_992_448, 2_213_632, 2_213_632]
    assert count_parameters(model.spread) == 147_712
    assert count_parameters(model.shared) == 147_840
    assert sum(count_parameters(head) for head in model.heads) == 612_678
    assert count_parameters(model) == 7_368_720 + 612_678


def test_the_heat_maps_start_at_a_tenth():
    model = E3DSNNCentres(CONFIG, rngs=nnx.Rngs(0))
    bias = np.concatenate([head.heat.last.bias[...] for head in model.heads])
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), 0.1, atol=1e-3)
    assert not np.asarray(model.heads[0].codes[0].last.bias[...]).any()


@pytest.mark.parametrize("twin", [False, True])
def test_evaluation_equals_a_dense_network(twin, evaluated, weights):
    grid, mask = scenes()
    out = evaluated[0]
    if twin:
        weights = weights_of(dataclasses.replace(CONFIG, twin=True))
        run, params = program(weights, train=False)
        out = run(params, pack(grid, mask))[1][0]
    fire = jax.nn.relu if twin else neuron
    heat, codes, plane = jax.jit(DenseCentres(*weights[1:], fire, joined=2))(grid, mask)
    assert np.asarray(out.valid).sum() == plane.sum()
    for got, want in zip((*out.heat, *out.codes), (*heat, *codes), strict=True):
        found = on_map(np.asarray(got), out, plane.shape[1:])
        np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9)
    assert [part.shape[-1] for part in out.heat] == [1, 2]
    assert [part.shape[-1] for part in out.codes] == [10, 10]
    assert not np.asarray(out.overflow).any()


def test_training_equals_a_dense_network_in_value_and_gradient(weights):
    grid, mask = scenes()
    run, params = program(weights, train=True)
    (loss, _), gradient = run(params, pack(grid, mask))

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def dense(params):
        heat, codes, plane = DenseCentres(params, None, neuron, joined=2)(grid, mask)
        return loss_of(heat, codes), plane

    (want, _), want_gradient = dense(params)
    np.testing.assert_allclose(loss, want, rtol=1e-9)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8), gradient, want_gradient
    )


def test_sites_beyond_the_rows_are_counted(weights, evaluated):
    run, params = program(
        weights, train=False, capacities=Capacities((CELLS, 30, 24, 8), ("table",) * 4)
    )
    out = run(params, pack(*scenes()))[1][0]
    assert np.asarray(out.overflow).max() > 0
    assert not np.asarray(evaluated[0].overflow).any()


def test_only_the_first_and_the_last_layers_multiply_real_values(evaluated):
    rows = {row.name: row for row in layer_synops(ActivityTotals().add(evaluated[1]))}
    real = {name for name, row in rows.items() if row.macs}
    assert real == {"conv"} | {name for name in rows if name.endswith(".last")}
    spikes = {name for name, row in rows.items() if row.acs}
    assert {"spread.conv", "shared.conv", "heads.0.heat.hidden"} <= spikes


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"joined": 4}, "joined must be between 1 and the 3 levels"),
        ({"channels": (4, 5, 6)}, "need equal channels"),
        ({"heads": (1, 1)}, "have 2 classes; num_classes is 3"),
        ({"heads": ()}, "heads must be integers"),
    ],
)
def test_bad_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(CONFIG, **options)


def test_bad_inputs_are_refused():
    model = nnx.eval_shape(lambda: E3DSNNCentres(CONFIG, rngs=nnx.Rngs(0)))
    x = pack(*scenes())
    with pytest.raises(ValueError, match="takes 2 point features; got 1"):
        nnx.eval_shape(lambda: model(None, x.replace(feats=x.feats[..., :1])))
    with pytest.raises(ValueError, match="fit them with packed=False"):
        nnx.eval_shape(lambda: model(None, x, capacities=Capacities(ROWS.rows, (), 2)))
