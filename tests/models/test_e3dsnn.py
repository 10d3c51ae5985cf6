"""E-3DSNN against dense convolutions on the masked grid, in float64: spikes jump in float32.

Compilation is most of the time here, so nets are tiny, programs are compiled without
optimisation, and one batch holds all the odd samples: sparse, full, a single voxel, empty.
"""

from __future__ import annotations

import dataclasses
import inspect
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec as P

from snnjax.metrics import (
    ActivityTotals,
    count_parameters,
    energy_mj,
    firing_rates,
    layer_synops,
    parameter_table,
    synops,
)
from snnjax.models import E3DSNN, E3DSNNConfig, e3dsnn_h, e3dsnn_l, e3dsnn_s, e3dsnn_t
from snnjax.neurons import ILIFState, ilif_unroll_spikes
from snnjax.nn import IntegerNeuron, SparseBatchNorm, count_inputs, probe
from snnjax.sparse import Capacities, voxelize
from tests.models.random_nets import pack, random_net
from tests.reference.e3dsnn import Dense, at, coarser, integer_neuron, pairs_of

EXTENT = (5, 4, 7)  # odd: strided convolutions lose the last plane
CELLS = 140
CONFIG = E3DSNNConfig(3, (4,), 1, in_channels=3, num_classes=4, bn_decay=0.9)
ROWS = Capacities((CELLS, 12), ("table",) * 2)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


class Net(NamedTuple):
    """The graph and arrays of a model: random, and of order 1 everywhere."""

    graph: Any
    params: Any
    stats: Any

    def model(self, params=None):
        stats = jax.tree.map(jnp.asarray, self.stats)
        return nnx.merge(self.graph, self.params if params is None else params, stats)


def net_of(config, seed=0):
    return Net(*random_net(lambda: E3DSNN(config, rngs=nnx.Rngs(0)), seed))


def clouds(batch, extent=EXTENT, share=0.3, channels=3, steps=(), seed=0):
    rng = np.random.default_rng(seed)
    grid = rng.normal(0.5, 1, (*steps, batch, *extent, channels))
    return grid, rng.random((batch, *extent)) < share


BATCH = 8
FULL, SINGLE, EMPTY = 1, 2, 5


@pytest.fixture(scope="module")
def batch():
    grid, mask = clouds(BATCH)
    mask[FULL], mask[SINGLE], mask[EMPTY] = True, False, False
    mask[SINGLE, 1, 2, 3] = True
    return grid, mask


WEIGHTS = np.random.default_rng(9).normal(size=(BATCH, 4))


def weighted(logits):
    return (logits * WEIGHTS[: len(logits)]).sum() + (logits**2).sum()


def train_program(net, *, record=False):
    """(params, x) -> ((loss, (output, statistics after, state, record)), gradients)."""

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def run(params, x):
        model = net.model(params)
        state, out = model(None, x, train=True, capacities=ROWS, record=record)
        out, activity = out if record else (out, ())
        stats = nnx.as_pure(nnx.state(model, nnx.BatchStat))
        return weighted(out.logits), (out, stats, state, activity)

    return run


class Evaluated(NamedTuple):
    """What the model gave; `spikes` by the path of the layer that they enter."""

    state: Any
    out: Any
    activity: Any
    spikes: dict


def eval_program(net, change=lambda model: None):
    """(state, x) -> Evaluated."""
    built = net.model()
    neurons = [
        ".".join(map(str, path))
        for path, module in nnx.iter_modules(built)
        if isinstance(module, IntegerNeuron)
    ]

    @jax.jit
    def run(state, x):
        model = net.model()
        change(model)
        state, (out, activity) = model(state, x, capacities=ROWS, record=True)
        return state, out, activity

    @jax.jit
    def look(state, x):
        model = net.model()
        change(model)
        return probe(model, neurons)(state, x, capacities=ROWS)[1]

    def both(state, x):
        seen = look(state, x)
        spikes = {entered(path): seen[path][1] for path in sorted(seen)}
        return Evaluated(*run(state, x), spikes)

    return both


def entered(neuron):
    """The path of the layer that receives what a neuron fires."""
    return "head" if neuron == "neuron" else neuron.removesuffix("neuron") + "conv"


