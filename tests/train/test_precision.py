"""Products in bfloat16: what is narrow, what is not, and that it learns as well."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from snnjax.data import DataInfo
from snnjax.data.clouds import CloudSource, to_voxels
from snnjax.data.speech import SpeechSource
from snnjax.data.speech.source import Silence
from snnjax.experiment import Experiment, OptimiserConfig, differences
from snnjax.models import E3DSNN, E3DSNNConfig, SNNDelaysConfig
from snnjax.nn import (
    Conv,
    DelayedLinear,
    EventLinear,
    NarrowProducts,
    Repeat,
    Sequential,
    SpikformerBlock,
    compute_in,
)
from snnjax.runs import load, train
from snnjax.sharding import parse_mesh
from snnjax.sparse import Capacities, narrow_product, sparse_conv, submanifold_map
from snnjax.train import shard, train_step
from tests.train.build import Made, any_experiment, build_spec, cloud_batch, frame_batch, info_of

QUICK = {"xla_backend_optimization_level": 0}
B, T = 8, 12
NARROW = jnp.bfloat16


def small(*, rngs: nnx.Rngs, **options: Any) -> E3DSNN:
    return E3DSNN(E3DSNNConfig(stem=8, channels=(16,), depth=1, **options), rngs=rngs)


def subject(kind: str) -> tuple[Experiment, DataInfo, dict[str, Any], Any]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 8, B).astype(np.int32)
    weight = np.ones(B, np.float32)
    if kind == "sequences":
        frames = 3.0 * rng.poisson(0.7, (B, T, 6)).astype(np.float32)
        count = rng.integers(8, T + 1, B).astype(np.int32)
        data: Any = SpeechSource(steps=T)
        model: Any = SNNDelaysConfig(hidden=16, delays="learned", max_delay=4, dropout=0.0)
        batch, shape = frame_batch(frames, count, label, weight), Silence(6)
    else:
        points = rng.uniform(-1, 1, (B, 64, 3)).astype(np.float32)
        count = rng.integers(20, 65, B).astype(np.int32)
        data, model = CloudSource(points=64, extent=16), Made(small)
        batch = cloud_batch(points, count, label, weight)
        shape = Capacities((64, 64), ("table", "pairs"))
    info = info_of(8, 6 if kind == "sequences" else 3)
    rule = OptimiserConfig("sgd", 0.1)
    experiment = Experiment(data=data, model=model, optimiser=rule, batch_size=B, epochs=10)
    return experiment, info, batch, shape


def first_step(kind: str, precision: Any) -> tuple[Any, str, Any]:
    """A function that makes one update, its lowered text and its jaxpr."""
    experiment, info, batch, shape = subject(kind)
    mesh = parse_mesh("data=1")
    experiment = dataclasses.replace(experiment, precision=precision)
    spec, state = build_spec(experiment, info, mesh)
    on_mesh = shard(batch, mesh)
    traced = train_step(spec, shape).trace(state, on_mesh)
    lowered = traced.lower()

    def run() -> tuple[Any, Any]:
        return lowered.compile(compiler_options=QUICK)(state, on_mesh)

    return run, lowered.as_text(), traced.jaxpr


def equations(jaxpr: Any) -> Iterator[Any]:
    """Those of a jaxpr and of all inside of it."""
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from equations(inner)


def dtypes(equation: Any) -> set[str]:
    variables = (*equation.invars, *equation.outvars)
    return {str(getattr(v.aval, "dtype", "")) for v in variables if hasattr(v, "aval")}


PRODUCTS = {"dot_general", "conv_general_dilated"}
MOVES = {
    *("convert_element_type", "slice", "squeeze", "gather", "dynamic_slice", "reshape"),
    *("transpose", "rev", "concatenate", "pad", "while", "jit", "pjit", "custom_vjp_call"),
}


@pytest.mark.parametrize("kind", ["sequences", "clouds"])
def test_products_are_narrow_and_nothing_else_is(kind: str) -> None:
    """No sum, comparison, exponential or loop through time touches a bfloat16.

    Products that count, such as prefix sums of integers, ask for the highest precision.
    """
    _, text, jaxpr = first_step(kind, "bfloat16")
    found = list(equations(jaxpr))
    highest = jax.lax.Precision.HIGHEST
    products = [
        one
        for one in found
        if one.primitive.name in PRODUCTS and one.params["precision"] != (highest, highest)
    ]
    assert len(products) >= 8
    for one in products:
        assert {str(v.aval.dtype) for v in one.invars} == {"bfloat16"}
    touched = {one.primitive.name for one in found if "bfloat16" in dtypes(one)}
    assert touched <= PRODUCTS | MOVES
    lines = [
        line
        for line in text.splitlines()
        if ("dot_general" in line or "convolution(" in line) and "HIGHEST" not in line
    ]
    assert len(lines) >= 8
    assert all("bf16" in line.split(": (")[1] for line in lines)


def test_state_and_first_loss_are_as_in_float32() -> None:
    """Weights, moments, statistics and running averages are float32; the loss is near."""
    found = {}
    for precision in ("float32", "bfloat16"):
        run, text, _ = first_step("sequences", precision)
        found[precision] = run()
        assert ("bf16" in text) == (precision == "bfloat16")
    wide, narrow = found.values()
    assert jax.tree.map(lambda a: a.dtype, narrow[0]) == jax.tree.map(lambda a: a.dtype, wide[0])
    assert float(narrow[1].loss) == pytest.approx(float(wide[1].loss), rel=0.02)
    assert float(narrow[1].loss) != float(wide[1].loss)
    norms = [float(one[1].gradient_norm) for one in (narrow, wide)]
    assert norms[0] == pytest.approx(norms[1], rel=0.1)


def test_gradients_are_those_of_rounded_operands() -> None:
    """Against NumPy, whose products of rounded numbers are exact in float64; both modes."""
    rng = np.random.default_rng(0)
    x, w, g = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((5, 4), (4, 3), (5, 3)))
    narrow = lambda a: np.float64(a.astype(NARROW))  # noqa: E731

    def product(x: Any, w: Any) -> Any:
        return narrow_product(jnp.matmul, x, w, NARROW)

    y, back = jax.vjp(product, x, w)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, narrow(x) @ narrow(w), rtol=1e-6, atol=1e-6)
    dx, dw = back(g)
    assert dx.dtype == dw.dtype == jnp.float32
    np.testing.assert_allclose(dx, narrow(g) @ narrow(w).T, rtol=2**-8, atol=2**-8)
    np.testing.assert_allclose(dw, narrow(x).T @ narrow(g), rtol=2**-8, atol=2**-8)
    _, forward = jax.jvp(product, (x, w), (x, jnp.zeros_like(w)))
    np.testing.assert_allclose(forward, narrow(x) @ narrow(w), rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("arithmetic", ["table", "pairs"])
def test_counts_are_exact_and_weight_gradients_are_not_rounded(arithmetic: str) -> None:
    """Integer spikes through weights that bfloat16 holds give what float32 gives, to the bit."""
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.uniform(-1, 1, (2, 40, 3)), jnp.float32)
    x = to_voxels(points, jnp.array([40, 31]), 8, Capacities((40,)))
    spikes = jnp.where(x.valid[..., None], jnp.asarray(rng.integers(0, 5, (2, 40, 3))), 0)
    x = x.replace(feats=spikes.astype(jnp.float32))
    weight = jnp.asarray(rng.integers(-100, 100, (27, 3, 4)) / 64, jnp.float32)
    kmap = submanifold_map(x, 3, arithmetic=arithmetic)

    def run(weight: Any, dtype: Any) -> Any:
        return sparse_conv(x, weight, kmap, product_dtype=dtype).feats

    wide, narrow = (jax.vjp(lambda w, d=d: run(w, d), weight) for d in (None, NARROW))
    np.testing.assert_array_equal(narrow[0], wide[0])
    assert narrow[0].dtype == jnp.float32
    counts = jnp.asarray(rng.integers(-99, 100, wide[0].shape), jnp.float32)  # exact in bfloat16
    (got,), (want,) = narrow[1](counts), wide[1](counts)
    np.testing.assert_array_equal(got, want)  # beyond 256: not rounded to 8 bits
    assert np.abs(want).max() > 256


class Several(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.conv = Conv(1, 2, 3, rngs=rngs)
        self.flax = nnx.Conv(2, 2, (3, 3), rngs=rngs)
        self.axons = DelayedLinear(8, 4, 2, per="input", rngs=rngs)
        self.dendrites = DelayedLinear(4, 3, 2, per="output", rngs=rngs)

    def __call__(self, x: Any) -> Any:
        h = self.flax(self.conv(x)).mean((2, 4))
        return self.dendrites(None, self.axons(None, h)[1])[1]


def test_all_kinds_of_layers_take_it() -> None:
    model = Several(nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (4, 2, 8, 8, 1))
    want = model(x)
    compute_in(model, NARROW)
    graphdef, params = nnx.split(model)
    jaxpr = jax.make_jaxpr(jax.grad(lambda p: nnx.merge(graphdef, p)(x).sum()))(params)
    products = [one for one in equations(jaxpr) if one.primitive.name in PRODUCTS]
    assert len(products) >= 11
    for one in products:
        assert {str(v.aval.dtype) for v in one.invars} == {"bfloat16"}
    np.testing.assert_allclose(model(x), want, rtol=0.05, atol=0.02)
    assert not np.array_equal(model(x), want)


class OwnProduct(nnx.Module):
    """A product of a user."""

    def __init__(self) -> None:
        self.a = nnx.Param(jnp.full((4, 2), 1.001))

    def __call__(self, x: Any) -> Any:
        return x @ self.a[...]


class Declared(NarrowProducts, OwnProduct):
    def __call__(self, x: Any) -> Any:
        return narrow_product(jnp.matmul, x, self.a[...], self.product_dtype)


def test_products_of_a_user_are_narrow_or_reported() -> None:
    x = jnp.ones((1, 4))
    model = Sequential(nnx.Linear(4, 4, rngs=nnx.Rngs(0)), OwnProduct())
    with pytest.warns(UserWarning, match=r"in bfloat16: 'layers\.1', a OwnProduct\. Derive"):
        compute_in(model, NARROW)
    layer = Declared()
    compute_in(layer, NARROW)
    assert OwnProduct()(x)[0, 0] != layer(x)[0, 0] == 4.0
    stacked = Repeat(lambda rngs: SpikformerBlock(8, 2, rngs=rngs), 2, rngs=nnx.Rngs(0))
    compute_in(stacked, NARROW)  # the scales of its norms are no matrices: no warning
    assert jax.eval_shape(stacked, None, jnp.ones((2, 1, 3, 8)))[1].shape == (2, 1, 3, 8)


def test_models_without_such_products_are_refused() -> None:
    with pytest.raises(ValueError, match="has no layer whose products"):
        compute_in(nnx.BatchNorm(3, rngs=nnx.Rngs(0)), NARROW)
    with pytest.raises(ValueError, match="is an EventLinear, which sums weights"):
        compute_in(EventLinear(3, 3, rngs=nnx.Rngs(0)), NARROW)
    with pytest.raises(ValueError, match="precision must be float32 or bfloat16; got 'float16'"):
        any_experiment(precision="float16")  # pyright: ignore


def test_precision_is_what_is_computed() -> None:
    assert differences(any_experiment(), any_experiment(precision="bfloat16")) == (
        "precision: the run has 'float32', now 'bfloat16'",
    )


def accuracy(root: Path, precision: Any, seed: int) -> float:
    """Of 300 unseen shapes after two epochs of a small grid."""
    from experiments.configs.e3dsnn.e3dsnn_t_shapes3d import experiment as published

    data = dataclasses.replace(
        published.data, points=512, extent=32, train_size=1500, test_size=300
    )
    experiment = dataclasses.replace(
        published,
        data=data,
        epochs=3,
        precision=precision,
        seed=seed,
        run_root=str(root),
        mesh="data=1",
    )
    summary = train(experiment, progress=False)
    _, model = load(summary["run_folder"])
    assert model.stem.first.conv.product_dtype == (NARROW if precision == "bfloat16" else None)
    return summary["test_accuracy"]


@pytest.mark.slow
def test_it_learns_as_well(tmp_path: Path) -> None:
    """Three seeds of either: the means differ by less than what seeds do."""
    found: dict[str, np.ndarray] = {}
    for precision in ("float32", "bfloat16"):
        found[precision] = np.array(
            [accuracy(tmp_path / precision, precision, s) for s in range(3)]
        )
    spread = np.std([found["float32"], found["bfloat16"]], axis=1, ddof=1).max()
    assert found["bfloat16"].mean() > found["float32"].mean() - 2 * spread - 0.01, found
