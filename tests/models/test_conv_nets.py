"""Spiking convolutional networks against plain loops, in float64: spikes jump in float32."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.metrics import ActivityTotals, count_parameters
from snnjax.models import SpikingResNet, SpikingResNetConfig, SpikingVGG, SpikingVGGConfig
from tests.reference import conv_nets as reference

T, B, SIDE, C, K = 3, 2, 9, 2, 3
SIZES: dict[str, Any] = {"in_channels": C, "num_classes": K, "steps": T}
DEEP = SpikingVGGConfig(widths=(4, 6), depths=(1, 2), **SIZES)
FLAT = SpikingVGGConfig(
    widths=(4,), depths=(1,), pool="currents", average=False, image_size=(SIDE, SIDE), **SIZES
)
SEW = SpikingResNetConfig(widths=(3, 4), depths=(1, 1), **SIZES)
MS = SpikingResNetConfig(widths=(3, 4), depths=(1, 1), shortcut="membranes", **SIZES)
CONFIGS = {"vgg": DEEP, "vgg-flat": FLAT, "resnet-spikes": SEW, "resnet-membranes": MS}


def with_(config: Any, **options: Any) -> Any:
    return type(config)(**{**vars(config), **options})


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def net_of(config: Any, seed: int = 0) -> Any:
    """A network with random weights and statistics of order 1, in float64."""
    net = config.build(info(), rngs=nnx.Rngs(0))
    rng = np.random.default_rng(seed)

    def draw(path: Any, leaf: Any) -> Any:
        name = str(getattr(path[-1], "key", path[-1]))
        if name in ("tau", "threshold"):
            return leaf
        if name in ("scale", "var"):
            return jnp.asarray(rng.uniform(0.8, 1.6, leaf.shape))
        if leaf.ndim == 1:
            return jnp.asarray(rng.normal(0.3, 0.4, leaf.shape))
        return jnp.asarray(rng.normal(0, 1, leaf.shape) / np.prod(leaf.shape[:-1]) ** 0.5)

    graphdef, state = nnx.split(net)
    return nnx.merge(graphdef, jax.tree.map_with_path(draw, nnx.as_pure(state)))


def info(shape: tuple[int, ...] | None = (SIDE, SIDE, C)) -> Any:
    return SimpleNamespace(in_channels=C, class_names=tuple("abc"), sample_shape=shape)


def picture() -> jax.Array:
    return jax.random.normal(jax.random.key(0), (B, SIDE, SIDE, C), jnp.float64)


def frames(steps: int = T) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (steps, B, SIDE, SIDE, C), jnp.float64)


def received(net: Any, x: Any) -> list[Any]:
    """What each layer received, summed over the batch."""
    return list(ActivityTotals().add(net(None, x, record=True)[1][1]).layers)


def loop_of(net: Any) -> reference.Loop:
    state = nnx.to_pure_dict(nnx.state(net))
    flat = {
        "/".join(str(key) for key in path): np.asarray(leaf)
        for path, leaf in nnx.traversals.flatten_mapping(state).items()
    }
    c = net.config
    return reference.Loop(flat, 1 - 1 / c.tau, c.threshold, c.reset == "subtract", c.twin)


def expected(net: Any, x: np.ndarray) -> np.ndarray:
    config, loop = net.config, loop_of(net)
    if isinstance(net, SpikingVGG):
        early = config.pool == "currents"
        return reference.vgg(loop, x, config.depths, early, config.average)
    return reference.resnet(loop, x, (1, 2), config.shortcut == "membranes")


@pytest.mark.parametrize("options", [{}, {"reset": "subtract", "tau": 1.25}, {"twin": True}])
@pytest.mark.parametrize("name", CONFIGS)
def test_scores_are_those_of_a_loop_over_time(name: str, options: dict[str, Any]) -> None:
    net, x = net_of(with_(CONFIGS[name], **options)), frames()
    scores = net(None, x)[1]
    np.testing.assert_allclose(scores, expected(net, np.asarray(x)), rtol=1e-9, atol=1e-9)
    assert np.ptp(scores, axis=0).min() > 1e-3  # samples differ


@pytest.mark.parametrize("name", CONFIGS)
def test_a_picture_is_a_sequence_of_equal_frames_that_is_encoded_once(name: str) -> None:
    net, x = net_of(CONFIGS[name]), picture()
    again = jnp.stack([x] * T)
    np.testing.assert_allclose(net(None, x)[1], net(None, again)[1], rtol=1e-12)
    once, often = ([layer.sites for layer in received(net, given)] for given in (x, again))
    assert T * once[0] == often[0] == T * B * SIDE * SIDE
    assert once[1:] == often[1:]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_layer_is_counted_and_all_but_the_first_receive_spikes(name: str) -> None:
    net = net_of(CONFIGS[name])
    layers = received(net, frames())
    weighted = [m for _, m in nnx.iter_modules(net) if hasattr(m, "kernel") or hasattr(m, "weight")]
    assert len(layers) == len(weighted)
    assert [layer.spiking for layer in layers] == [False] + [True] * (len(weighted) - 1)
    assert all(layer.nonzero > 0 for layer in layers)


@pytest.mark.parametrize("name", ["vgg-flat"])  # the battery has equal halves
def test_two_chunks_equal_the_full_sequence(name: str) -> None:
    net, x = net_of(CONFIGS[name]), frames(5)
    full, scores = net(None, x)
    state, first = net(None, x[:2])
    state, second = net(state, x[2:])
    np.testing.assert_allclose(scores, (2 * first + 3 * second) / 5, rtol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), full, state)
    assert all(leaf.shape[0] == B for leaf in jax.tree.leaves(state))


def test_integrators_forget_what_is_past() -> None:
    net = net_of(with_(DEEP, readout="integrators", readout_tau=4.0))
    plain = net_of(DEEP)
    x = frames()
    v, membranes = 0.0, []
    for score in scores_of_steps(plain, x):
        v = 0.75 * v + 0.25 * score
        membranes.append(v)
    np.testing.assert_allclose(net(None, x)[1], np.mean(membranes, 0), rtol=1e-9)


def scores_of_steps(net: Any, x: jax.Array) -> list[Any]:
    state, scores = None, []
    for frame in x:
        state, score = net(state, frame[None])
        scores.append(score)
    return scores


@pytest.mark.parametrize("name", CONFIGS)
def test_the_twin_has_the_same_parameters_and_no_state(name: str) -> None:
    spiking = net_of(CONFIGS[name])
    twin = net_of(with_(CONFIGS[name], twin=True))
    ours, theirs = (jax.tree.map(jnp.shape, nnx.state(n, nnx.Param)) for n in (spiking, twin))
    assert ours == theirs
    assert twin(None, picture())[0] == {}
    layers = received(twin, picture())
    assert not any(layer.spiking for layer in layers)
    assert layers[1].sites <= B * SIDE * SIDE  # a picture is seen once


@pytest.mark.parametrize("name", ["resnet-spikes"])  # with dropout; the battery has none
def test_gradients_reach_every_parameter_and_remat_changes_none(name: str) -> None:
    config = with_(CONFIGS[name], dropout=0.3)
    graphdef, params, rest = nnx.split(net_of(config), nnx.Param, ...)

    @jax.jit
    def gradients(params: Any) -> Any:
        def loss(params: Any, remat: str) -> jax.Array:
            net = nnx.merge(graphdef, params, rest, copy=True)
            _, out = net(None, picture(), train=True, key=jax.random.key(0), remat=remat)
            return (jax.nn.log_softmax(out)[:, 0]).sum()

        return [jax.grad(loss)(params, remat) for remat in ("none", "layers")]

    plain, again = gradients(nnx.as_pure(params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), plain, again)
    assert all(float(jnp.abs(leaf).max()) > 0 for leaf in jax.tree.leaves(plain))


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (SpikingVGGConfig.vgg11(in_channels=3, num_classes=10), 9_228_362),
        (SpikingVGGConfig.vgg16(in_channels=3, num_classes=10), 14_724_042),
        (SpikingResNetConfig.resnet18(in_channels=3, num_classes=10), 11_173_962),
        (
            SpikingResNetConfig.resnet18(in_channels=3, num_classes=1000, stem="large"),
            11_689_512,
        ),
        (
            SpikingResNetConfig.resnet34(
                in_channels=3, num_classes=1000, stem="large", shortcut="membranes"
            ),
            21_797_672,
        ),
    ],
)
def test_published_sizes(config: Any, count: int) -> None:
    """VGG as for CIFAR-10, without biases, which a norm removes."""
    data = SimpleNamespace(
        in_channels=3, class_names=("",) * config.num_classes, sample_shape=(32, 32, 3)
    )
    assert count_parameters(nnx.eval_shape(lambda: config.build(data, rngs=nnx.Rngs(0)))) == count


def test_the_large_stem_quarters_the_picture() -> None:
    config = with_(SEW, stem="large", depths=(1, 1))
    layers = received(config.build(info(), rngs=nnx.Rngs(0)), jnp.ones((B, 33, 20, C), jnp.float32))
    assert layers[1].sites == T * B * 9 * 5


def test_hidden_neurons_and_image_sizes_come_from_the_data() -> None:
    config = SpikingVGGConfig(widths=(4,), depths=(1,), average=False, hidden=5)
    net = config.build(info((7, 8, 10, C)), rngs=nnx.Rngs(0))
    assert nnx.state(net)["dense"]["layer"]["kernel"].shape == (4 * 4 * 5, 5)
    assert net(None, jnp.ones((2, B, 8, 10, C), jnp.float32))[1].shape == (B, K)
    with pytest.raises(ValueError, match="needs image_size"):
        config.build(info(None), rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SpikingVGGConfig, {"steps": 0}, "steps must be an integer of at least 1; got 0"),
        (SpikingVGGConfig, {"tau": 0.5}, "tau must be at least 1 step; got 0.5"),
        (SpikingVGGConfig, {"threshold": 0.0}, "threshold must be above 0"),
        (SpikingVGGConfig, {"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        (SpikingVGGConfig, {"bn_decay": 1.0}, r"bn_decay must be in \[0, 1\)"),
        (SpikingVGGConfig, {"reset": "none"}, "reset must be 'subtract' or 'zero'; got 'none'"),
        (SpikingVGGConfig, {"surrogate": "atann"}, "did you mean 'atan'"),
        (SpikingVGGConfig, {"readout": "last"}, "readout must be 'mean' or 'integrators'"),
        (SpikingVGGConfig, {"widths": (3,)}, "one number for each stage"),
        (SpikingVGGConfig, {"widths": (3,), "depths": (0,)}, "at least 1"),
        (SpikingVGGConfig, {"pool": "mean"}, "pool must be 'spikes' or 'currents'"),
        (SpikingVGGConfig, {"hidden": 8}, "set average to False"),
        (SpikingVGGConfig, {"image_size": (31, 32)}, "image_size must be at least 32"),
        (SpikingResNetConfig, {"depths": (1,)}, "one number for each stage"),
        (SpikingResNetConfig, {"widths": (0,), "depths": (1,)}, "at least 1"),
        (SpikingResNetConfig, {"shortcut": "none"}, "shortcut must be 'spikes' or 'membranes'"),
        (SpikingResNetConfig, {"stem": "7x7"}, "stem must be 'small' or 'large'"),
        (SpikingResNetConfig, {"drop_path": 1.0}, r"drop_path must be in \[0, 1\)"),
    ],
)
def test_bad_settings_are_refused(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_bad_inputs_are_refused() -> None:
    net = net_of(DEEP)
    for shape in ((SIDE, SIDE, C), (B, SIDE, SIDE, C + 1)):
        with pytest.raises(ValueError, match=r"pictures \[B, H, W, 2\] or frames"):
            net(None, jnp.ones(shape))
    with pytest.raises(ValueError, match="needs in_channels and num_classes"):
        SpikingResNet(SpikingResNetConfig(), rngs=nnx.Rngs(0))