class Reference(NamedTuple):
    """What the dense net gave; `moments` as pairs of paths and statistics."""

    logits: Any
    gradient: Any
    moments: dict
    inputs: dict
    masks: dict


def dense_program(net, make_neuron, train, **options):
    """(params, grid, mask, *neuron's arguments) -> Reference."""
    paths = []

    def run(params, grid, mask, *args):
        dense = Dense(params, None if train else net.stats, make_neuron(*args), **options)
        logits = dense(grid, mask)
        paths[:] = dense.moments
        moments = list(dense.moments.values())
        return weighted(logits), (logits, moments, dense.inputs, dense.masks)

    compiled = jax.jit(jax.value_and_grad(run, has_aux=True) if train else run)

    def call(*args):
        out = compiled(*args)
        (_, (logits, moments, inputs, masks)), gradient = out if train else (out, None)
        return Reference(logits, gradient, dict(zip(paths, moments, strict=True)), inputs, masks)

    return call


def close(got, want, tolerance=1e-9):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), got, want
    )


def moved(net, moments):
    """The statistics that `moments` leave behind: 0.9 r + 0.1 batch."""
    want = jax.tree.map(np.copy, net.stats)
    for path, (mean, var) in moments.items():
        norm = at(want, path)
        norm["mean"] = 0.9 * norm["mean"] + 0.1 * mean
        norm["var"] = 0.9 * norm["var"] + 0.1 * var
    return want


@pytest.fixture(scope="module")
def net():
    return net_of(CONFIG)


@pytest.fixture(scope="module")
def trained(net, batch):
    with jax.enable_x64(True):
        return train_program(net)(net.params, pack(*batch))


@pytest.fixture(scope="module")
def evaluate(net):
    return eval_program(net)


@pytest.fixture(scope="module")
def evaluated(evaluate, batch):
    with jax.enable_x64(True):
        return evaluate(None, pack(*batch))


@pytest.fixture(scope="module")
def dense(net, batch):
    with jax.enable_x64(True):
        return dense_program(net, integer_neuron, train=False)(net.params, *batch)


# --- sizes and names ---

# stem, down 1..4, blocks 1..4, head, total; 40 classes, 6 inputs
TABLE_OF_SIZES = {
    "t": (16512, (2080, 4160, 16512, 65792), (20832, 83136, 332160, 1327872), 5160, 1874216),
    "s": (35136, (4656, 9312, 37056, 123200), (46800, 186912, 747072, 2074560), 6440, 3271144),
    "l": (
        231936,
        (32896, 65792, 131328, 262656),
        (664320, 2655744, 2655744, 10619904),
        10280,
        17330600,
    ),
    "h": (
        231936,
        (49344, 147840, 442944, 885504),
        (1494144, 5974272, 13440384, 23892480),
        15400,
        46574248,
    ),
}


@pytest.mark.parametrize("size", TABLE_OF_SIZES)
def test_published_sizes_have_the_published_parameters(size):
    config = getattr(E3DSNNConfig, size)(in_channels=6, num_classes=40)
    model = nnx.eval_shape(lambda: E3DSNN(config, rngs=nnx.Rngs(0)))
    parts = {}
    for path, *_, count in parameter_table(model):
        head, *rest = path.split("/")
        if head == "stages":
            head = ("blocks" if rest[1] == "blocks" else "down") + str(int(rest[0]) + 1)
        parts[head] = parts.get(head, 0) + count
    stem, down, blocks, head, total = TABLE_OF_SIZES[size]
    assert parts["stem"] == stem
    assert tuple(parts[f"down{i}"] for i in (1, 2, 3, 4)) == down
    assert tuple(parts[f"blocks{i}"] for i in (1, 2, 3, 4)) == blocks
    assert parts["head"] == head
    assert count_parameters(model) == sum(parts.values()) == total


def test_parameters_of_other_inputs_and_of_the_small_net():
    def count(make):
        return count_parameters(nnx.eval_shape(make))

    assert count(lambda: e3dsnn_t(3, rngs=nnx.Rngs(0))) == 1_872_920
    small = E3DSNNConfig(8, (8, 16, 32, 64), 1, in_channels=3, num_classes=10)
    assert count(lambda: E3DSNN(small, rngs=nnx.Rngs(0))) == 468_418
    for change in ({"levels": 1}, {"twin": True}, {"spike_head": True}, {"steps": 4}):
        other = dataclasses.replace(small, **change)
        assert count(lambda other=other: E3DSNN(other, rngs=nnx.Rngs(0))) == 468_418


