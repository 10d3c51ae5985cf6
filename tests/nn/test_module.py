"""A traversal against modules that thread their states by hand."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import snnjax.nn
from snnjax.nn import (
    LI,
    LIF,
    BatchNorm,
    DelayedLinear,
    Dropout,
    Module,
    Population,
    Recurrent,
    Repeat,
    Sequential,
    SpikformerBlock,
    Stateful,
    probe,
)


class Block(Module):
    """A residual block with a norm, a state and a layer that draws."""

    rematerialised = True

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.fc = nnx.Linear(width, width, rngs=rngs)
        self.norm = BatchNorm(width)
        self.neurons = LIF(width, tau=2.0)
        self.dropout = Dropout(0.5)

    def forward(self, run, x):
        return x + run(self.dropout, run(self.neurons, run(self.norm, run(self.fc, x))))


class Net(Module):
    """Two blocks, a recurrent layer, a delayed readout."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.blocks = nnx.List([Block(4, rngs=rngs) for _ in range(2)])
        back = nnx.Linear(4, 4, use_bias=False, rngs=rngs)
        self.recurrent = Recurrent(LIF(4, tau=2.0), back)
        self.readout = DelayedLinear(4, 3, max_delay=2, rngs=rngs)

    def forward(self, run, x):
        for block in self.blocks:
            x = run(block, x)
        return run(self.readout, run(self.recurrent, x))


def _inputs(steps: int = 6, width: int = 4) -> jax.Array:
    return 2 * jax.random.normal(jax.random.key(1), (steps, 3, width))


def _by_hand(net: Net, x: jax.Array) -> jax.Array:
    """The same without a run."""
    for block in net.blocks:
        x = x + block.neurons(None, block.norm(block.fc(x)))[1]
    return net.readout(None, net.recurrent(None, x)[1])[1]


@pytest.fixture(scope="module")
def net() -> Net:
    return Net(rngs=nnx.Rngs(0))


def test_a_run_is_the_same_as_threading_states_by_hand(net):
    x = _inputs()
    state, y = net(None, x)
    np.testing.assert_array_equal(y, _by_hand(net, x))
    assert set(state) == {"blocks.0.neurons", "blocks.1.neurons", "recurrent", "readout"}
    assert all(leaf.shape[0] == 3 for leaf in jax.tree.leaves(state))


def test_two_chunks_are_the_whole(net):
    x = _inputs()
    state, first = net(None, x[:2])
    state, second = net(state, x[2:])
    whole, y = net(None, x)
    np.testing.assert_allclose(jnp.concatenate([first, second]), y, rtol=1e-6)
    assert jax.tree.structure(state) == jax.tree.structure(whole)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), state, whole)


def test_the_resting_state_is_what_none_stands_for(net):
    x = _inputs()
    rest = net.init_state(x)
    np.testing.assert_array_equal(net(rest, x)[1], net(None, x)[1])
    shapes = jax.ShapeDtypeStruct(x.shape, x.dtype)
    assert jax.tree.structure(net.init_state(shapes)) == jax.tree.structure(rest)
    assert all(not leaf.any() for leaf in jax.tree.leaves(rest))


def test_a_key_is_folded_in_by_path():
    """A layer that is put in front moves no other layer's draws."""
    rngs = nnx.Rngs(0)
    one = Sequential(lambda x: x, Dropout(0.5))
    two = Sequential(Dropout(0.5), Dropout(0.5))
    x, key = jnp.ones((2, 3, 16)), jax.random.key(7)
    first = one(None, x, train=True, key=key)[1]
    _, seen = probe(two, ["layers.1"])(None, x, train=True, key=key)
    kept = seen["layers.1"] != 0
    before = probe(two, ["layers.0"])(None, x, train=True, key=key)[1]["layers.0"]
    np.testing.assert_array_equal(kept, (first != 0) & (before != 0))
    with pytest.raises(ValueError, match=r"layers\.0: Dropout\(0\.5\) draws .* pass key="):
        two(None, x, train=True)
    del rngs


class Poisson(nnx.Module):
    """An encoder that draws in every mode."""

    def __call__(self, x, *, key):
        return jax.random.bernoulli(key, x).astype(x.dtype)


