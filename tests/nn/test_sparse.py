"""The sparse layers: their weights, their statistics, and their neurons, against plain loops."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.metrics import ActivityTotals, count_parameters
from snnjax.neurons import ILIFState, ilif_fire, ilif_unroll_spikes
from snnjax.nn import (
    IntegerNeuron,
    Rectifier,
    SparseBatchNorm,
    SparseConv,
    SparseInverseConv,
    count_inputs,
    kaiming_uniform,
    truncated_normal,
)
from snnjax.sparse import SparseTensor, sparse_tensor, strided_map, submanifold_map
from tests.reference import neurons as reference
from tests.reference.e3dsnn import coarser, conv

B, C, EXTENT = 3, 4, (4, 5, 3)
ROWS = 60


@pytest.fixture(scope="module")
def mask():
    """A sparse sample, a full one, and one without any site."""
    mask = np.random.default_rng(0).random((B, *EXTENT)) < 0.3
    mask[1], mask[2] = True, False
    return mask


def feats_of(steps=(), integers=False, seed=1):
    rng = np.random.default_rng(seed)
    shape = (*steps, B, *EXTENT, C)
    drawn = rng.integers(0, 5, shape) if integers else rng.normal(0.5, 2, shape)
    return drawn.astype(np.float32)


@jax.jit
def sites(mask):
    """The SparseTensor of a mask with one feature, its number in the grid."""
    coords = jnp.stack(jnp.unravel_index(jnp.arange(ROWS), EXTENT), -1)
    order = jnp.argsort(~mask.reshape(B, -1), axis=1, stable=True)
    n = mask.sum((1, 2, 3)).astype(jnp.int32)
    return sparse_tensor(order[..., None].astype(jnp.float32), coords[order], n, extent=EXTENT)


@pytest.fixture(scope="module")
def x(mask):
    return sites(mask)


def rows(x, grid):
    """`x` with the features of a grid [T?, B, Z, Y, X, C]."""
    flat = grid.reshape(*grid.shape[:-4], ROWS, grid.shape[-1])
    index = np.asarray(x.feats, int)
    taken = np.take_along_axis(flat, np.broadcast_to(index, (*flat.shape[:-1], 1)), axis=-2)
    return x.replace(feats=jnp.asarray(np.where(np.asarray(x.valid)[..., None], taken, 0)))


def occupied(x):
    """The features of all sites, [T?, sites, C]."""
    return np.asarray(x.feats, np.float64)[..., np.asarray(x.valid), :]


# --- convolution ---


@pytest.mark.parametrize("steps", [(), (2,)], ids=["no time", "T = 2"])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_convolution_equals_dense_convolution_at_its_sites(x, mask, kernel, steps):
    layer = SparseConv(C, 5, kernel, use_bias=True, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.arange(5.0)
    assert layer.weight.shape == (kernel**3, C, 5)
    assert count_parameters(layer) == kernel**3 * C * 5 + 5
    grid = feats_of(steps)
    below = np.asarray(coarser(mask)) if kernel == 2 else mask

    @jax.jit
    def run(x):
        return layer(x, strided_map(x, 2, 2) if kernel == 2 else submanifold_map(x, kernel))

    y = run(rows(x, grid))
    wide = (grid if steps else grid[None]) * mask[..., None]
    want = conv(jnp.asarray(wide), layer.weight[...], below, 2 if kernel == 2 else 1)
    want = np.where(below[..., None], want + layer.bias[...], 0)
    dense = jax.jit(SparseTensor.dense)(y)
    np.testing.assert_allclose(dense if steps else dense[None], want, rtol=1e-4, atol=1e-5)
    assert not np.asarray(y.feats)[..., ~np.asarray(y.valid), :].any()  # no bias on padding


def test_convolution_has_no_bias_unless_asked():
    layer = SparseConv(3, 2, 3, rngs=nnx.Rngs(0))
    assert layer.bias is None
    assert count_parameters(layer) == 27 * 3 * 2


@pytest.mark.parametrize(
    ("sizes", "name"), [((1, 1, 0), "kernel_size"), ((0, 1, 1), "in"), ((1, 0, 1), "out")]
)
def test_sizes_of_a_convolution_below_1_are_refused(sizes, name):
    with pytest.raises(ValueError, match=rf"{name}.* must be at least 1; got 0"):
        SparseConv(*sizes, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("size", [(3, 3), (1, 3, 3.0), 3.0])
def test_a_kernel_of_two_sizes_or_of_fractions_is_refused_in_words(size):
    with pytest.raises(TypeError, match=r"kernel_size must be one integer .* got "):
        SparseConv(2, 3, size, rngs=nnx.Rngs(0))


def test_a_map_of_another_kernel_of_the_same_volume_is_refused(x):
    layer = SparseConv(1, 3, (3, 1, 1), rngs=nnx.Rngs(0))
    assert layer.weight.shape == (3, 1, 3)
    y = layer(x, submanifold_map(x, (3, 1, 1)))
    assert y.feats.shape[-1] == 3
    with pytest.raises(ValueError, match=r"kernel of \(3, 1, 1\); got a map for \(1, 1, 3\)"):
        layer(x, submanifold_map(x, (1, 1, 3)))


@pytest.mark.parametrize("steps", [(), (2,)], ids=["no time", "T = 2"])
def test_the_inverse_convolution_returns_to_the_sites_of_the_strided_one(x, mask, steps):
    """It is the dense transposed convolution, at the sites that the strided one came from."""
    down = SparseConv(C, 5, (2, 3, 1), rngs=nnx.Rngs(0))
    up = SparseInverseConv(5, C, (2, 3, 1), use_bias=True, rngs=nnx.Rngs(1))
    up.bias[...] = jnp.arange(float(C))

    @jax.jit
    def run(x):
        kmap = strided_map(x, (2, 3, 1), (2, 2, 1), (0, 1, 0))
        low = down(x, kmap)
        y = up(low, kmap, x)
        return low.dense(), y, y.dense(), count_inputs(up, "up", low, kmap, x)

    grid = feats_of(steps)
    low, y, dense, (activity,) = run(rows(x, grid))
    weight = up.weight[...].reshape(2, 3, 1, 5, C).swapaxes(-1, -2)
    shape = jax.ShapeDtypeStruct((B, *EXTENT, C), jnp.float32)

    def strided(image):
        return jax.lax.conv_general_dilated(
            image,
            weight,
            (2, 2, 1),
            [(0, 0), (1, 1), (0, 0)],
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        )

    spread = jax.linear_transpose(strided, shape)
    want = np.stack([spread(each)[0] for each in (low if steps else low[None])])
    want = np.where(mask[..., None], want + np.arange(float(C)), 0)
    np.testing.assert_allclose(dense if steps else dense[None], want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(y.coords, x.coords)
    pairs = sum(
        1
        for b, z, r, c in np.argwhere(mask)
        for k in range(3)
        if z < 4 and (r + 1 - k) % 2 == 0 and 0 <= (r + 1 - k) // 2 < low.shape[-3]
    )
    total = ActivityTotals().add([activity]).layers[0]
    assert (total.pairs, total.out_channels) == (pairs * math.prod(steps), C)


def test_parameters_are_float32_under_x64_so_that_they_meet_float32_features():
    with jax.enable_x64(True):
        layer = SparseConv(1, 2, 1, use_bias=True, rngs=nnx.Rngs(0))
        assert layer.weight.dtype == layer.bias.dtype == jnp.float32


def test_initial_weights_have_the_stated_distributions():
    uniform = np.asarray(kaiming_uniform(jax.random.key(0), (8, 25, 50)))
    assert np.abs(uniform).max() <= 1 / 200**0.5
    np.testing.assert_allclose(uniform.std(), 1 / 600**0.5, rtol=0.02)
    normal = np.asarray(truncated_normal(jax.random.key(0), (27, 16, 16)))
    assert np.abs(normal).max() <= 0.04 + 1e-6
    np.testing.assert_allclose(normal.std(), 0.88 * 0.02, rtol=0.03)  # the tails are cut
    first, second = (SparseConv(C, C, 3, rngs=nnx.Rngs(seed)).weight[...] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_integers_equal_the_sum_of_their_binary_steps(x):
    """Exactly for integer weights, where a sum in float32 knows no order; else to rounding."""
    membranes = feats_of()
    s = rows(x, np.floor(np.clip(membranes, 0, 4) + 0.5))
    bits = ilif_unroll_spikes(s.feats, 4)
    np.testing.assert_array_equal(bits, ilif_fire(rows(x, membranes).feats, 4))
    graph, weights = nnx.split(SparseConv(C, 3, 3, rngs=nnx.Rngs(0)))

    @jax.jit
    def both(weights):
        layer = nnx.merge(graph, weights)
        kmap = submanifold_map(x, 3)
        return layer(s, kmap).feats, layer(s.replace(feats=bits), kmap).feats.sum(axis=0)

    whole, unrolled = both(jax.tree.map(lambda weight: jnp.round(30 * weight), weights))
    assert np.abs(whole).max() > 10
    np.testing.assert_array_equal(whole, unrolled)
    whole, unrolled = both(weights)
    np.testing.assert_allclose(whole, unrolled, rtol=1e-5, atol=1e-6)


# --- norm ---


def norm_program(**options):
    """(x, pure state) -> (y, state after), training or not."""
    graph, state = nnx.split(SparseBatchNorm(C, **options))
    rng = np.random.default_rng(3)
    state = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), jnp.float32),
        nnx.as_pure(state),
    )

    def run(x, state, train=True, axis_name=None):
        layer = nnx.merge(graph, state)
        y = layer(x, train=train, axis_name=axis_name)
        return y, nnx.as_pure(nnx.state(layer))

    return run, state


@pytest.mark.parametrize("steps", [(), (3,)], ids=["no time", "T = 3"])
def test_norm_in_training_sees_occupied_rows_alone(x, steps):
    run, state = norm_program(decay=0.75)
    given = rows(x, feats_of(steps))
    y, after = jax.jit(run)(given, state)
    seen = occupied(given).reshape(-1, C)
    want = state["scale"] * (occupied(given) - seen.mean(0)) / np.sqrt(seen.var(0) + 1e-3)
    np.testing.assert_allclose(occupied(y), want + state["shift"], rtol=1e-4, atol=1e-5)
    assert not np.asarray(y.feats)[..., ~np.asarray(y.valid), :].any()
    for name, moment in (("mean", seen.mean(0)), ("var", seen.var(0, ddof=1))):
        np.testing.assert_allclose(
            after[name], 0.75 * state[name] + 0.25 * moment, rtol=1e-5, err_msg=name
        )
    for name in ("scale", "shift"):
        np.testing.assert_array_equal(after[name], state[name])


def test_norm_in_evaluation_uses_the_running_statistics_and_leaves_them(x):
    run, state = norm_program()
    given = rows(x, feats_of())
    y, after = jax.jit(partial(run, train=False))(given, state)
    want = state["scale"] * (occupied(given) - state["mean"]) / np.sqrt(state["var"] + 1e-3)
    np.testing.assert_allclose(occupied(y), want + state["shift"], rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_defaults_of_the_norm_are_those_of_the_release():
    layer = SparseBatchNorm(C)
    assert (layer.eps, layer.decay, count_parameters(layer)) == (1e-3, 0.99, 2 * C)
    assert layer.scale[...].tolist() == layer.var[...].tolist() == [1.0] * C
    assert layer.shift[...].tolist() == layer.mean[...].tolist() == [0.0] * C


def test_more_padding_moves_statistics_by_less_than_a_millionth(x):
    run, state = norm_program(decay=0.0)  # the statistics of the batch alone
    given = rows(x, feats_of())
    pad = ((0, 0), (0, ROWS), (0, 0))
    wider = given.replace(feats=jnp.pad(given.feats, pad), coords=jnp.pad(given.coords, pad))
    (y, after), (z, other) = run(given, state), run(wider, state)
    for name in ("mean", "var"):
        np.testing.assert_allclose(after[name], other[name], rtol=1e-6)
    np.testing.assert_allclose(y.feats, z.feats[:, :ROWS], rtol=1e-5, atol=1e-6)
    assert not z.feats[:, ROWS:].any()


def test_statistics_are_summed_over_the_named_axis(x):
    """Each sample alone under a mapped axis gives what the batch gives, the empty one too."""
    run, state = norm_program(decay=0.5)
    given = rows(x, feats_of())
    want, after = run(given, state)
    alone = jax.tree.map(lambda leaf: leaf[:, None], given)
    mapped = jax.vmap(
        partial(run, axis_name="data"), in_axes=(0, None), out_axes=(0, None), axis_name="data"
    )
    y, moved = mapped(alone, state)
    np.testing.assert_allclose(y.feats[:, 0], want.feats, rtol=1e-5, atol=1e-6)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), moved, after)


@pytest.mark.parametrize("count", [0, 1])
def test_norm_of_nothing_and_of_one_row_is_finite(count):
    run, state = norm_program(decay=0.5)
    one = SparseTensor(
        jnp.full((1, 2, C), 3.0).at[:, count:].set(0),
        jnp.zeros((1, 2, 3), jnp.int32),
        jnp.array([count]),
        jnp.zeros(1, jnp.int32),
        EXTENT,
    )

    @partial(jax.value_and_grad, has_aux=True)
    def loss(state, one):
        y, after = run(one, state)
        return y.feats.sum(), (y, after)

    (_, (y, after)), gradient = loss(state, one)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((y, after, gradient)))
    np.testing.assert_allclose(y.feats[0, :count], jnp.tile(state["shift"], (count, 1)), rtol=1e-5)
    if count:
        np.testing.assert_allclose(after["var"], 0.5 * state["var"])
    else:
        jax.tree.map(np.testing.assert_array_equal, after, state)


def test_batches_without_rows_leave_the_running_statistics():
    layer = SparseBatchNorm(C)
    nothing = SparseTensor(
        jnp.zeros((2, 3, C)),
        jnp.zeros((2, 3, 3), jnp.int32),
        jnp.zeros(2, jnp.int32),
        jnp.zeros(2, jnp.int32),
        EXTENT,
    )
    for _ in range(100):
        layer(nothing, train=True)
    assert layer.var[...].tolist() == [1.0] * C
    assert layer.mean[...].tolist() == [0.0] * C


def test_gradients_pass_through_the_batch_statistics_and_not_into_the_running_ones(x):
    given = rows(x, feats_of())
    run, state = norm_program()
    weight = jnp.asarray(np.random.default_rng(4).normal(size=given.feats.shape), jnp.float32)

    def through(feats):
        return (weight * run(given.replace(feats=feats), state)[0].feats ** 2).sum()

    def into(feats):
        after = run(given.replace(feats=feats), state)[1]
        return (after["mean"] + after["var"]).sum()

    assert not jax.grad(into)(given.feats).any()
    # y does not change when all rows of a channel move together or, but for eps, are scaled
    gradient = jnp.where(given.valid[..., None], jax.grad(through)(given.feats), 0)
    assert np.abs(gradient).max() > 0.1
    np.testing.assert_allclose(gradient.sum((0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose((gradient * given.feats).sum((0, 1)), 0, atol=2e-2)


@pytest.mark.parametrize("decay", [1.0, -0.1, 2.0])
def test_a_decay_that_never_learns_is_refused(decay):
    with pytest.raises(ValueError, match=rf"decay must be in \[0, 1\); got {decay}"):
        SparseBatchNorm(C, decay=decay)


@pytest.mark.parametrize("eps", [0.0, -1e-3, np.inf, np.nan])
def test_an_epsilon_that_divides_by_nothing_is_refused(eps):
    with pytest.raises(ValueError, match=f"eps must be positive and finite.* got {eps}"):
        SparseBatchNorm(C, eps=eps)


@pytest.mark.parametrize("train", [True, False])
def test_features_of_another_width_are_refused(x, train):
    with pytest.raises(ValueError, match=r"SparseBatchNorm\(3\) takes features of 3 channels; got"):
        SparseBatchNorm(3)(x, train=train)  # x has one
    with pytest.raises(ValueError, match="channels must be at least 1; got 0"):
        SparseBatchNorm(0)


# --- neurons ---


def test_one_step_is_the_table_of_the_stateless_neuron():
    drive = jnp.array([-0.5, 0, 0.49, 0.5, 1.49, 1.5, 2.5, 3.5, 4.2])
    place = jnp.array([0.01, 3.99, 0, 4, -1, 5])

    def fire(values):
        one = SparseTensor(
            values[None, :, None],
            jnp.zeros((1, len(values), 3), jnp.int32),
            jnp.array([len(values)]),
            jnp.zeros(1, jnp.int32),
            EXTENT,
        )
        state, out = IntegerNeuron()(None, one)
        assert state is None
        return out.feats[0, :, 0]

    assert fire(drive).tolist() == [0, 0, 0, 1, 1, 2, 3, 4, 4]
    assert jax.grad(lambda v: fire(v).sum())(place).tolist() == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(("levels", "beta"), [(4, 0.25), (2, 1.0), (1, 0.0)])
def test_steps_equal_the_loop_over_time(x, levels, beta):
    given = rows(x, feats_of((5,)))
    neuron = IntegerNeuron(levels, beta=beta)
    state, out = jax.jit(neuron)(None, given)
    flat = np.asarray(given.feats).reshape(5, -1)
    spikes, fields, margin = reference.ilif_loop(flat, [beta], levels)
    sure = (np.abs(margin) > 1e-4).all(0)
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(np.asarray(out.feats).reshape(5, -1)[:, sure], spikes[:, sure])
    np.testing.assert_allclose(
        np.asarray(state.v).reshape(-1)[sure], fields["v"][-1][sure], rtol=1e-5, atol=1e-5
    )
    assert not np.asarray(out.feats)[:, ~np.asarray(x.valid)].any()

    first, early = neuron(None, given.replace(feats=given.feats[:2]))
    last, late = neuron(first, given.replace(feats=given.feats[2:]))
    np.testing.assert_array_equal(np.concatenate([early.feats, late.feats]), out.feats)
    np.testing.assert_array_equal(last.v, state.v)


def test_the_membrane_is_float32_when_the_input_is_narrower(x):
    given = rows(x, feats_of((2,)))
    narrow = given.replace(feats=given.feats.astype(jnp.bfloat16))
    state, out = IntegerNeuron()(None, narrow)
    assert isinstance(state, ILIFState)
    assert (state.v.dtype, out.feats.dtype) == (jnp.float32, jnp.bfloat16)


def test_detach_cuts_the_gradient_through_the_reset():
    one = SparseTensor(
        jnp.array([1.2, 0.7]).reshape(2, 1, 1, 1),
        jnp.zeros((1, 1, 3), jnp.int32),
        jnp.array([1]),
        jnp.zeros(1, jnp.int32),
        EXTENT,
    )

    def gradient(detach):
        neuron = IntegerNeuron(beta=0.5, detach_reset=detach)
        return jax.grad(lambda f: neuron(None, one.replace(feats=f))[1].feats[1].sum())(one.feats)

    # h[1] = 0.5 * (h[0] - s[0]) + x[1], and s follows h with slope 1
    assert gradient(True).reshape(-1).tolist() == [0.5, 1.0]
    assert gradient(False).reshape(-1).tolist() == [0.0, 1.0]


def test_the_rectifier_of_the_twin_has_no_ceiling_and_no_state(x):
    given = rows(x, feats_of())
    out = Rectifier()(given)
    np.testing.assert_array_equal(out.feats, np.maximum(given.feats, 0))
    assert out.feats.max() > 4


def test_neurons_have_no_parameters_and_say_what_they_are():
    assert count_parameters(IntegerNeuron()) == count_parameters(Rectifier()) == 0
    assert (IntegerNeuron().spiking, Rectifier().spiking) == (True, False)
    made = IntegerNeuron()
    assert (made.levels, made.beta, made.detach_reset) == (4, 0.25, False)  # as ilif_step


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"levels": 0}, "levels must be at least 1; got 0"),
        ({"beta": 1.01}, r"beta must be in \[0, 1\]; got 1.01"),
        ({"beta": -0.01}, r"beta must be in \[0, 1\]; got -0.01"),
        ({"beta": float("nan")}, r"beta must be in \[0, 1\]; got nan"),
    ],
)
def test_bad_constants_of_the_integer_neuron(options, match):
    with pytest.raises(ValueError, match=match):
        IntegerNeuron(**options)