def test_names_and_signatures_of_the_four_sizes():
    for size, make in zip("tslh", (e3dsnn_t, e3dsnn_s, e3dsnn_l, e3dsnn_h), strict=True):
        signature = inspect.signature(make).parameters
        names = [name for name, p in signature.items() if p.kind is not p.VAR_KEYWORD]
        assert names == ["in_channels", "num_classes", "rngs"]
        assert [signature[name].default for name in names[:2]] == [6, 40]
        assert signature["rngs"].kind is inspect.Parameter.KEYWORD_ONLY
        made = nnx.eval_shape(lambda make=make: make(rngs=nnx.Rngs(0)))
        assert made.config == getattr(E3DSNNConfig, size)(in_channels=6, num_classes=40)
    made = nnx.eval_shape(
        lambda: e3dsnn_t(4, 7, levels=2, rngs=nnx.Rngs(0), steps=3, beta=0.5, twin=False)
    )
    fields = "in_channels", "num_classes", "levels", "steps", "beta", "detach"
    assert [getattr(made.config, name) for name in fields] == [4, 7, 2, 3, 0.5, True]
    assert made.depth == 4
    with pytest.raises(ValueError, match=r"needs in_channels and num_classes; .*build\(info"):
        E3DSNN(E3DSNNConfig.t(), rngs=nnx.Rngs(0))


def test_a_single_step_has_no_state(net, batch):
    """Neurons of one step start at rest and leave nothing behind."""
    assert net.model().init_state(pack(*batch)) == {}


def test_the_released_initialisation():
    @jax.jit
    def make():
        model = E3DSNN(dataclasses.replace(CONFIG, stem=16, channels=(16,)), rngs=nnx.Rngs(0))
        return nnx.as_pure(nnx.state(model))

    made = make()
    for path, leaf in jax.tree.leaves_with_path(made):
        keys, value = [key.key for key in path], np.asarray(leaf)
        if keys[-1] in ("bias", "shift", "scale", "mean", "var"):
            assert (value == (keys[-1] in ("scale", "var"))).all(), keys
        elif "down" in keys:  # uniform in +-1 / sqrt(fan-in)
            bound = (8 * 16) ** -0.5
            assert 0.9 * bound < np.abs(value).max() <= bound, keys
            assert abs(value.std() - bound / 3**0.5) < 0.05 * bound, keys
        else:
            assert 0.015 < value.std() < 0.021, keys
            assert np.abs(value).max() <= 0.04 + 1e-6, keys
    weight = made["stem"]["second"]["conv"]["weight"]
    assert weight.dtype == jnp.float32
    assert len(np.unique(weight)) > 6000


# --- one batch with a sparse, a full, a single-voxel and an empty sample ---


def test_training_equals_dense_convolutions_in_value_gradient_and_statistics(net, batch, trained):
    (loss, (out, stats, state, activity)), gradient = trained
    want = dense_program(net, integer_neuron, train=True)(net.params, *batch)
    close(loss, weighted(want.logits))
    close(out.logits, want.logits)
    close(gradient, want.gradient)
    assert len(want.moments) == 3 + 4
    close(stats, moved(net, want.moments))
    assert (state, activity) == ({}, ())
    assert int(out.overflow) == 0


def test_gradients_are_finite_and_reach_every_parameter(trained):
    _, gradient = trained
    for path, leaf in jax.tree.leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
        assert np.any(leaf != 0), jax.tree_util.keystr(path)


def test_evaluation_uses_the_running_statistics_and_equals_dense(dense, evaluated):
    close(evaluated.out.logits, dense.logits)
    assert evaluated.state == {}


def test_an_empty_sample_has_the_logits_of_the_bias(net, evaluated, trained):
    for logits in (evaluated.out.logits, trained[0][1][0].logits):
        np.testing.assert_array_equal(logits[EMPTY], net.params["head"]["bias"])
        assert np.isfinite(logits).all()
        assert np.abs(logits[SINGLE] - logits[EMPTY]).max() > 0.01