def test_a_layer_that_draws_receives_the_key_outside_training():
    net, x = Sequential(Poisson(), Dropout(0.5)), jnp.full((4, 3, 16), 0.5)
    first, again, other = (net(None, x, key=jax.random.key(seed))[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert set(np.unique(first)) == {0.0, 1.0}  # dropout is off
    with pytest.raises(TypeError, match=r"layers\.0: .*'key'"):
        net(None, x)


def test_a_layer_without_state_called_twice_draws_twice():
    class Twice(Module):
        def __init__(self):
            self.dropout = Dropout(0.5)

        def forward(self, run, x):
            return run(self.dropout, x), run(self.dropout, x)

    a, b = Twice()(None, jnp.ones((1, 2, 64)), train=True, key=jax.random.key(0))[1]
    assert (a != b).any()


@pytest.mark.parametrize("remat", ["products", "layers"])
def test_remat_changes_nothing(net, remat):
    x, key = _inputs(), jax.random.key(3)

    def loss(params: Any, remat: str) -> jax.Array:
        own = nnx.merge(graphdef, params, rest)
        state, y = own(None, x, train=True, key=key, remat=remat)
        after = nnx.as_pure(nnx.split(own, nnx.Param, ...)[2])
        return (y**2).sum(), (state, after)

    graphdef, params, rest = nnx.split(net, nnx.Param, ...)
    rest = nnx.as_pure(rest)
    gradient = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
    plain, again = gradient(params, "none"), gradient(params, remat)
    assert jax.tree.structure(plain) == jax.tree.structure(again)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), plain, again)
    text = jax.make_jaxpr(lambda p: jax.grad(loss, has_aux=True)(p, remat))(params)
    assert "remat" in str(text) or "checkpoint" in str(text)


def test_what_weighted_layers_receive_is_counted(net):
    x = jnp.round(_inputs())
    _, (y, activity) = net(None, x, record=True)
    names = ["blocks.0.fc", "blocks.1.fc", "recurrent.connection", "readout"]
    assert [layer.name for layer in activity] == names
    np.testing.assert_array_equal(y, net(None, x)[1])


class Stack(Module):
    """The same blocks in a list, to compare with `Repeat`."""

    def __init__(self, repeat: Repeat):
        blocks = []
        graphdef, arrays = nnx.split(repeat.block)
        for index in range(repeat.count):
            own = jax.tree.map(lambda leaf, i=index: leaf[i], arrays)
            blocks.append(nnx.merge(graphdef, own))
        self.blocks = nnx.List(blocks)

    def forward(self, run, x):
        for block in self.blocks:
            x = run(block, x)
        return x


class Deep(Module):
    def __init__(self, count: int = 3):
        self.blocks = Repeat(lambda rngs: Block(4, rngs=rngs), count, rngs=nnx.Rngs(0))

    def forward(self, run, x):
        return run(self.blocks, x)


def test_repeat_equals_its_blocks_in_turn():
    deep = Deep()
    flat, x = Stack(deep.blocks), _inputs()
    state, y = deep(None, x)
    flat_state, expect = flat(None, x)
    np.testing.assert_allclose(y, expect, rtol=1e-6)
    assert state["blocks.neurons"].v.shape == (3, 3, 4)  # B, L, N
    for index in range(3):
        own = flat_state[f"blocks.{index}.neurons"].v
        np.testing.assert_allclose(state["blocks.neurons"].v[:, index], own, rtol=1e-6)
    half, first = deep(None, x[:2])
    second = deep(half, x[2:])[1]
    np.testing.assert_allclose(jnp.concatenate([first, second]), y, rtol=1e-6)
    assert deep.init_state(x)["blocks.neurons"].v.shape == (3, 3, 4)


def test_repeat_trains_as_its_blocks_do():
    """Gradients, running statistics, records and probes, with and without remat."""
    deep = Deep()
    x = _inputs()

    def loss(model: Module, remat: str) -> Any:
        graphdef, params, rest = nnx.split(model, nnx.Param, ...)

        def value(params: Any) -> Any:
            own = nnx.merge(graphdef, params, nnx.as_pure(rest))
            _, (y, activity) = own(None, x, train=True, remat=remat, record=True, key=key)
            return (y**2).sum(), (nnx.as_pure(nnx.split(own, nnx.Param, ...)[2]), activity)

        return jax.jit(jax.grad(value, has_aux=True))(params)

    key = jax.random.key(0)
    for dropout in (module for _, module in nnx.iter_modules(deep) if isinstance(module, Dropout)):
        dropout.rate = 0.0
    flat = Stack(deep.blocks)
    gradient, (stats, activity) = loss(deep, "none")
    again, (stats_again, _) = loss(deep, "layers")
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradient, again
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), stats, stats_again)
    expect, (flat_stats, flat_activity) = loss(flat, "none")
    assert [a.name for a in activity] == [a.name for a in flat_activity]
    for one, other in zip(activity, flat_activity, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)
    stacked = nnx.as_pure(gradient)["blocks"]["block"]["fc"]["kernel"]
    for index in range(3):
        own = nnx.as_pure(expect)["blocks"][index]["fc"]["kernel"]
        np.testing.assert_allclose(stacked[index], own, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            stats["blocks"]["block"]["norm"]["mean"][index],
            flat_stats["blocks"][index]["norm"]["mean"],
            rtol=1e-5,
            atol=1e-6,
        )


