from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from snnjax.experiment import Group, OptimiserConfig, ScheduleConfig
from snnjax.models import e3dsnn_t
from snnjax.train import build_optimiser, build_schedule
from snnjax.train.optimisers import decay_mask, group_labels
from snnjax.train.schedules import momentum_schedule

RATES = [0.1, 0.05, 0.2, 0.1]
PARAMS = {
    "kernel": np.array([[0.5, -1.0], [2.0, 0.3]], np.float32),
    "scale": np.array([1.0, 2.0], np.float32),
}


def gradients(t: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(t)
    return {name: 3 * rng.standard_normal(p.shape).astype(np.float32) for name, p in PARAMS.items()}


def clipped(g: dict[str, np.ndarray], limit: float) -> dict[str, np.ndarray]:
    norm = np.sqrt(sum((v**2).sum() for v in g.values()))
    return {k: v * min(1.0, limit / norm) for k, v in g.items()} if limit else g


def numpy_sgd(config: OptimiserConfig) -> dict[str, np.ndarray]:
    """PyTorch's SGD: decay into the gradient, buf = m buf + g, Nesterov g + m buf."""
    params = {k: v.astype(np.float64) for k, v in PARAMS.items()}
    buffer = {k: np.zeros_like(v) for k, v in params.items()}
    for t, rate in enumerate(RATES):
        g = clipped(gradients(t), config.clip_norm)
        for k in params:
            decay = config.weight_decay if k == "kernel" else 0.0
            d = g[k] + decay * params[k]
            buffer[k] = config.momentum * buffer[k] + d
            params[k] -= rate * (d + config.momentum * buffer[k] if config.nesterov else buffer[k])
    return params


def numpy_adam(config: OptimiserConfig) -> dict[str, np.ndarray]:
    """Both: adamw decays beside the update, adam within the gradient, as PyTorch's do."""
    decoupled = config.name == "adamw"
    params = {k: v.astype(np.float64) for k, v in PARAMS.items()}
    m = {k: np.zeros_like(v) for k, v in params.items()}
    v = {k: np.zeros_like(p) for k, p in params.items()}
    for t, rate in enumerate(RATES, 1):
        g = clipped(gradients(t - 1), config.clip_norm)
        for k in params:
            decay = config.weight_decay * params[k] if k == "kernel" else 0.0
            d = g[k] if decoupled else g[k] + decay
            m[k] = config.momentum * m[k] + (1 - config.momentum) * d
            v[k] = 0.999 * v[k] + 0.001 * d**2
            mhat, vhat = m[k] / (1 - config.momentum**t), v[k] / (1 - 0.999**t)
            params[k] -= rate * (mhat / (np.sqrt(vhat) + 1e-8) + (decay if decoupled else 0))
    return params


@pytest.mark.parametrize(
    ("config", "reference"),
    [
        (OptimiserConfig("sgd", 0.1, 1e-2, 0.9, nesterov=True, clip_norm=0.0), numpy_sgd),
        (OptimiserConfig("sgd", 0.1, 1e-2, 0.9, nesterov=False, clip_norm=1.5), numpy_sgd),
        (OptimiserConfig("sgd", 0.1, 0.0, 0.0, clip_norm=0.0), numpy_sgd),
        (OptimiserConfig("adamw", 0.1, 0.1, 0.9, clip_norm=2.0), numpy_adam),
        (OptimiserConfig("adamw", 0.1, 0.0, 0.8, clip_norm=0.0), numpy_adam),
        (OptimiserConfig("adam", 0.1, 0.3, 0.9, clip_norm=2.0), numpy_adam),
    ],
)
def test_updates_are_those_of_a_numpy_loop(config: OptimiserConfig, reference) -> None:
    rates = jnp.array(RATES)
    optimiser = build_optimiser(config, lambda t: rates[t])
    params = jax.tree.map(jnp.asarray, PARAMS)
    state = optimiser.init(params)
    for t in range(len(RATES)):
        updates, state = optimiser.update(gradients(t), state, params)
        params = optax.apply_updates(params, updates)
    for name, want in reference(config).items():
        np.testing.assert_allclose(params[name], want, rtol=2e-5, atol=1e-5)  # pyright: ignore


def test_adam_on_one_cycle_is_that_of_pytorch() -> None:
    """Adam(weight_decay=0.1) under OneCycleLR(max_lr=5e-3, total_steps=5), torch 2.13."""
    schedule = ScheduleConfig("one_cycle", warmup=0.3, start=0.04, end=4e-6)
    config = OptimiserConfig("adam", 5e-3, 0.1, 0.9, momentum_swing=0.05, clip_norm=0.0)
    optimiser = build_optimiser(
        config,
        build_schedule(schedule, 5e-3, 5),
        momentum=momentum_schedule(schedule, 0.9, 0.05, 5, 1),
    )
    slopes = jnp.array(
        [[0.3, -1.0, 2.0], [1.0, 0.2, -0.4], [-0.6, 0.9, 0.1], [0.2, -0.3, 0.7], [1.5, 0.4, -0.8]]
    )

    @jax.jit
    def run(slopes: jax.Array) -> Any:
        def step(carry: Any, slope: jax.Array) -> Any:
            params, state = carry
            updates, state = optimiser.update({"kernel": slope[None]}, state, params)
            return (optax.apply_updates(params, updates), state), None

        params = {"kernel": jnp.array([[1.0, -2.0, 0.5]])}
        (params, _), _ = jax.lax.scan(step, (params, optimiser.init(params)), slopes)
        return params["kernel"]

    np.testing.assert_allclose(run(slopes), [[0.993946612, -1.999121666, 0.498600930]], rtol=2e-7)


def test_vectors_and_scalars_are_not_decayed() -> None:
    shapes = {"k1": (4, 8), "k3": (27, 4, 8), "bias": (8,), "beta": ()}
    mask = decay_mask({name: jnp.zeros(shape) for name, shape in shapes.items()})
    assert mask == {"k1": True, "k3": True, "bias": False, "beta": False}


def test_decay_touches_the_kernels_of_the_real_network_only() -> None:
    model = nnx.eval_shape(lambda: e3dsnn_t(3, 10, rngs=nnx.Rngs(0)))
    params = nnx.as_pure(nnx.split(model, nnx.Param, ...)[1])
    decayed, kept = set(), set()
    for path, leaf in jax.tree_util.tree_leaves_with_path(decay_mask(params)):
        (decayed if leaf else kept).add(jax.tree_util.keystr(path[-1:], simple=True))
    assert decayed == {"kernel", "weight"}
    assert kept == {"bias", "scale", "shift"}


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_decay_without_gradient_shrinks_kernels_and_nothing_else(name: Literal["adamw", "sgd"]):
    config = OptimiserConfig(name, 0.1, 0.5, 0.0, clip_norm=0.0)
    optimiser = build_optimiser(config, lambda _: jnp.float32(0.1))
    params = jax.tree.map(jnp.asarray, PARAMS)
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimiser.update(nothing, optimiser.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.1 * 0.5 * PARAMS["kernel"], rtol=1e-6)  # pyright: ignore
    np.testing.assert_array_equal(updates["scale"], np.zeros(2))  # pyright: ignore


def test_coupled_decay_is_scaled_by_momentum_and_decoupled_is_not() -> None:
    """Ten updates without gradient: sgd accumulates the decay, adamw takes w (1 - rate wd)^t."""
    final = {}
    names: tuple[Literal["sgd", "adamw"], ...] = ("sgd", "adamw")
    for name in names:
        optimiser = build_optimiser(
            OptimiserConfig(name, 0.1, 0.1, 0.9, clip_norm=0.0), lambda _: jnp.float32(0.1)
        )
        params = {"kernel": jnp.ones((1, 1))}
        state = optimiser.init(params)
        for _ in range(10):
            updates, state = optimiser.update({"kernel": jnp.zeros((1, 1))}, state, params)
            params = optax.apply_updates(params, updates)
        final[name] = float(params["kernel"][0, 0])  # pyright: ignore
    w, buffer = 1.0, 0.0
    for _ in range(10):
        buffer = 0.9 * buffer + 0.1 * w
        w -= 0.1 * buffer
    assert final["adamw"] == pytest.approx(0.99**10, rel=1e-5)
    assert final["sgd"] == pytest.approx(w, rel=1e-5)
    assert final["sgd"] < final["adamw"]


@pytest.mark.parametrize(("norm", "factor"), [(0.5, 1.0), (2.0, 1.0), (8.0, 0.25)])
def test_clipping_shortens_long_gradients_only(norm: float, factor: float) -> None:
    """The norm is that of all leaves together."""
    config = OptimiserConfig("sgd", 1.0, 0.0, 0.0, clip_norm=2.0)
    optimiser = build_optimiser(config, lambda _: jnp.float32(1.0))
    g = {"a": jnp.full((2, 2), norm * 0.3), "b": jnp.array([norm * 0.8])}  # 4 * 0.09 + 0.64 = 1
    updates, _ = optimiser.update(g, optimiser.init(g), g)
    for key, value in g.items():
        np.testing.assert_allclose(updates[key], -factor * value, rtol=1e-5)  # pyright: ignore


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("clip_norm", [0.0, 1.5])
def test_a_group_takes_its_own_rates_and_decay(
    name: Literal["adamw", "sgd"], clip_norm: float
) -> None:
    """As if both parts were trained apart, but for the norm that is clipped together."""
    base = OptimiserConfig(name, 0.1, weight_decay=0.2, clip_norm=clip_norm)
    config = dataclasses.replace(base, groups=(Group("ker", weight_decay=0.5), Group("kernel")))
    rates, own = jnp.array(RATES), 7 * jnp.array(RATES)[::-1]
    never = jnp.full(len(RATES), jnp.nan)  # of the second group: the first that matches counts
    together = build_optimiser(config, lambda t: rates[t], [lambda t: own[t], lambda t: never[t]])
    apart = {
        "scale": build_optimiser(dataclasses.replace(base, clip_norm=0.0), lambda t: rates[t]),
        "kernel": build_optimiser(
            dataclasses.replace(base, clip_norm=0.0, weight_decay=0.5), lambda t: own[t]
        ),
    }
    params: dict[str, Any] = {k: jnp.asarray(v) for k, v in PARAMS.items()}
    want = dict(params)
    state = together.init(params)
    states = {k: apart[k].init({k: want[k]}) for k in apart}
    for t in range(len(RATES)):
        g = gradients(t)
        updates, state = together.update(g, state, params)
        params = optax.apply_updates(params, updates)  # pyright: ignore
        g = clipped(g, clip_norm)
        for k in apart:
            update, states[k] = apart[k].update({k: g[k]}, states[k], {k: want[k]})
            want[k] = optax.apply_updates({k: want[k]}, update)[k]  # pyright: ignore
    for k in want:
        np.testing.assert_allclose(params[k], want[k], rtol=1e-5, atol=1e-6)


def test_a_pattern_that_is_found_nowhere_is_refused_with_the_paths() -> None:
    tree = {"layers": [{"delay": 1, "weight": 2}], "head": {"bias": 3}}
    labels = group_labels([r"/delay$", "layers/0"], tree)
    assert labels == {"layers": [{"delay": "0", "weight": "1"}], "head": {"bias": "rest"}}
    with pytest.raises(ValueError, match=r"no parameter has 'dleay'.*layers/0/delay"):
        group_labels(["dleay"], tree)