def test_a_batch_of_nothing_stays_finite(evaluate, batch):
    grid, mask = batch
    found = evaluate(None, pack(grid, np.zeros_like(mask)))
    assert np.isfinite(found.out.logits).all()
    # the mean over no site is 0: an integer, which adds nothing
    assert [x.name for x in layer_synops(found.activity) if x.macs + x.acs] == []
    assert [x.name for x in layer_synops(found.activity) if x.dense_macs] == ["head"]


def test_padding_and_arithmetic_change_neither_logits_nor_statistics(net, batch, trained):
    capacities = Capacities((2 * CELLS, 24), ("pairs",) * 2)

    @jax.jit
    def run(x):
        model = net.model()
        _, out = model(None, x, train=True, capacities=capacities)
        return out.logits, nnx.as_pure(nnx.state(model, nnx.BatchStat))

    _, (out, stats, *_) = trained[0]
    close(run(pack(*batch, rows=2 * CELLS)), (out.logits, stats), 1e-12)


def test_the_order_of_points_changes_nothing(evaluate):
    rng = np.random.default_rng(5)
    points = rng.uniform(0, EXTENT[::-1], (BATCH, CELLS, 3))
    count = np.array([CELLS, 90, 30, 1, 0, 70, 70, 70])
    voxels = jax.jit(
        partial(voxelize, extent=EXTENT, voxel_size=1.0, origin=(0.0, 0.0, 0.0), capacity=CELLS)
    )
    shuffled = points.copy()
    for b, size in enumerate(count):
        shuffled[b, :size] = rng.permutation(points[b, :size])
    one, other = voxels(points, count), voxels(shuffled, count)
    assert 20 < int(one.n[0]) < CELLS  # some points share a voxel
    jax.tree.map(np.testing.assert_array_equal, evaluate(None, one)[1:], evaluate(None, other)[1:])


def test_the_order_of_the_batch_does_not_matter_in_evaluation(evaluate, batch, evaluated):
    order = np.array([2, 0, 7, 5, 3, 1, 6, 4])
    found = evaluate(None, pack(*(a[order] for a in batch)))
    close(found.out.logits, evaluated.out.logits[order], 1e-12)
    for got, want in zip(found.activity, evaluated.activity, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[order]), got, want)


class UnrolledConv(nnx.Module):
    """A convolution that reads integers as D binary steps and sums what they give."""

    def __init__(self, conv, levels):
        self.conv, self.levels = conv, levels

    def __call__(self, x, kmap):
        bits = ilif_unroll_spikes(x.feats, self.levels)
        y = self.conv(x.replace(feats=bits), kmap)
        return y.replace(feats=y.feats.sum(axis=0))


@count_inputs.register
def _(layer: UnrolledConv, name, x, kmap, **_):
    return count_inputs(layer.conv, name, x, kmap)


def test_unrolling_integers_to_binary_steps_keeps_logits_and_spikes(net, batch, evaluated):
    def unrolled(model):
        for stage in model.stages:
            blocks = [(block.first, block.second, block.third) for block in stage.blocks]
            for branch in (stage.down, *(branch for block in blocks for branch in block)):
                branch.conv = UnrolledConv(branch.conv, CONFIG.levels)
        for branch in (model.stem.second, model.stem.third):
            branch.conv = UnrolledConv(branch.conv, CONFIG.levels)

    found = eval_program(net, unrolled)(None, pack(*batch))
    close(found.out.logits, evaluated.out.logits, 1e-11)
    assert list(found.spikes) == list(evaluated.spikes)
    for name, got in found.spikes.items():
        np.testing.assert_array_equal(got.feats, evaluated.spikes[name].feats, err_msg=name)


# --- what is recorded ---

LAYERS = ["stem.conv", "stem.second.conv", "stem.third.conv", "stages.0.down.conv"] + [
    f"stages.0.blocks.0.{branch}.conv" for branch in ("first", "second", "third")
]


def of_sample(activity, b):
    """The counts of one sample."""
    one = [jax.tree.map(lambda leaf: leaf[b : b + 1], layer) for layer in activity]
    return ActivityTotals().add(one).layers