def test_probe_sees_into_repeated_and_recomputed_blocks():
    deep, x = Deep(), _inputs()
    flat = Stack(deep.blocks)
    paths = ["blocks.1.neurons", "blocks.2.neurons:v", "blocks"]
    _, seen = probe(deep, paths)(None, x)
    _, expect = probe(flat, paths[:2])(None, x)
    for path in paths[:2]:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), seen[path], expect[path]
        )
    for remat in ("none", "layers"):
        options = {"train": True, "key": jax.random.key(1), "remat": remat}
        _, seen = probe(deep, paths)(None, x, **options)
        assert set(seen) == set(paths)
        assert seen["blocks.2.neurons:v"].shape == (6, 3, 4)
        assert seen["blocks.1.neurons"][1].shape == (6, 3, 4)


def test_repeated_blocks_draw_apart():
    deep = Repeat(lambda rngs: Sequential(Dropout(0.5)), 2, rngs=nnx.Rngs(0))
    y = deep(None, jnp.ones((1, 1, 64)), train=True, key=jax.random.key(0))[1]
    assert 0 < float((y == 4).mean()) < 0.45  # a quarter survives both


def test_a_block_that_changes_the_shape_is_refused():
    class Grow(Module):
        def __init__(self, *, rngs: nnx.Rngs):
            self.fc = nnx.Linear(3, 3, rngs=rngs)

        def forward(self, run, x):
            return jnp.concatenate([x, x], -1)

    with pytest.raises(ValueError, match=r"Grow must return .* got \(1, 2, 3\) .* \(1, 2, 6\)"):
        Repeat(lambda rngs: Grow(rngs=rngs), 2, rngs=nnx.Rngs(0))(None, jnp.ones((1, 2, 3)))
    with pytest.raises(TypeError, match=r"must return a snnjax\.nn\.Module; got LIF"):
        Repeat(lambda rngs: LIF(2), 2, rngs=nnx.Rngs(0))  # type: ignore[arg-type, return-value]


def test_a_state_of_another_model_is_named(net):
    x = _inputs()
    state, _ = net(None, x)
    lacking = {path: leaf for path, leaf in state.items() if path != "recurrent"}
    with pytest.raises(ValueError, match=r"lacks 'recurrent', a Recurrent; it holds 'blocks\.0"):
        net(lacking, x)
    with pytest.raises(ValueError, match=r"holds 'other', which Net does not call"):
        net({**state, "other": 1}, x)
    with pytest.raises(ValueError, match=r"blocks\.0\.neurons: LIF\(4\) takes input .* state"):
        net(state, x[:, :2])
    for other in ((1, 2), state["recurrent"]):
        with pytest.raises(TypeError, match=r"Net takes its state as a dictionary .* got"):
            net(other, x)


def test_a_state_of_another_depth_is_named():
    def make(count):
        return Repeat(lambda rngs: Sequential(LIF(4)), count, rngs=nnx.Rngs(0))

    x = _inputs()
    state, _ = make(3)(None, x)
    with pytest.raises(ValueError, match=r"layers\.0: the state of 2 .* \[B, 2, .* got \(3, 3, 4"):
        make(2)(state, x)
    with pytest.raises(ValueError, match=r"layers\.0: .* got \(3,\)"):
        make(3)(jax.tree.map(lambda leaf: leaf[:, 0, 0], state), x)


class Difference(Stateful):
    """What changed since the step before."""

    def rest_for(self, x):
        return jnp.zeros(x.shape[1:], x.dtype)

    def __call__(self, state, x):
        state = self.rest_for(x) if state is None else state
        return x[-1], x - jnp.concatenate([state[None], x[:-1]])


class Total(Difference):
    """The sum of all steps."""

    def __call__(self, state, x):
        total = (self.rest_for(x) if state is None else state) + jnp.cumsum(x, 0)
        return total[-1], total


