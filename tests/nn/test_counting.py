"""Synaptic operations of every layer against loops over the pairs of an input and an output."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.metrics import ActivityTotals, layer_synops
from snnjax.models.e3dsnn import Head
from snnjax.nn import (
    DHLIF,
    LIF,
    AttentionProduct,
    BatchNorm,
    BranchLinear,
    Conv,
    DelayedConv,
    DelayedLinear,
    DelayedRecurrent,
    Dropout,
    EventLinear,
    Module,
    Recurrent,
    Repeat,
    Sequential,
    SpacedConv,
    SparseConv,
    SparseLinear,
    SpikformerBlock,
    count_inputs,
    probe,
)
from snnjax.sparse import SparseTensor, csr_of, fan_out_of, pack, strided_map, submanifold_map
from tests.reference.e3dsnn import pairs_of

T, B = 3, 4
SPIKES, INTEGERS, REAL, SILENT = range(B)


def sequence(*places: int, seed: int = 0) -> np.ndarray:
    """[T, B, *places]: binary spikes, integers of both signs, real values, and nothing at all."""
    rng = np.random.default_rng(seed)
    x = np.zeros((T, B, *places), np.float32)
    x[:, SPIKES] = rng.random((T, *places)) < 0.4
    x[:, INTEGERS] = rng.integers(-2, 4, (T, *places))
    x[:, REAL] = rng.normal(size=(T, *places))
    return x


def operations(activity: Any) -> dict[str, tuple[int, int, int]]:
    """(multiply-adds, additions, those of the twin) of each layer, summed over samples."""
    rows = layer_synops(ActivityTotals().add(activity))
    return {row.name: (row.macs, row.acs, row.dense_macs) for row in rows}


def of_sample(activity: Any, b: int) -> Any:
    return [jax.tree.map(lambda leaf: leaf[b : b + 1], layer) for layer in activity]


def expected(x: np.ndarray, reads: np.ndarray) -> list[tuple[int, int, int]]:
    """A loop over samples, steps and entries; `reads` outputs take each entry."""
    found = []
    for b in range(x.shape[1]):
        real = (x[:, b] != np.round(x[:, b])).any()
        macs = acs = twin = 0
        for t in range(len(x)):
            for value, outputs in zip(x[t, b].flat, reads.flat, strict=True):
                twin += int(outputs)
                macs += int(outputs) if real else 0
                acs += 0 if real else int(abs(value)) * int(outputs)
        found.append((macs, acs, twin))
    return found


def check(layer: Any, x: np.ndarray, reads: np.ndarray, *args: Any) -> None:
    """A layer takes as many operations as the loop says, for each kind of input and any batch."""
    assert reads.shape == x.shape[2:]
    want = expected(x, reads)
    count = jax.jit(lambda x: count_inputs(layer, "layer", x, *args))
    together = count(jnp.asarray(x))
    on_host = jax.device_get(together)  # a slice there is not compiled
    for b, own in enumerate(want):
        assert operations(of_sample(on_host, b)) == {"layer": own}, b
    assert want[SPIKES][1] > 0 == want[SPIKES][0]
    assert want[REAL][0] == want[REAL][2] > 0 == want[REAL][1]
    assert want[SILENT][:2] == (0, 0)
    # half of a spike is not a spike: additions become multiply-adds, of all entries
    halved = operations(count(jnp.asarray(x[:, :2] * 0.5)))
    twin = want[SPIKES][2] + want[INTEGERS][2]
    assert halved == {"layer": (twin, 0, twin)}
    # batches add up
    total = ActivityTotals().add(together)
    parts = ActivityTotals().add(count(jnp.asarray(x[:, :2]))).add(count(jnp.asarray(x[:, 2:])))
    assert parts == total
    assert total.samples == B


# --- dense layers ---


def dense_reads(inputs: int, outputs: int) -> np.ndarray:
    reads = np.zeros(inputs, int)
    for i in range(inputs):
        for _ in range(outputs):
            reads[i] += 1
    return reads


@pytest.mark.parametrize("places", [(), (4,), (2, 3)])
@pytest.mark.parametrize(
    ("make", "outputs"),
    [
        (lambda rngs: nnx.Linear(5, 7, rngs=rngs), 7),
        (lambda rngs: nnx.LinearGeneral(5, (2, 3), rngs=rngs), 6),
        (lambda rngs: EventLinear(5, 7, rngs=rngs), 7),
        (lambda rngs: BranchLinear(5, 4, 3, rngs=rngs), 4),
    ],
    ids=["Linear", "LinearGeneral", "EventLinear", "BranchLinear"],
)
def test_dense_layers(make, outputs, places):
    reads = np.broadcast_to(dense_reads(5, outputs), (*places, 5))
    check(make(nnx.Rngs(0)), sequence(*places, 5), reads)


def test_branches_get_each_input_once():
    """Of the D branches of a neuron one reads an input: as many pairs as non-zero weights."""
    layer = BranchLinear(5, 4, 3, rngs=nnx.Rngs(0))
    jacobian = jax.jit(jax.jacobian(layer))(jnp.ones(5)) != 0
    np.testing.assert_array_equal(jacobian.sum((0, 1)), dense_reads(5, 4))


CONNECTIONS = [0, 0, 2, 3, 3, 3], [1, 3, 2, 0, 1, 1]


@pytest.mark.parametrize("make", [fan_out_of, csr_of])
def test_sparse_connections(make):
    """Rows are padded to the longest in one form; a neuron that reaches no other costs nothing."""
    source, target = CONNECTIONS
    layer = SparseLinear(make(source, target, np.ones(6), sources=5, targets=4), 4)
    reads = np.zeros(5, int)
    for n in source:
        reads[n] += 1
    assert reads.tolist() == [2, 0, 1, 3, 0]
    check(layer, sequence(5), reads)


# --- convolutions of Flax ---


def axis_pairs(size: int, kernel: int, stride: int, dilation: int, padding: Any) -> np.ndarray:
    """How many pairs (output, tap) read each place of one axis."""
    extent = (kernel - 1) * dilation + 1
    if padding == "VALID":
        low, high = 0, 0
    elif padding in ("SAME", "CIRCULAR"):
        out = -(-size // stride) if padding == "SAME" else None
        total = max((out - 1) * stride + extent - size, 0) if out else extent - 1
        low, high = total // 2, total - total // 2
    else:
        low, high = padding
    reads = np.zeros(size, int)
    for start in range(-low, size + high - extent + 1, stride):
        for tap in range(kernel):
            at = start + tap * dilation
            if padding == "CIRCULAR":
                reads[at % size] += 1
            elif 0 <= at < size:
                reads[at] += 1
    return reads


def outer(axes: list[np.ndarray]) -> np.ndarray:
    """The product of the counts of each axis."""
    reads = np.ones((), int)
    for axis in axes:
        reads = np.multiply.outer(reads, axis)
    return reads


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((5, 4), {}),
        ((5, 4), {"strides": 2}),
        ((5, 6), {"strides": (2, 1), "padding": "VALID"}),
        ((7, 5), {"kernel_dilation": 2}),
        ((6, 6), {"kernel_dilation": (1, 2), "strides": (1, 2), "padding": "VALID"}),
        ((5, 4), {"padding": ((2, 0), (1, 3))}),
        ((5, 4), {"padding": "CIRCULAR"}),
        ((5, 4), {"feature_group_count": 2}),
        ((4, 4), {"feature_group_count": 4, "strides": 2}),  # depthwise
        ((6,), {"strides": 3, "kernel_size": (3,)}),
        ((3, 4, 3), {"kernel_size": (3, 3, 3), "padding": "VALID"}),
    ],
)
def test_convolutions_of_flax(size, options):
    given = dict(options)
    kernel = given.pop("kernel_size", (3, 2))
    groups = options.get("feature_group_count", 1)
    layer = nnx.Conv(4, 8, kernel, **given, rngs=nnx.Rngs(0))

    def each(value: Any) -> tuple:
        return value if isinstance(value, tuple) else (value,) * len(kernel)

    padding = options.get("padding", "SAME")
    axes = [
        axis_pairs(*args)
        for args in zip(
            size,
            kernel,
            each(options.get("strides", 1)),
            each(options.get("kernel_dilation", 1)),
            padding if isinstance(padding, tuple) else (padding,) * len(kernel),
            strict=True,
        )
    ]
    reads = np.broadcast_to((outer(axes) * (8 // groups))[..., None], (*size, 4))
    check(layer, sequence(*size, 4), reads)
    if padding != "CIRCULAR":  # the loop itself, by the zeros of the layer's derivative
        jacobian = jax.jit(jax.jacobian(layer))(jnp.ones((*size, 4)))
        np.testing.assert_array_equal((jacobian != 0).sum(tuple(range(len(size) + 1))), reads)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (2, 3, 1), (3, 1, 2)])
def test_transposed_convolutions(kernel, stride, dilation, padding):
    """Place i writes to i * stride + k * dilation, as far as the output reaches."""
    size, extent = 5, (kernel - 1) * dilation + 1
    layer = nnx.ConvTranspose(
        2, 3, (kernel,), stride, padding=padding, kernel_dilation=dilation, rngs=nnx.Rngs(0)
    )
    length = len(layer(jnp.ones((size, 2))))
    full = (size - 1) * stride + extent
    first = (full - length) // 2 if full > length and padding == "SAME" else 0
    reads = np.zeros(size, int)
    for i in range(size):
        for k in range(kernel):
            reads[i] += 0 <= i * stride + k * dilation - first < length
    check(layer, sequence(size, 2), np.broadcast_to(3 * reads[:, None], (size, 2)))


def test_images_without_time_are_one_step():
    x = sequence(5, 4, 2)
    layers = (
        nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0)),
        Conv(2, 3, 3, rngs=nnx.Rngs(0)),
        SpacedConv(2, 3, (3, 3), kernel_count=2, rngs=nnx.Rngs(0)),
    )
    for layer in layers:
        count = jax.jit(partial(count_inputs, layer, "conv"))
        one, other = (count(jnp.asarray(a)) for a in (x[0], x[:1]))
        assert operations(one) == operations(other)
        assert len(one[0].samples()["real"]) == B


# --- the library's convolutions ---


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_own_convolution(kernel):
    size = (4, 6)
    axes = [axis_pairs(edge, kernel, 1, 1, "SAME") for edge in size]
    reads = np.broadcast_to((outer(axes) * 3)[..., None], (*size, 2))
    check(Conv(2, 3, kernel, rngs=nnx.Rngs(0)), sequence(*size, 2), reads)


@pytest.mark.parametrize("strides", [None, (2, 1)])
def test_convolution_with_learned_places(strides):
    """A loop over taps, each at the nearest place of its kernel."""
    size, groups = (6, 5), 2
    layer = SpacedConv(
        2, 4, (3, 4), kernel_count=2, groups=groups, strides=strides, rngs=nnx.Rngs(0)
    )
    reads = np.zeros((*size, 2), int)
    place = np.asarray(layer.position[...])  # [D, C / groups, O, Kc]
    tap = [np.round(place[d] + (edge - 1) / 2).astype(int) for d, edge in enumerate((3, 4))]
    steps = strides or (1, 1)
    for inner, output, k in np.ndindex(*place.shape[1:]):
        channel = inner + (output // 2) * 1  # two outputs in each group of one input
        lows = []
        for edge, kernel, stride in zip(size, (3, 4), steps, strict=True):
            total = max((-(-edge // stride) - 1) * stride + kernel - edge, 0)
            lows.append(total // 2)
        for h in range(-(-size[0] // steps[0])):
            for w in range(-(-size[1] // steps[1])):
                row = h * steps[0] - lows[0] + tap[0][inner, output, k]
                column = w * steps[1] - lows[1] + tap[1][inner, output, k]
                if 0 <= row < size[0] and 0 <= column < size[1]:
                    reads[row, column, channel] += 1
    check(layer, sequence(*size, 2), reads)


DELAYS = {"synapse": 1, "several": 2, "input": 1, "output": 1}


def delays_of(per: str) -> dict[str, Any]:
    return {"kernel_count": 2} if per == "several" else {"per": per}


@pytest.mark.parametrize("per", DELAYS)
def test_delayed_dense_layers(per):
    """Every spike meets each synapse once for each of its delays, however long they are."""
    layer = DelayedLinear(3, 4, 4, **delays_of(per), rngs=nnx.Rngs(0))
    reads = np.zeros(3, int)
    for i, _, _ in np.ndindex(3, 4, DELAYS[per]):
        reads[i] += 1
    check(layer, sequence(3), reads)


@pytest.mark.parametrize("per", DELAYS)
def test_delayed_convolutions(per):
    size = (3, 4)
    layer = DelayedConv(2, 3, 3, 3, **delays_of(per), rngs=nnx.Rngs(0))
    axes = [axis_pairs(edge, 3, 1, 1, "SAME") for edge in size]
    reads = np.broadcast_to((outer(axes) * 3 * DELAYS[per])[..., None], (*size, 2))
    check(layer, sequence(*size, 2), reads)


# --- recurrence ---


@pytest.mark.parametrize("kind", ["plain", "delayed"])
def test_what_comes_back_is_counted_and_chunks_add_up(kind):
    """In each step the outputs of the step before, also of the step before this chunk."""
    rngs = nnx.Rngs(0)
    if kind == "plain":
        layer = Recurrent(LIF(4, tau=3.0), nnx.Linear(4, 4, use_bias=False, rngs=rngs))
    else:
        layer = DelayedRecurrent(LIF(4, tau=3.0), 3, kernel_count=2, rngs=rngs)
    net, x = Sequential(layer), 2 * np.abs(np.random.default_rng(0).normal(size=(7, 2, 4)))
    step = nnx.jit(partial(type(net).__call__, record=True))
    _, (out, activity) = step(net, None, jnp.asarray(x, jnp.float32))
    taps = 2 if kind == "delayed" else 1
    acs = twin = 0
    for t, b, n in np.ndindex(out.shape):
        for _ in range(4 * taps):
            twin += 1
            acs += int(out[t - 1, b, n]) if t else 0
    name = "layers.0.connection" if kind == "plain" else "layers.0.synapses"
    assert operations(activity) == {name: (0, acs, twin)}
    assert acs > 0
    state, totals = None, ActivityTotals()
    for part in (x[:3], x[3:]):
        state, (_, activity) = step(net, state, jnp.asarray(part, jnp.float32))
        merged = ActivityTotals().add(activity)
        totals = totals.merge(merged)
    assert [(row.acs, row.dense_macs) for row in layer_synops(totals)] == [(acs, twin)]


# --- attention ---


@pytest.mark.parametrize("order", ["scores", "context"])
def test_both_orders_of_attention(order):
    """Of each product a loop: a spike of one operand adds a row of the other."""
    n, h, d = 3, 2, 4
    q, k, v = (sequence(n, h, d, seed=seed) for seed in range(3))
    activity = count_inputs(AttentionProduct(0.5, order), "product", *map(jnp.asarray, (q, k, v)))
    fed = {"scores": q, "values": v} if order == "scores" else {"context": k, "queries": q}
    macs = dict.fromkeys(fed, 0)
    acs, twin = dict(macs), dict(macs)
    for name, x in fed.items():
        for t, b, token, head, channel in np.ndindex(T, B, n, h, d):
            real = (x[:, b] != np.round(x[:, b])).any()
            # Q K^T and scores V meet all tokens; K^T V and Q context all channels of a head
            for _ in range(n if order == "scores" else d):
                twin[name] += 1
                macs[name] += int(real)
                acs[name] += 0 if real else int(abs(x[t, b, token, head, channel]))
    want = {f"product.{name}": (macs[name], acs[name], twin[name]) for name in fed}
    assert operations(activity) == want
    assert (
        operations(count_inputs(AttentionProduct(0.5), "product", *map(jnp.asarray, (q, k, v))))[
            "product.scores"
        ]
        == operations(
            count_inputs(AttentionProduct(0.5, "scores"), "product", *map(jnp.asarray, (q, k, v)))
        )["product.scores"]
    )  # the cheaper order, of three tokens with four channels


def test_a_block_of_spikformer_is_counted_whole():
    """Each product by what a probe sees enter it; nothing is left out."""
    features, heads, hidden, tokens = 8, 2, 12, 3
    block = SpikformerBlock(features, heads, hidden=hidden, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).integers(0, 3, (T, 2, tokens, features)), jnp.float32)
    for path in ("attention.qkv", "attention.out", "mlp.first", "mlp.second"):
        layer = block
        for part in path.split("."):
            layer = getattr(layer, part)
        layer.norm.shift[...] = layer.norm.shift[...] + 1.2  # so that neurons fire
    paths = ["attention.qkv", "attention.neurons", "attention", "mlp.first"]

    @nnx.jit
    def both(block: Any, x: Any) -> Any:
        return block(None, x, record=True)[1][1], probe(block, paths)(None, x)[1]

    activity, seen = both(block, x)
    q, k, v = jnp.moveaxis(seen[paths[0]].reshape(T, 2, tokens, heads, 3, -1), -2, 0)
    fed = {
        "attention.qkv.dense": (x, 3 * features),
        "attention.product.scores": (q, tokens),
        "attention.product.values": (v, tokens),
        "attention.out.dense": (seen[paths[1]][1], features),
        "mlp.first.dense": (x + seen[paths[2]], hidden),
        "mlp.second.dense": (seen[paths[3]], features),
    }
    want = {
        name: (0, int(np.asarray(value).sum()) * outputs, value.size * outputs)
        for name, (value, outputs) in fed.items()
    }
    assert operations(activity) == want
    assert all(acs > 0 for _, acs, _ in want.values())
    assert k.shape == q.shape


# --- sparse tensors ---

EXTENT = (4, 3, 4)


def clouds(channels: int = 2) -> tuple[SparseTensor, np.ndarray, np.ndarray]:
    """Samples of spikes, integers, real values and no site; their grid and mask."""
    rng = np.random.default_rng(0)
    mask = rng.random((B, *EXTENT)) < 0.5
    mask[SILENT] = False
    grid = sequence(*EXTENT, channels) * mask[..., None]
    rows = int(np.prod(EXTENT))
    feats, coords = np.zeros((T, B, rows, channels), np.float32), np.zeros((B, rows, 3), np.int32)
    for b in range(B):
        sites = np.argwhere(mask[b])
        coords[b, : len(sites)] = sites
        feats[:, b, : len(sites)] = grid[:, b][:, mask[b]]
    n = mask.sum((1, 2, 3)).astype(np.int32)
    x = SparseTensor(*map(jnp.asarray, (feats, coords, n, np.zeros(B, np.int32))), EXTENT)
    return x, grid, mask


def of_cloud(grid: np.ndarray, mask: np.ndarray, degree: np.ndarray, outputs: int) -> tuple:
    """(multiply-adds, additions, twin) of one sample, [T, Z, Y, X, C]."""
    twin = int(degree.sum()) * len(grid) * grid.shape[-1] * outputs
    if (grid != np.round(grid)).any():
        return twin, 0, twin
    additions = sum(int(abs(s)) * int(degree[at]) for t in grid for at, s in places(t))
    return 0, additions * outputs, twin


def places(grid: np.ndarray) -> list[tuple[tuple[int, ...], float]]:
    return [(at[:3], value) for at, value in np.ndenumerate(grid)]


@pytest.mark.parametrize("packed", [1, 2, 4])
@pytest.mark.parametrize("kernel", [2, 3])
def test_sparse_convolutions(kernel, packed):
    """Pairs of occupied voxels, the same where samples share a grid."""
    x, grid, mask = clouds()
    layer = SparseConv(2, 5, kernel, rngs=nnx.Rngs(0))

    @jax.jit
    def count(x):
        x = x if packed == 1 else pack(x, packed, depth=1)
        kmap = strided_map(x, 2, 2) if kernel == 2 else submanifold_map(x, 3)
        return count_inputs(layer, "conv", x, kmap)

    activity = count(x)
    for b in range(B):
        want = of_cloud(grid[:, b], mask[b], pairs_of(mask[b], kernel), 5)
        assert operations(of_sample(activity, b)) == {"conv": want}
    assert operations(count(x.replace(feats=x.feats * 0.5)))["conv"][1] == 0


@pytest.mark.parametrize("spikes", [True, False])
def test_the_head_of_a_classifier_of_clouds(spikes):
    """As published each site scores every class, if it holds spikes; else their mean does once."""
    x, grid, mask = clouds()
    activity = count_inputs(Head(2, 7, spikes=spikes, rngs=nnx.Rngs(0)), "head", x)
    for b in range(B):
        if spikes:
            want = of_cloud(grid[:, b], mask[b], mask[b].astype(int), 7)
        else:
            mean = grid[:, b].sum((1, 2, 3)) / max(mask[b].sum(), 1)
            (want,) = expected(mean[:, None], np.full(2, 7))
        assert operations(of_sample(activity, b)) == {"head": want}


# --- sizes, and what cannot be counted ---


def test_counts_beyond_int32_are_exact():
    """Fan-outs of 2.5e9, which wrap in int32; additions are those times the outputs."""
    edge, channels, spikes, outputs = 32, 256, 400, 300
    x = jnp.full((1, 1, edge, edge, channels), spikes, jnp.float32)
    activity = jax.jit(partial(count_inputs, Conv(channels, outputs, 5, rngs=nnx.Rngs(0)), "c"))(x)
    (layer,) = ActivityTotals().add(activity).layers
    axes = outer([axis_pairs(edge, 5, 1, 1, "SAME")] * 2)
    assert layer.fanout == int(axes.sum()) * channels * spikes > 2**31
    assert operations(activity)["c"][1] == layer.fanout * outputs


def test_layers_without_matrices_count_nothing_and_others_are_refused():
    rngs = nnx.Rngs(0)
    nothing = (
        BatchNorm(3),
        Dropout(0.5),
        LIF(3, trainable=("tau",)),
        DHLIF(3, branches=2),
        nnx.BatchNorm(3, rngs=rngs),
        nnx.LayerNorm(3, rngs=rngs),
        nnx.Embed(5, 3, rngs=rngs),
    )
    for layer in nothing:
        assert count_inputs(layer, "layer", jnp.ones((1, 1, 3))) == ()
    unknown: tuple[Callable[..., Any], ...] = (
        nnx.MultiHeadAttention(2, 4, rngs=rngs),
        nnx.Einsum("bi,io->bo", (2, 3), rngs=rngs),
        nnx.Conv(2, 2, (3,), mask=jnp.ones((3, 2, 2)), rngs=rngs),
        nnx.LinearGeneral((2, 3), 4, axis=(-2, -1), rngs=rngs),
    )
    for layer in unknown:
        assert count_inputs(layer, "layer", jnp.ones((1, 1, 5, 2))) is None
    x = jnp.ones((2, 1, 3))
    with pytest.raises(
        ValueError, match=r"'layers\.0', a Bilinear, .*declare how many .*count_inputs"
    ):
        Sequential(Bilinear())(None, x, record=True)
    back = Sequential(Recurrent(LIF(3), lambda z: 2 * z))
    with pytest.raises(ValueError, match=r"'layers\.0', a Recurrent, .* does not declare how many"):
        back(None, x, record=True)
    assert math.isfinite(float(back(None, x)[1].sum()))  # it runs, but is not counted


class Bilinear(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.ones((3, 3)))

    def __call__(self, x):
        return jnp.einsum("...i,ij,...j->...", x, self.w[...], x)[..., None]


def test_a_layer_of_the_user_is_counted_once_it_is_registered():
    class Scaled(nnx.Linear):
        def __call__(self, x):
            return 2 * super().__call__(x)

    x = jnp.ones((T, B, 3))
    net = Sequential(Scaled(3, 2, rngs=nnx.Rngs(0)))
    assert operations(net(None, x, record=True)[1][1])["layers.0"] == (0, T * B * 6, T * B * 6)

    @count_inputs.register(Scaled)
    def _(layer: Any, name: str, x: jax.Array, **_: Any):
        return ()

    assert net(None, x, record=True)[1][1] == ()


class PastTheRun(Module):
    """Calls its second layer itself, not through `run`."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.first, self.second = (nnx.Linear(3, 3, rngs=rngs) for _ in range(2))

    def forward(self, run, x):
        return self.second(run(self.first, x))


@pytest.mark.parametrize("wrap", [lambda m: m, Sequential, lambda m: repeated(m)])
def test_a_weighted_layer_called_past_the_run_is_reported(wrap):
    net, x = wrap(PastTheRun(rngs=nnx.Rngs(0))), jnp.ones((T, B, 3))
    with pytest.warns(UserWarning, match=r"second', a Linear with weights, was not called through"):
        _, (_, activity) = net(None, x, record=True)
    assert all(layer.name.endswith("first") for layer in activity)
    net(None, x)  # a warning would be an error here: nothing is asked for


def repeated(block: Module) -> Repeat:
    return Repeat(lambda rngs: type(block)(rngs=rngs), 2, rngs=nnx.Rngs(0))
