"""The contract of every model. A new model adds one entry to `CASES`.

Each entry is built small and run as a few programs, since compiling is most of the time here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import PartitionSpec as P

from snnjax.metrics import ActivityTotals, count_parameters, layer_synops
from snnjax.models import (
    E3DSNN,
    AnchorMaps,
    CentreMaps,
    E3DSNNCentres,
    E3DSNNCentresConfig,
    E3DSNNConfig,
    E3DSNNDetector,
    E3DSNNDetectorConfig,
    E3DSNNSegmentation,
    E3DSNNSegmentationConfig,
    SNNDelays,
    SNNDelaysConfig,
    SpikingResNet,
    SpikingResNetConfig,
    SpikingVGG,
    SpikingVGGConfig,
    e3dsnn_kitti,
    e3dsnn_l_segmentation,
    e3dsnn_nuscenes,
    e3dsnn_t,
    snn_delays_shd,
)
from snnjax.nn import (
    ALIF,
    LI,
    BatchNorm,
    Module,
    Recurrent,
    Repeat,
    Sequential,
    SpikformerBlock,
    Stateful,
    compute_in,
    probe,
    spike_report,
)
from snnjax.sharding import parse_mesh
from snnjax.sparse import SparseTensor

T, B = 4, 6
HALF = T // 2


@dataclass(frozen=True)
class Case:
    """A model of the battery.

    Attributes:
      make: a small one. inputs: a sequence of T steps and B samples for it.
      weighted: the paths of its layers with matrices, in the order of the calls.
      join: from the results of two halves of a sequence to the result of the full one.
      published: a full-size one and its number of parameters, from its paper where there is one.
      remats: what can be computed again. still: parts of the paths of parameters that training
        need not move.
    """

    make: Callable[[nnx.Rngs], Module]
    inputs: Callable[[], Any]
    weighted: tuple[str, ...]
    join: Callable[[Any, Any], Any]
    published: tuple[Callable[[nnx.Rngs], nnx.Module], int]
    remats: tuple[str, ...] = ("products", "layers")
    still: tuple[str, ...] = ()


def frames(*places: int) -> jax.Array:
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.poisson(1.0, (T, B, *places)), jnp.float32)


def voxels(extent: tuple[int, int, int] = (4, 4, 4)) -> SparseTensor:
    """Occupied voxels of small grids, with features that change over time."""
    rng, rows = np.random.default_rng(0), 24
    n = rng.integers(8, rows + 1, B).astype(np.int32)
    feats, coords = np.zeros((T, B, rows, 3), np.float32), np.zeros((B, rows, 3), np.int32)
    for b, count in enumerate(n):
        keys = np.sort(rng.permutation(int(np.prod(extent)))[:count])
        coords[b, :count] = np.stack(np.unravel_index(keys, extent), -1)
        feats[:, b, :count] = rng.normal(0.5, 1, (T, count, 3))
    feats, coords, n, lost = map(jnp.asarray, (feats, coords, n, np.zeros(B, np.int32)))
    return SparseTensor(feats, coords, n, lost, extent)


def steps_of(x: Any, steps: slice) -> Any:
    return x.replace(feats=x.feats[steps]) if isinstance(x, SparseTensor) else x[steps]


def concatenated(first: Any, second: Any) -> Any:
    return jnp.concatenate([first, second])


def added(first: Any, second: Any) -> Any:
    return first + second


def averaged(first: Any, second: Any) -> Any:
    """The logits of halves of one length are means over time."""
    return first._replace(logits=(first.logits + second.logits) / 2)


def averaged_parts(first: Any, second: Any) -> Any:
    """Detectors average their predictions over time; places are those of the input."""
    half = jax.tree.map(lambda a, b: (a + b) / 2, first, second)
    fixed = {name: getattr(first, name) for name in ("cells", "valid", "overflow")
             if hasattr(first, name)}  # fmt: skip
    return half._replace(**fixed)


def mean_of(first: Any, second: Any) -> Any:
    return (first + second) / 2


def lively(tree: Any) -> Any:
    """Parameters and statistics as after training: no layer is silent, and none at rest."""
    rng = np.random.default_rng(1)

    def redraw(path: Any, leaf: jax.Array) -> jax.Array:
        name = str(getattr(path[-1], "key", path[-1]))
        if name in ("kernel", "weight"):
            return leaf / leaf.std() * 0.6
        low, high = {"scale": (0.7, 1.3), "var": (0.7, 1.3), "shift": (0.5, 1.1)}.get(name, (0, 0))
        return jnp.asarray(rng.uniform(low, high, leaf.shape), leaf.dtype) if high else leaf

    return jax.tree.map_with_path(redraw, tree)


def recurrent(rngs: nnx.Rngs) -> Module:
    cells = ALIF(6, tau=2.8, tau_a=9.5, beta=0.5, trainable=("tau", "beta"))
    back = nnx.Linear(6, 6, use_bias=False, rngs=rngs)
    return Sequential(
        nnx.Linear(4, 6, use_bias=False, rngs=rngs),
        BatchNorm(6),
        Recurrent(cells, back),
        nnx.Linear(6, 3, rngs=rngs),
        LI(3, tau=3.0, trainable=()),
    )


def delays(**options: Any) -> Case:
    config = SNNDelaysConfig(
        hidden=8, in_channels=4, num_classes=3, tau=2.0, dropout=0.0, max_delay=4, **options
    )
    return Case(
        lambda rngs: SNNDelays(config, rngs=rngs),
        partial(frames, 4),
        ("hidden.0.linear", "hidden.1.linear", "linear"),
        added,
        (lambda rngs: snn_delays_shd(rngs=rngs, delays=config.delays, per=config.per), {
            ("learned", "synapse"): 214_016,
            ("learned", "input"): 107_520 + 140 + 256 + 256,
        }.get((config.delays, config.per), 107_520)),
    )  # fmt: skip


SMALL: dict[str, Any] = {"widths": (4, 6), "depths": (1, 1), "steps": T}
CIFAR: dict[str, Any] = {"in_channels": 3, "num_classes": 10}
VGG = SpikingVGGConfig(in_channels=2, num_classes=3, **SMALL)
RESNET = SpikingResNetConfig(in_channels=2, num_classes=3, shortcut="membranes", **SMALL)

BRANCHES = ("first", "second", "third")
PRODUCTS = ("qkv.dense", "product.scores", "product.values", "out.dense")

CASES = {
    "e3dsnn": Case(
        lambda rngs: E3DSNN(E3DSNNConfig(4, (6,), in_channels=3, num_classes=3), rngs=rngs),
        voxels,
        (
            "stem.conv",
            "stem.second.conv",
            "stem.third.conv",
            "stages.0.down.conv",
            *(f"stages.0.blocks.0.{branch}.conv" for branch in BRANCHES),
            "head",
        ),
        averaged,
        (lambda rngs: e3dsnn_t(rngs=rngs), 1_874_216),
        remats=("layers",),
    ),
    "e3dsnn segmentation": Case(
        lambda rngs: E3DSNNSegmentation(
            E3DSNNSegmentationConfig(4, (6,), decoder=(5,), in_channels=3, num_classes=3), rngs=rngs
        ),
        voxels,
        (
            "stem.conv",
            "stem.second.conv",
            "stem.third.conv",
            "stages.0.down.conv",
            *(f"stages.0.blocks.0.{branch}.conv" for branch in BRANCHES),
            "decoder.0.conv",
            "decoder.0.first.linear",
            "decoder.0.second.linear",
            "final",
        ),
        averaged,
        (lambda rngs: e3dsnn_l_segmentation(rngs=rngs), 20_049_683),
        remats=("layers",),
    ),
    "e3dsnn anchors": Case(
        lambda rngs: E3DSNNDetector(
            E3DSNNDetectorConfig(
                4,
                (6,),
                1,
                in_channels=3,
                num_classes=1,
                column=4,
                planes=1,
                bev_channels=(4, 5),
                bev_depth=1,
                bev_up=3,
            ),
            rngs=rngs,
        ),
        partial(voxels, (6, 4, 4)),
        (
            "stem.conv",
            "stem.second.conv",
            "stem.third.conv",
            "first.conv",
            "levels.0.down.conv",
            *(f"levels.0.blocks.0.{branch}.conv" for branch in BRANCHES),
            "column.conv",
            "bev.stages.0.branches.0.conv",
            "bev.stages.0.branches.1.conv",
            "bev.ups.0.conv",
            "bev.stages.1.branches.0.conv",
            "bev.stages.1.branches.1.conv",
            "bev.ups.1.conv",
            "head.scores",
            "head.boxes",
            "head.directions",
        ),
        averaged_parts,
        (lambda rngs: e3dsnn_kitti(rngs=rngs), 2_946_836),
        remats=("layers",),
    ),
    "e3dsnn centres": Case(
        lambda rngs: E3DSNNCentres(
            E3DSNNCentresConfig(
                4, (6, 6), 1, in_channels=3, num_classes=1, joined=2, heads=(1,), velocity=False
            ),
            rngs=rngs,
        ),
        voxels,
        (
            "conv",
            *(f"blocks.0.{branch}.conv" for branch in BRANCHES[:2]),
            *(
                f"levels.{i}.{part}.conv"
                for i in range(2)
                for part in ("down", "blocks.0.first", "blocks.0.second")
            ),
            "spread.conv",
            "shared.conv",
            *(f"heads.0.codes.{i}.{part}" for i in range(4) for part in ("hidden", "last")),
            "heads.0.heat.hidden",
            "heads.0.heat.last",
        ),
        averaged_parts,
        (lambda rngs: e3dsnn_nuscenes(rngs=rngs), 7_981_398),
        remats=("layers",),
    ),
    "snn_delays": delays(),
    "snn_delays fixed": delays(delays="fixed"),
    "snn_delays none": delays(delays="none"),
    "snn_delays axonal": delays(per="input"),
    "spiking VGG": Case(
        lambda rngs: SpikingVGG(VGG, rngs=rngs),
        partial(frames, 4, 4, 2),
        ("units.0.layer", "units.1.layer", "scores.head"),
        mean_of,
        (lambda rngs: SpikingVGG(SpikingVGGConfig.vgg16(**CIFAR), rngs=rngs), 14_724_042),
        remats=("layers",),
    ),
    "spiking ResNet": Case(
        lambda rngs: SpikingResNet(RESNET, rngs=rngs),
        partial(frames, 4, 4, 2),
        (
            "stem.layer",
            "blocks.0.first.layer",
            "blocks.0.second.layer",
            "blocks.1.first.layer",
            "blocks.1.second.layer",
            "blocks.1.down.layer",
            "scores.head",
        ),
        mean_of,
        (lambda rngs: SpikingResNet(SpikingResNetConfig.resnet18(**CIFAR), rngs=rngs), 11_173_962),
        remats=("layers",),
    ),
    "recurrent ALIF": Case(
        recurrent,
        partial(frames, 4),
        ("layers.0", "layers.2.connection", "layers.3"),
        concatenated,
        (recurrent, 4 * 6 + 2 * 6 + 6 * 6 + 2 * 6 + 6 * 3 + 3),
        remats=(),
    ),
    "Spikformer blocks": Case(
        lambda rngs: Repeat(
            lambda rngs: SpikformerBlock(8, 2, scale=0.5, rngs=rngs),
            2,
            rngs=rngs,
        ),
        partial(frames, 3, 8),
        tuple(
            f"{block}.{layer}"
            for block in (0, 1)
            for layer in (
                *(f"attention.{part}" for part in PRODUCTS),
                "mlp.first.dense",
                "mlp.second.dense",
            )
        ),
        concatenated,
        (
            lambda rngs: Repeat(lambda rngs: SpikformerBlock(384, 12, rngs=rngs), 4, rngs=rngs),
            4 * (12 * 384**2 + 24 * 384),
        ),
        still=("bias",),  # the norm of a batch undoes them
    ),
}


def result(out: Any) -> jax.Array:
    """The scores of a model; all predictions of a detector side by side, [B, ...]."""
    if isinstance(out, AnchorMaps):
        return jnp.concatenate(out[:3], axis=-1)
    if isinstance(out, CentreMaps):
        return jnp.concatenate((*out.heat, *out.codes), axis=-1)
    return out.logits if hasattr(out, "logits") else out


class Built:
    """A model of the battery and its results, each made once."""

    def __init__(self, case: Case):
        self.case, self.x = case, case.inputs()
        self.graphdef, params, rest = nnx.split(case.make(nnx.Rngs(0)), nnx.Param, ...)
        self.params, self.rest = lively(nnx.as_pure(params)), lively(nnx.as_pure(rest))

    def model(self, params: Any = None, rest: Any = None) -> Module:
        params = self.params if params is None else params
        return nnx.merge(self.graphdef, params, self.rest if rest is None else rest)

    def loss(self, params: Any, rest: Any, x: Any, weight: Any, **options: Any) -> Any:
        """A sum over samples, and what training leaves behind."""
        model = self.model(params, rest)
        state, out = model(None, x, train=True, **options)
        out = result(out)
        batch = (1, -1, *(1,) * (out.ndim - 2)) if len(out) == T else (-1, *(1,) * (out.ndim - 1))
        value = (out**2 * weight.reshape(batch)).sum() + jnp.sin(out).sum()
        return value, (state, nnx.as_pure(nnx.split(model, nnx.Param, ...)[2]))

    @cached_property
    def spiking(self) -> list[str]:
        return [row.name for row in self.report]

    @cached_property
    def report(self) -> Any:
        return spike_report(self.model(), None, self.x)

    @cached_property
    def evaluated(self) -> Any:
        """The full sequence with record and probe, its halves, and the full one in bfloat16."""
        spiking = self.spiking

        @jax.jit
        def run(params: Any, rest: Any, x: Any) -> Any:
            model = self.model(params, rest)
            full = model(None, x, record=True)
            half, first = model(None, steps_of(x, slice(HALF)))
            last, second = model(half, steps_of(x, slice(HALF, None)))
            seen = probe(model, spiking)(None, x)
            narrow = self.model(params, rest)
            compute_in(narrow, jnp.bfloat16)
            return full, (last, first, second), seen, narrow(None, x)[1]

        return run(self.params, self.rest, self.x)

    @cached_property
    def trained(self) -> Any:
        """((loss, (state, statistics)), gradients) by what is computed again.

        In float64: one spike that flips would move everything behind it.
        """

        @jax.jit
        def run(*args: Any) -> Any:
            gradient = jax.value_and_grad(self.loss, has_aux=True)
            return {remat: gradient(*args, remat=remat) for remat in ("none", *self.case.remats)}

        with jax.enable_x64(True):
            return run(*self.wide)

    @property
    def wide(self) -> Any:
        """The arguments of `loss` in float64."""
        args = self.params, self.rest, self.x, jnp.arange(1.0, B + 1)
        return jax.tree.map(_wide, args)


@pytest.fixture(scope="module", params=CASES)
def built(request: pytest.FixtureRequest) -> Built:
    return Built(CASES[request.param])


def close(got: Any, want: Any, tolerance: float = 1e-5) -> None:
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), got, want
    )


def test_published_parameters(built: Built) -> None:
    make, count = built.case.published
    assert count_parameters(nnx.eval_shape(lambda: make(nnx.Rngs(0)))) == count


def test_states_are_those_of_the_layers_with_the_batch_first(built: Built) -> None:
    """One for each layer with a state, of one structure from the resting one on."""
    (state, _), (last, *_), _, _ = built.evaluated
    rest = built.model().init_state(built.x)
    shapes = [jax.tree.map(lambda a: (a.shape, a.dtype), tree) for tree in (state, last, rest)]
    assert shapes[0] == shapes[1] == shapes[2]
    assert all(leaf.shape[0] == B for leaf in jax.tree.leaves(state))
    stateful = {
        ".".join(str(part) for part in path if part != "block")
        for path, module in nnx.iter_modules(built.model())
        if isinstance(module, Stateful) and not {"population", "synapses"} & set(path)
    }
    assert {path for path, leaf in state.items() if jax.tree.leaves(leaf)} == stateful


def test_two_halves_equal_the_full_sequence(built: Built) -> None:
    (state, (out, _)), (last, first, second), _, _ = built.evaluated
    close(built.case.join(first, second), out)
    close(last, state)
    assert float(jnp.abs(result(first) - result(second)).max()) > 1e-3  # time matters


def test_compiled_equals_eager(built: Built) -> None:
    (state, (out, _)), *_ = built.evaluated
    close(built.model()(None, built.x), (state, out))


def test_every_weighted_layer_is_counted(built: Built) -> None:
    (_, (_, activity)), *_ = built.evaluated
    rows = layer_synops(ActivityTotals().add(activity))
    assert tuple(row.name for row in rows) == built.case.weighted
    assert all(row.macs + row.acs > 0 for row in rows)
    assert all(row.dense_macs > 0 for row in rows)


def test_probes_and_reports_see_every_population(built: Built) -> None:
    (state, (out, _)), _, ((probed, again), seen), _ = built.evaluated
    close((probed, again), (state, out))
    assert set(seen) == set(built.spiking)
    for row in built.report:
        assert row.alarm != "silent", row.name  # a silent layer would check nothing
        after, spikes = seen[row.name]
        spikes = spikes.feats if isinstance(spikes, SparseTensor) else spikes
        assert len(spikes) == T
        if row.name in state:
            close(after, state[row.name])


def test_products_in_bfloat16_are_near(built: Built) -> None:
    """Spikes flip where a membrane is near its threshold; overall the results agree."""
    (_, (out, _)), _, _, narrow = built.evaluated
    out, narrow = np.asarray(result(out)), np.asarray(result(narrow))
    assert np.isfinite(narrow).all()
    assert narrow.dtype == np.float32
    assert (out != narrow).any()
    assert np.abs(out - narrow).mean() < 0.1 * np.abs(out).mean() + 0.05 * out.std()


def test_gradients_are_finite_and_a_step_moves_every_parameter(built: Built) -> None:
    (_, (_, rest)), gradient = built.trained["none"]
    rule, params = optax.sgd(0.1), built.wide[0]
    with jax.enable_x64(True):
        after = optax.apply_updates(params, rule.update(gradient, rule.init(params))[0])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(rest))
    for (path, new), old in zip(
        jax.tree.leaves_with_path(after), jax.tree.leaves(params), strict=True
    ):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(new).all(), name
        still = any(part in name for part in built.case.still)
        assert (np.asarray(new) != old).any() or still, name


def test_remat_changes_nothing(built: Built) -> None:
    """Values, states, statistics and gradients, up to rounding."""
    if not built.case.remats:
        with pytest.raises(ValueError, match="no module with rematerialised = True"):
            built.model()(None, built.x, train=True, remat="layers")
        return
    for remat in built.case.remats:
        close(built.trained[remat], built.trained["none"], 1e-8)
    program = jax.make_jaxpr(partial(built.loss, remat="layers"))
    assert "remat" in str(program(built.params, built.rest, built.x, jnp.ones(B)))


def test_two_devices_equal_one(built: Built) -> None:
    """Loss, gradients, states and the statistics of the norms."""

    def device(*args: Any) -> Any:
        gradient = jax.value_and_grad(partial(built.loss, axis_name="data"), has_aux=True)
        (value, (state, rest)), grads = gradient(*args)
        return *jax.lax.psum((value, grads), "data"), state, rest

    with jax.enable_x64(True):
        specs = jax.tree.map(_over_samples, built.wide[2])
        sharded = jax.shard_map(
            device,
            mesh=parse_mesh("data=2"),
            in_specs=(P(), P(), specs, P("data")),
            out_specs=(P(), P(), P("data"), P()),
            check_vma=False,
        )
        got = jax.jit(sharded)(*built.wide)
    (value, (state, rest)), grads = built.trained["none"]
    close(got, (value, grads, state, rest), 1e-9)


def _wide(leaf: Any) -> np.ndarray:
    leaf = np.asarray(leaf)
    return leaf.astype(np.float64) if np.issubdtype(leaf.dtype, np.floating) else leaf


def _over_samples(leaf: Any) -> P:
    """Samples are the first axis, or the second behind time."""
    return P("data") if leaf.shape[0] == B else P(None, "data")