@pytest.mark.parametrize(("layer", "batch"), [(Difference(), 2), (Total(), 2), (Total(), 1)])
def test_a_layer_without_checks_refuses_the_state_of_another_batch(layer, batch):
    """Where the state would be broadcast, too."""
    model = Sequential(layer)
    state, _ = model(None, jnp.ones((4, batch, 2)))
    message = rf"layers\.0: the state of this {type(layer).__name__} has .*need \[\(3, 2\)\]\. Pass"
    with pytest.raises(ValueError, match=message):
        model(state, jnp.ones((4, 3, 2)))


class Shared(Module):
    def __init__(self):
        self.neurons, self.kept = LIF(2), None

    def forward(self, run, x):
        return run(self.neurons, run(self.neurons, x))


class Foreign(Module):
    def forward(self, run, x):
        return run(LIF(2), x)


class Matrix(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.ones((2, 2)))

    def __call__(self, x):
        return x @ self.w[...]


class Bare(Stateful):
    def __call__(self, state, x):
        return state, x


class Stepless(Population):
    rest = jnp.zeros


def test_wrong_uses_are_named(net):
    x = jnp.ones((1, 1, 2))
    with pytest.raises(ValueError, match=r"'neurons', a LIF, is called twice"):
        Shared()(None, x)
    with pytest.raises(ValueError, match=r"LIF is not a part of Foreign"):
        Foreign()(None, x)
    with pytest.raises(ValueError, match=r"'layers\.0', a Matrix, cannot be counted.*count_inputs"):
        Sequential(Matrix())(None, x, record=True)
    with pytest.raises(TypeError, match=r"state, out = layer\(None, x\).*write `run\(layer, x\)`"):
        net(x)
    with pytest.raises(NotImplementedError, match=r"Bare must define rest_for\(x\)"):
        Sequential(Bare()).init_state(x)
    with pytest.raises(NotImplementedError, match=r"Stepless must define step\(\)"):
        Stepless(2, trainable=(), checkpoint=True)(None, x)
    with pytest.raises(ValueError, match="remat must be one of none, products, layers; got 'all'"):
        net(None, _inputs(), train=True, remat="all")
    with pytest.raises(ValueError, match=r"no module with rematerialised = True"):
        Sequential(LIF(2))(None, x, train=True, remat="layers")
    with pytest.raises(ValueError, match="remat must be one of none, products, layers; got 'al'"):
        net(None, _inputs(), remat="al")
    for call in (net, partial(probe(net, []))):
        with pytest.raises(TypeError, match=r"Net takes no 'trian'; did you mean 'train'\?"):
            call(None, _inputs(), trian=True)
    kept = []

    class Keeps(Module):
        def __init__(self):
            self.neurons = LIF(2)

        def forward(self, run, x):
            kept.append(run)
            return run(self.neurons, x)

    model = Keeps()
    model(None, x)
    with pytest.raises(ValueError, match="a run that has ended"):
        kept[0](model.neurons, x)


def test_sharding_rules_shift_by_the_axis_of_depth():
    deep = Repeat(lambda rngs: SpikformerBlock(4, 2, rngs=rngs), 2, rngs=nnx.Rngs(0))
    block = SpikformerBlock(4, 2, rngs=nnx.Rngs(0))
    plain = dict(block.tensor_rules())
    stacked = {path.replace("^block/", "^"): spec for path, spec in deep.tensor_rules()}
    assert set(plain) == set(stacked)
    for path, spec in plain.items():
        if path != ".*":
            assert tuple(stacked[path]) == (None, *spec), path


def test_a_run_costs_nothing_at_run_time():
    """The compiled program has the operations of the hand-written one."""
    x = _inputs()
    net = Sequential(
        nnx.Linear(4, 8, rngs=nnx.Rngs(0)), LIF(8), nnx.Linear(8, 2, rngs=nnx.Rngs(1)), LI(2)
    )
    graphdef, params = nnx.split(net)

    def run(params: Any, x: jax.Array) -> jax.Array:
        return nnx.merge(graphdef, params)(None, x)[1]

    def by_hand(params: Any, x: jax.Array) -> jax.Array:
        fc1, neurons, fc2, readout = nnx.merge(graphdef, params).layers
        return readout(None, fc2(neurons(None, fc1(x))[1]))[1]

    costs = [jax.jit(f).lower(params, x).compile().cost_analysis() for f in (run, by_hand)]
    for name in ("flops", "bytes accessed"):
        assert costs[0][name] == costs[1][name]