def test_the_record_equals_a_loop_over_kernel_pairs(batch, dense, evaluated):
    inputs, masks, activity = dense.inputs, dense.masks, evaluated.activity
    assert [layer.name for layer in activity] == [*LAYERS, "head"]
    occupied = batch[1].any((1, 2, 3)).tolist()  # of nothing all is silent
    assert [layer.samples()["real"].tolist() for layer in activity] == [
        occupied, *[[False] * BATCH] * 6, occupied
    ]  # fmt: skip
    widths = [(3, 3)] * 3 + [(3, 4)] + [(4, 4)] * 4
    assert [(layer.in_channels, layer.out_channels) for layer in activity] == widths
    for b in range(BATCH):
        *layers, head = of_sample(activity, b)
        for layer in layers:
            x, mask = np.asarray(inputs[layer.name])[0, b], np.asarray(masks[layer.name])[b]
            degree = pairs_of(mask, 2 if "down" in layer.name else 3)
            s = 0 * degree if layer.name == "stem.conv" else x.sum(-1)
            assert layer.sites == mask.sum(), layer.name
            assert layer.pairs == degree.sum(), layer.name
            assert layer.nonzero == (x[mask] != 0).sum(), layer.name
            assert layer.spikes == s.sum(), layer.name
            assert layer.fanout == (s * degree).sum(), layer.name
        assert head.sites == head.pairs == 1  # the head of the mean: one product a sample


def test_operations_are_sums_over_those_pairs(batch, dense, evaluated):
    inputs, masks, activity = dense.inputs, dense.masks, evaluated.activity
    occupied = int(batch[1].any((1, 2, 3)).sum())
    macs = acs = twin = 0
    for layer in activity:
        width = layer.out_channels
        if layer.name == "head":
            macs, twin = macs + occupied * 4 * width, twin + BATCH * 4 * width
            continue
        for x, mask in zip(inputs[layer.name][0], masks[layer.name], strict=True):
            degree = pairs_of(np.asarray(mask), 2 if "down" in layer.name else 3)
            reads = degree.sum() * layer.in_channels * width
            twin += reads
            if layer.name == "stem.conv":
                macs += reads
            else:
                acs += (degree[..., None] * np.asarray(x)).sum() * width
    got = synops(activity)
    assert (got.macs, got.acs, got.dense_macs) == (macs / BATCH, acs / BATCH, twin / BATCH)
    np.testing.assert_allclose(got.energy_mj, energy_mj(macs / BATCH, acs / BATCH))
    real = [row.name for row in layer_synops(activity) if row.macs and not row.acs]
    assert real == ["stem.conv", "head"]


def test_rates_and_spikes_of_every_population(dense, evaluated):
    inputs, masks = dense.inputs, dense.masks
    assert sorted(evaluated.spikes) == sorted(LAYERS[1:])
    rates = firing_rates(evaluated.activity)
    assert [row.name for row in rates] == LAYERS[1:]
    for row in rates:
        s = evaluated.spikes[row.name]
        x = np.asarray(inputs[row.name])[0][np.asarray(masks[row.name])]
        np.testing.assert_allclose(row.rate, (x != 0).mean())
        np.testing.assert_allclose(row.mean_count, x.mean())
        np.testing.assert_array_equal(np.asarray(s.feats)[np.asarray(s.valid)], x)
        assert set(np.unique(s.feats)) <= {0, 1, 2, 3, 4}


def test_overflow_is_everything_that_was_lost(batch):
    """Sites with the largest keys are dropped, and each is counted at one level only."""
    grid, mask = batch
    net = net_of(dataclasses.replace(CONFIG, channels=(4, 5)))
    capacities = Capacities((CELLS, 5, 1), ("table",) * 3)
    before = np.arange(BATCH, dtype=np.int32)

    @jax.jit
    def run(x):  # the maps alone: the compiler drops the convolutions
        _, (out, activity) = net.model()(None, x, capacities=capacities, record=True)
        return out.overflow, activity[-2]

    overflow, last = run(pack(grid, mask).replace(overflow=before))
    lost = before.sum()
    for rows in (5, 1):
        mask = np.array(coarser(mask))
        for one in mask:
            gone = np.argwhere(one)[rows:]
            lost += len(gone)
            one[tuple(gone.T)] = False
    assert lost > before.sum() + 10
    assert int(overflow) == lost
    sites = [of_sample([last], b)[0].sites for b in range(BATCH)]
    assert sites == mask.sum((1, 2, 3)).tolist()


