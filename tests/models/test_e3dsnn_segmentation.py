"""E-3DSNN for segmentation against dense convolutions on the masked grid, in float64."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.metrics import ActivityTotals, count_parameters, layer_synops
from snnjax.models import (
    E3DSNNSegmentation,
    E3DSNNSegmentationConfig,
    e3dsnn_l_segmentation,
)
from snnjax.nn import SiteLinear
from snnjax.sparse import Capacities
from tests.models.random_nets import pack, random_net
from tests.reference.e3dsnn import coarser, integer_neuron
from tests.reference.e3dsnn_segmentation import DenseUNet

EXTENT = (4, 5, 8)  # an odd edge: its last plane gets zeros back
CELLS, BATCH, CLASSES = 160, 4, 4
FULL, SINGLE, EMPTY = 1, 2, 3
CONFIG = E3DSNNSegmentationConfig(
    3, (4, 5), 1, in_channels=3, num_classes=CLASSES, bn_decay=0.9, decoder=(6, 4)
)
ROWS = Capacities((CELLS, 16, 2), ("table",) * 3)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def weights_of(config):
    return random_net(lambda: E3DSNNSegmentation(config, rngs=nnx.Rngs(0)))


def scenes(seed=0):
    rng = np.random.default_rng(seed)
    grid = rng.normal(0.5, 1, (BATCH, *EXTENT, 3))
    mask = rng.random((BATCH, *EXTENT)) < 0.3
    mask[FULL], mask[SINGLE], mask[EMPTY] = True, False, False
    mask[SINGLE, 1, 2, 3] = True
    return grid, mask


def on_grid(logits, mask):
    """Rows of logits back on the grid [B, Z, Y, X, K]."""
    out = np.zeros((*mask.shape, logits.shape[-1]))
    for b, occupied in enumerate(mask):
        out[b][occupied] = logits[b, : occupied.sum()]
    return out


def program(config, weights, *, train, record=False, capacities=ROWS):
    graph, params, stats = weights

    @jax.jit
    def run(params, x):
        model = nnx.merge(graph, params, jax.tree.map(jnp.asarray, stats))
        out = model(None, x, train=train, capacities=capacities, record=record)[1]
        out, activity = out if record else (out, ())
        loss = (out.logits * jnp.cos(jnp.arange(CLASSES))).sum() + (out.logits**2).sum()
        return loss, (out, activity)

    return run if not train else jax.value_and_grad(run, has_aux=True), params


@pytest.fixture(scope="module")
def weights():
    with jax.enable_x64(True):
        return weights_of(CONFIG)


@pytest.fixture(scope="module")
def evaluated(weights):
    with jax.enable_x64(True):
        run, params = program(CONFIG, weights, train=False, record=True)
        return run(params, pack(*scenes()))[1]


# stem, encoder, decoder 4..1, final and total of the published sizes
TOTALS = [
    (E3DSNNSegmentationConfig.l, 4, 19, {}, 20_049_683),
    (E3DSNNSegmentationConfig.l, 4, 19, {"decoder": (96, 96, 128, 256)}, 18_543_923),
    (E3DSNNSegmentationConfig.l, 6, 13, {}, 20_051_597),
    (E3DSNNSegmentationConfig.l, 6, 20, {}, 20_053_396),
    (E3DSNNSegmentationConfig.h, 4, 19, {}, 49_615_891),
    (E3DSNNSegmentationConfig.h, 4, 19, {"decoder": (96, 96, 128, 256)}, 48_096_819),
    (E3DSNNSegmentationConfig.s, 4, 19, {}, 4_267_747),
    (E3DSNNSegmentationConfig.t, 4, 19, {}, 2_795_219),
    (E3DSNNSegmentationConfig.mini, 4, 14, {}, 405_998),
]


@pytest.mark.parametrize(("size", "inputs", "classes", "options", "total"), TOTALS)
def test_published_sizes_have_the_published_parameters(size, inputs, classes, options, total):
    config = size(in_channels=inputs, num_classes=classes, **options)
    model = nnx.eval_shape(lambda: E3DSNNSegmentation(config, rngs=nnx.Rngs(0)))
    assert count_parameters(model) == total


def test_parts_of_the_published_network():
    model = nnx.eval_shape(lambda: e3dsnn_l_segmentation(rngs=nnx.Rngs(0)))
    decoder = [count_parameters(stage) for stage in model.decoder]
    assert count_parameters(model.stem) == 228_480
    assert sum(count_parameters(stage) for stage in model.stages) == 492_672 + 16_595_712
    assert decoder == [673_792, 673_792, 690_176, 690_176]
    assert count_parameters(model.final) == 4_883


@pytest.mark.parametrize("spike_head", [False, True])
def test_evaluation_equals_a_dense_network(spike_head):
    config = dataclasses.replace(CONFIG, spike_head=spike_head)
    weights = weights_of(config)
    grid, mask = scenes()
    run, params = program(config, weights, train=False)
    got = run(params, pack(grid, mask))[1][0]
    dense = DenseUNet(params, weights[2], integer_neuron(), spike_head=spike_head)
    want = jax.jit(dense)(grid, mask)
    np.testing.assert_allclose(on_grid(got.logits, mask), want, rtol=1e-9, atol=1e-9)
    assert got.overflow == 0


def test_training_equals_a_dense_network_in_value_and_gradient(weights):
    grid, mask = scenes(1)
    run, params = program(CONFIG, weights, train=True)
    (loss, (out, _)), gradient = run(params, pack(grid, mask))

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def dense(params):
        logits = DenseUNet(params, None, integer_neuron())(grid, mask)
        return (logits * jnp.cos(jnp.arange(CLASSES))).sum() + (logits**2).sum(), logits

    (want_loss, want), want_gradient = dense(params)
    np.testing.assert_allclose(loss, want_loss, rtol=1e-9)
    np.testing.assert_allclose(on_grid(out.logits, mask), want, rtol=1e-9, atol=1e-9)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8), gradient, want_gradient
    )
    largest = jax.tree.leaves(jax.tree.map(lambda g: np.abs(g).max(), gradient))
    assert min(largest) > 0  # every parameter is reached


def test_rows_without_a_voxel_score_0(evaluated):
    logits, n = np.asarray(evaluated[0].logits), scenes()[1].sum((1, 2, 3))
    assert all(not logits[b, n[b] :].any() for b in range(BATCH))
    assert logits[FULL].any()


def test_more_rows_and_other_arithmetic_change_nothing(weights, evaluated):
    larger = Capacities((2 * CELLS, 40, 8), ("pairs",) * 3)
    run, params = program(CONFIG, weights, train=False, capacities=larger)
    logits = run(params, pack(*scenes(), rows=2 * CELLS))[1][0].logits
    np.testing.assert_allclose(logits[:, :CELLS], evaluated[0].logits, rtol=1e-9, atol=1e-9)
    assert not np.asarray(logits[:, CELLS:]).any()


def test_sites_beyond_the_rows_are_counted(weights):
    run, params = program(
        CONFIG, weights, train=False, capacities=Capacities((CELLS, 10, 2), ("table",) * 3)
    )
    mask = scenes()[1]
    lost = sum(max(int(coarser(mask)[b].sum()) - 10, 0) for b in range(BATCH))
    assert lost > 0
    assert run(params, pack(*scenes()))[1][0].overflow == lost


def test_operations_are_spikes_times_outputs(evaluated):
    totals = ActivityTotals().add(evaluated[1])
    rows = {row.name: row for row in layer_synops(totals)}
    mixes = [f"decoder.{i}.{name}.linear" for i in (1, 0) for name in ("first", "second")]
    convs = [f"decoder.{i}.conv" for i in (1, 0)]
    assert {*mixes, *convs, "final", "stem.conv"} <= rows.keys()
    sites = scenes()[1].sum()
    assert rows["final"].macs > 0
    assert rows["final"].acs == 0
    assert rows["final"].dense_macs == sites * 6 * CLASSES
    for name in (*mixes, *convs):  # spikes only
        assert rows[name].acs > 0
        assert rows[name].macs == 0


def test_the_twin_has_no_spikes():
    config = dataclasses.replace(CONFIG, twin=True)
    weights = weights_of(config)
    grid, mask = scenes()
    run, params = program(config, weights, train=False)
    want = jax.jit(DenseUNet(params, weights[2], jax.nn.relu))(grid, mask)
    got = run(params, pack(grid, mask))[1][0]
    np.testing.assert_allclose(on_grid(got.logits, mask), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"decoder": (6,)}, "one entry for each of the 2 stages"),
        ({"decoder": (6, 0)}, "at least 1; got"),
        ({"levels": 0}, "levels must be an integer of at least 1"),
    ],
)
def test_bad_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(CONFIG, **options)


def test_bad_inputs_are_refused():
    model = nnx.eval_shape(lambda: E3DSNNSegmentation(CONFIG, rngs=nnx.Rngs(0)))
    x = pack(*scenes())
    with pytest.raises(ValueError, match="takes 3 point features; got 2"):
        nnx.eval_shape(lambda: model(None, x.replace(feats=x.feats[..., :2])))
    with pytest.raises(ValueError, match="fit them with packed=False"):
        nnx.eval_shape(lambda: model(None, x, capacities=Capacities(ROWS.rows, (), 2)))
    with pytest.raises(ValueError, match="SiteLinear takes features of 5 channels"):
        SiteLinear(5, 2, rngs=nnx.Rngs(0))(x)