class Centred(nnx.Module):
    """A norm of a user, which does not take the mesh axis."""

    def __init__(self):
        self.mean = nnx.BatchStat(jnp.zeros(4))

    def __call__(self, x, *, train=False):
        if train:
            self.mean[...] = x.mean((0, 1))
        return x - self.mean[...]


@pytest.mark.parametrize(
    ("norm", "devices", "error"),
    [
        (Centred(), 2, r"layers\.1: a Centred updates 'mean' .* over 2 along 'data'.*pmean"),
        (Centred(), 1, ""),
        (nnx.BatchNorm(4, rngs=nnx.Rngs(0)), 2, r"layers\.1: a BatchNorm .* axis_name='data'"),
        (nnx.BatchNorm(4, axis_name="data", rngs=nnx.Rngs(0)), 2, ""),
        (BatchNorm(4), 2, ""),
        (nnx.Dropout(0.5, rngs=nnx.Rngs(0)), 2, ""),
    ],
)
def test_norms_that_do_not_sum_over_the_devices_are_refused(norm, devices, error):
    graphdef, arrays = nnx.split(Sequential(nnx.Linear(4, 4, rngs=nnx.Rngs(0)), norm))
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.PartitionSpec(None, "data")

    def call(arrays, x, train):
        net = nnx.merge(graphdef, arrays)
        return net(None, x, train=train, axis_name="data")[1]

    def shape(train):
        run = partial(call, train=train)
        specs = (jax.sharding.PartitionSpec(), rows)
        sharded = jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=rows, check_vma=False)
        return jax.eval_shape(sharded, arrays, jnp.ones((3, 4, 4))).shape

    assert shape(train=False) == (3, 4, 4)
    if not error:
        assert shape(train=True) == (3, 4, 4)
        return
    with pytest.raises(ValueError, match=error):
        shape(train=True)


class Past(Module):
    """Calls a part itself, after another one through the run."""

    def __init__(self, part, *args):
        self.first, self.part, self.args = LIF(4), part, args

    def forward(self, run, x):
        return self.part(*self.args, run(self.first, x))


KEPT = "its state is neither continued nor returned"
MODE = "it computes as it does outside training"


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize(
    ("part", "args", "lost"),
    [(LIF(4), (None,), KEPT), (Sequential(LIF(4)), (None,), KEPT), (BatchNorm(4), (), MODE)],
)
def test_a_part_called_past_the_run_is_reported(repeated, part, args, lost):
    class Shown(Past):
        def forward(self, run, x):
            y = super().forward(run, x)
            return y[1] if args else y

    net, x, train = Shown(part, *args), _inputs(), lost == MODE
    if repeated:
        net = Repeat(lambda rngs: Shown(part, *args), 1, rngs=nnx.Rngs(0))
    warning = rf"'part', a {type(part).__name__}, was called past the run, so that {lost}\. Write"
    with pytest.warns(UserWarning, match=warning):
        net(None, x, train=train)
    if train:
        net(None, x)  # outside training it computes the same


def test_a_part_that_is_not_used_or_not_a_part_is_not_reported():
    teacher = Sequential(LIF(4))

    class Unused(Module):
        def __init__(self):
            self.neurons, self.auxiliary = LIF(4), LIF(4)

        def forward(self, run, x):
            return run(self.neurons, x) + teacher(None, x)[1]

    state, _ = Unused()(None, _inputs())  # a warning would be an error
    assert set(state) == {"neurons"}


def test_every_layer_names_the_nearest_argument():
    layers = [
        layer
        for layer in vars(snnjax.nn).values()
        if isinstance(layer, type) and issubclass(layer, nnx.Module)
    ]
    plain = {
        snnjax.nn.Bounded,
        snnjax.nn.Stateful,
        snnjax.nn.Module,
        snnjax.nn.Rectifier,
        snnjax.nn.AttentionProduct,
    }
    for layer in set(layers) - plain:
        known = inspect.signature(layer).parameters
        if any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in known.values()):
            continue
        wrong = next(iter(known))[:-1]
        with pytest.raises(TypeError, match=f"{layer.__name__} has no argument '{wrong}'; did"):
            layer(**{wrong: 1})
    with pytest.raises(TypeError, match=r"Conv has no argument 'stride'; there are in_channels"):
        snnjax.nn.Conv(2, 2, stride=2, rngs=nnx.Rngs(0))