# --- options ---


def test_binary_spikes_deeper_stages_and_spikes_to_the_head_equal_dense(batch):
    net = net_of(dataclasses.replace(CONFIG, depth=2, levels=1, spike_head=True))
    found = eval_program(net)(None, pack(*batch))
    program = dense_program(net, integer_neuron, train=False, spike_head=True)
    want = program(net.params, *batch, 1)
    close(found.out.logits, want.logits)
    assert sum("blocks.1" in layer.name for layer in found.activity) == 3
    spikes = {value for s in found.spikes.values() for value in np.unique(s.feats).tolist()}
    assert spikes == {0, 1}
    assert found.activity[-1].name == "head"
    s, here = np.asarray(want.inputs["head"])[0], np.asarray(want.masks["head"])
    heads = [of_sample(found.activity, b)[-1] for b in range(BATCH)]
    assert all(head.spiking for head in heads)
    given = s.sum((1, 2, 3, 4)).tolist()
    assert [head.fanout for head in heads] == [head.spikes for head in heads] == given
    assert [head.sites for head in heads] == here.sum((1, 2, 3)).tolist()
    macs = [row.name for row in layer_synops(found.activity) if row.macs]
    assert macs == ["stem.conv"]


def test_the_twin_of_four_stages_on_a_full_grid_equals_a_dense_net_in_float32():
    config = E3DSNNConfig(2, (2, 3, 3, 4), 1, in_channels=3, num_classes=4, twin=True)
    net = jax.tree.map(np.float32, net_of(config, seed=5))  # in which no layer is silent
    grid, mask = np.float32(clouds(1, (16, 16, 16))[0]), np.ones((1, 16, 16, 16), bool)
    edges = (16, 8, 4, 2, 1)
    capacities = Capacities(tuple(edge**3 for edge in edges), ("table",) * 5)
    x = pack(grid, mask)

    @jax.jit
    def run(x):
        return net.model()(None, x, capacities=capacities, record=True)[1]

    out, activity = run(x.replace(feats=np.float32(x.feats)))
    want = dense_program(net, lambda: jax.nn.relu, train=False)(net.params, grid, mask)
    assert out.logits.dtype == jnp.float32
    np.testing.assert_allclose(out.logits, want.logits, rtol=1e-4, atol=1e-4)
    assert max(float(x.max()) for x in want.inputs.values()) > 4  # no ceiling
    total = synops(activity)
    assert (total.acs, total.macs) == (0, total.dense_macs)
    assert firing_rates(activity) == ()
    full = [(3 * edge - 2) ** 3 for edge in edges]  # pairs of a kernel of 3 on a full grid
    pairs = [full[0]] * 3
    for above, here in zip(edges[:-1], full[1:], strict=True):
        pairs += [above**3, here, here, here]
    assert [layer.pairs for layer in of_sample(activity, 0)] == [*pairs, 1]


# --- time ---

TIMED = dataclasses.replace(CONFIG, steps=2, beta=0.75)


def test_steps_equal_the_loop_and_detach_changes_the_gradient_alone(batch):
    """A static input in one, repeated at every step in the other: equal except for detach."""
    grid, mask = batch
    repeated = np.stack([grid] * TIMED.steps)
    runs = []
    for frames, detach in ((grid, True), (repeated, False)):
        net = net_of(dataclasses.replace(TIMED, detach=detach))
        program = train_program(net, record=True)
        (_, (out, stats, state, activity)), gradient = program(net.params, pack(frames, mask))
        program = dense_program(net, integer_neuron, train=True, steps=TIMED.steps)
        want = program(net.params, frames, mask, 4.0, TIMED.beta, detach)
        close((out.logits, gradient), (want.logits, want.gradient))
        close(stats, moved(net, want.moments))
        assert len(state) == 6
        runs.append((out, state, gradient, activity))
    (static, last, detached, once), (full, after, through, each) = runs
    close((static.logits, last), (full.logits, after), 1e-12)
    weights = (gradient["stem"]["conv"]["weight"] for gradient in (detached, through))
    assert np.abs(np.subtract(*weights)).max() > 1e-3
    for b in range(BATCH):
        encoded, *rest = of_sample(once, b)
        assert encoded.sites == mask[b].sum()  # encoded once
        for one, other in zip(rest, of_sample(each, b)[1:], strict=True):
            assert (one.fanout, one.sites) == (other.fanout, other.sites)


def test_chunks_with_a_carried_state_equal_the_full_sequence_and_the_dense_loop(batch, evaluate):
    _, mask = batch
    grid, _ = clouds(BATCH, steps=(2,), seed=3)
    net = net_of(TIMED)
    run = eval_program(net)
    full = run(None, pack(grid, mask))
    assert set(full.state) == {name.replace("conv", "neuron") for name in LAYERS[1:]}
    stem = full.state["stem.second.neuron"]
    assert isinstance(stem, ILIFState)
    assert stem.v.shape == (BATCH, CELLS, 3)
    state = net.model().init_state(pack(grid, mask))  # at rest
    assert not any(leaf.any() for leaf in jax.tree.leaves(state))
    parts = []
    for t in (0, 1):
        part = run(state, pack(grid[t : t + 1], mask))
        state = part.state
        parts.append(part)
    close(np.mean([part.out.logits for part in parts], axis=0), full.out.logits, 1e-12)
    close(state, full.state, 1e-12)
    first, second = (ActivityTotals().add(part.activity).layers for part in parts)
    for layer, *pieces in zip(
        ActivityTotals().add(full.activity).layers, first, second, strict=True
    ):
        assert layer.spikes == sum(piece.spikes for piece in pieces)
    stateless = evaluate(None, pack(grid[0], mask))
    close(parts[0].out.logits, stateless.out.logits, 1e-12)

    program = dense_program(net, integer_neuron, train=False)
    want = program(net.params, grid, mask, 4.0, TIMED.beta)
    close(full.out.logits, want.logits)
    leakier = program(net.params, grid, mask, 4.0, 0.1)
    assert np.abs(leakier.logits - want.logits).max() > 1e-3  # beta matters
    for b in range(BATCH):
        for layer in of_sample(full.activity, b)[:-1]:
            x, here = want.inputs[layer.name][:, b], want.masks[layer.name][b]
            assert layer.sites == 2 * here.sum()
            if layer.name != "stem.conv":
                assert layer.spikes == x.sum(), layer.name


def test_beta_and_detach_are_nothing_at_one_step(batch):
    def text(**options):
        net = net_of(dataclasses.replace(CONFIG, **options))
        return train_program(net).lower(net.params, pack(*batch)).as_text()

    assert text(beta=0.1, detach=True) == text(beta=1.0, detach=False)


# --- many devices ---


def sharded_program(net, devices):
    mesh = jax.make_mesh(
        (devices,), ("data",), (jax.sharding.AxisType.Auto,), devices=jax.devices()[:devices]
    )

    def run(params, x, weights):
        def loss(params):
            model = net.model(params)
            _, out = model(None, x, train=True, axis_name="data", capacities=ROWS)
            value = (out.logits * weights).sum() + (out.logits**2).sum()
            return value, (out.logits, nnx.as_pure(nnx.state(model, nnx.BatchStat)))

        (value, (logits, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        return *jax.lax.psum((value, gradient), "data"), stats, logits

    return jax.jit(
        jax.shard_map(
            run,
            mesh=mesh,
            in_specs=(P(), P("data"), P("data")),
            out_specs=(P(), P(), P(), P("data")),
            check_vma=False,
        )
    )


@pytest.mark.parametrize("devices", [2, 8])
def test_devices_equal_one(devices, net, batch, trained):
    """On eight devices one holds the empty sample alone, another the single voxel."""
    (loss, (out, stats, *_)), gradient = trained
    got = sharded_program(net, devices)(net.params, pack(*batch), WEIGHTS)
    close(got, (loss, gradient, stats, out.logits), 1e-10)


# --- mistakes ---


def trace(config=CONFIG, *, channels=3, capacities=None, state=None):
    """Build and trace, run nothing."""
    x = pack(*clouds(2, (3, 4, 2), channels=channels))
    return nnx.eval_shape(
        lambda x: E3DSNN(config, rngs=nnx.Rngs(0))(state, x, capacities=capacities), x
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"levels": 0}, "levels must be an integer of at least 1; got 0"),
        ({"steps": 0}, "steps must be an integer of at least 1; got 0"),
        ({"stem": 0}, "stem must be an integer of at least 1; got 0"),
        ({"depth": 0}, "depth must be an integer of at least 1; got 0"),
        ({"in_channels": 0}, "in_channels must be an integer of at least 1; got 0"),
        ({"num_classes": -1}, "num_classes must be an integer of at least 1; got -1"),
        (
            {"channels": (4, 0)},
            r"channels must be integers of at least 1 in each stage.* got \(4, 0\)",
        ),
        ({"channels": ()}, "with one stage or more"),
        ({"beta": 1.5}, r"beta must be in \[0, 1\]; got 1.5"),
        ({"beta": -0.1}, r"beta must be in \[0, 1\]; got -0.1"),
        ({"bn_decay": 1.0}, r"decay must be in \[0, 1\); got 1.0"),
        ({"bn_eps": 0.0}, "bn_eps must be positive and finite; got 0.0"),
        ({"bn_eps": float("inf")}, "bn_eps must be positive and finite; got inf"),
    ],
)
def test_bad_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        trace(dataclasses.replace(CONFIG, **options))


def test_every_norm_has_the_epsilon_of_the_configuration():
    """Weights of other implementations need theirs, 1e-5 for instance."""

    def epsilons(config):
        model = nnx.eval_shape(lambda: E3DSNN(config, rngs=nnx.Rngs(0)))
        return [m.eps for _, m in nnx.iter_modules(model) if isinstance(m, SparseBatchNorm)]

    given = epsilons(dataclasses.replace(CONFIG, bn_eps=1e-5))
    assert set(given) == {1e-5}
    assert epsilons(CONFIG) == [1e-3] * len(given)  # as published


def test_wrong_inputs_are_refused_with_the_fix():
    with pytest.raises(ValueError, match=r"takes 3 point features; got 6. Build .* in_channels=6"):
        trace(channels=6)
    for rows, arithmetic in [((24,), ()), ((24, 2, 1), ()), ((24, 2), ("table",))]:
        with pytest.raises(ValueError, match="capacities need 2 levels; got"):
            trace(capacities=Capacities(rows, arithmetic))
    with pytest.raises(ValueError, match="arithmetic must be one of pairs, table"):
        trace(capacities=Capacities((24, 2), ("table", "dense")))
    with pytest.raises(TypeError, match="unexpected keyword argument 'tau'"):
        e3dsnn_t(tau=2.0, rngs=nnx.Rngs(0))
    x = pack(*clouds(2, (3, 4, 2)))
    integers = x.replace(feats=x.feats.astype(np.int32))
    with pytest.raises(TypeError, match="features must be floating point; got int32"):
        nnx.eval_shape(lambda x: E3DSNN(CONFIG, rngs=nnx.Rngs(0))(None, x), integers)


def test_without_capacities_no_site_can_be_lost():
    _, out = trace()
    assert out.logits.shape == (2, 4)
    assert out.overflow.shape == ()


def test_a_state_that_cannot_be_continued_is_refused():
    x = pack(*clouds(2, (3, 4, 2), steps=(1,)))
    with jax.enable_x64(True):
        state = E3DSNN(CONFIG, rngs=nnx.Rngs(0)).init_state(x)
    lacking = {path: leaf for path, leaf in state.items() if path != "stem.third.neuron"}
    with pytest.raises(ValueError, match=r"stem\.second\.neuron: .* one step from rest"):
        trace(state=state)
    with pytest.raises(ValueError, match=r"holds 'neuron', which E3DSNN does not call"):
        trace(state={"neuron": state["stem.second.neuron"]})
    with pytest.raises(ValueError, match=r"lacks 'stem\.third\.neuron', a IntegerNeuron; it holds"):
        nnx.eval_shape(lambda x: E3DSNN(CONFIG, rngs=nnx.Rngs(0))(lacking, x), x)
