"""The benchmarks run at tiny sizes, and their records are complete."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import json
import os
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.bench import (
    chart,
    conv_net,
    cost,
    delays,
    dense,
    depth,
    dispatch,
    events,
    extents,
    lidar_net,
    lidar_nets,
    lif_layer,
    lif_net,
    long_time,
    sparse_conv,
    train_step,
)
from experiments.bench.__main__ import main
from experiments.bench.measure import Case, interleave, measure
from experiments.bench.options import JAX_LIBRARIES, Options
from experiments.bench.peer import Peer, PeerError
from experiments.bench.results import write_results
from experiments.bench.scene import (
    Reference,
    error,
    kernel,
    random_cells,
    room,
    room_side,
    to_tensor,
)
from snnjax.nn import SpikingDense
from tests.train.tiny import TinyConfig

KEYS = {"row", "library", "version", "median_ms", "min_ms", "max_ms", "shapes", "device"}
TINY = {"voxels": 500, "channels": (8,), "repeats": 2, "dense_extent": 6}

ENGINE = """
import numpy as np

class Engine:
    library, version, thread_safe = "loop", "1", True

    def load(self, coords, feats, weight, extent):
        rows = {tuple(site): row for row, site in enumerate(coords.tolist())}
        self.out = np.zeros((len(coords), weight.shape[2]), np.float32)
        for (b, z, y, x), row in rows.items():
            for k in range(27):
                place = b, z + k // 9 - 1, y + k // 3 % 3 - 1, x + k % 3 - 1
                if place in rows:
                    self.out[row] += feats[rows[place]] @ weight[k]

    def run(self, what):
        print("noise that is no answer")
        if what == "nonsense":
            raise ValueError("no such work")
        return self.out
"""


NEURONS = """
import numpy as np

class Engine:
    library, version, thread_safe = "loop", "1", True

    def load(self, kind, decay, x, **arrays):
        self.kind, self.decay, self.arrays = kind, decay, arrays
        self.x = x.astype(np.float64) if kind == "conv-net" else x

    def fire(self, currents):
        v, out = np.zeros_like(currents[0]), []
        for current in currents:
            v = currents.dtype.type(self.decay) * v + current
            z = (v >= 1).astype(v.dtype)
            v = v - z
            out.append(z)
        return np.stack(out)

    def block(self, h, weight):
        side = h.shape[2]
        padded = np.pad(h, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
        taps = [(i, j) for i in range(3) for j in range(3)]
        h = sum(padded[:, :, i : i + side, j : j + side] @ weight[i, j] for i, j in taps)
        axes = (0, 1, 2, 3)
        h = self.fire((h - h.mean(axes)) / np.sqrt(h.var(axes) + 1e-5))
        even = side // 2 * 2
        corners = [h[:, :, i:even:2, j:even:2] for i in (0, 1) for j in (0, 1)]
        return np.max(corners, axis=0)

    def convolve(self):
        h = self.x
        for name in sorted(n for n in self.arrays if n.startswith("c")):
            h = self.block(h, self.arrays[name])
        return h.reshape(*h.shape[:2], -1) @ self.arrays["head"]

    def run(self, what):
        if self.kind == "layer":
            return self.fire(self.x)
        h = self.x if self.kind == "net" else self.convolve()
        for name in sorted(n for n in self.arrays if n.startswith("w")):
            h = self.fire(h @ self.arrays[name])
        logits = h.mean(0)
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        label = self.arrays["label"]
        return -np.log(shares[np.arange(len(label)), label]).mean()[None]
"""


@pytest.fixture
def neurons(tmp_path):
    """A peer whose neurons are a loop in NumPy."""
    (tmp_path / "neurons_engine.py").write_text(NEURONS)
    with Peer(
        sys.executable, engine="neurons_engine", environment={"PYTHONPATH": str(tmp_path)}
    ) as peer:
        yield peer


DELAYS = """
import numpy as np

class Engine:
    library, version, thread_safe = "loop", "1", True

    def load(self, sigma, size, x, weight, delay, upstream):
        lag = np.arange(size)[:, None, None]
        taps = np.exp(-0.5 * ((lag - delay) / (sigma + 0.27)) ** 2)
        kernel = weight * taps / (taps.sum(0) + 1e-7)
        padded = np.concatenate([np.zeros((size - 1, *x.shape[1:])), x])
        self.out = sum(padded[size - 1 - j :][: len(x)] @ kernel[j] for j in range(size))

    def run(self, what):
        return self.out
"""


@pytest.fixture
def delayed(tmp_path):
    """A peer that is a loop over the taps."""
    (tmp_path / "delays_engine.py").write_text(DELAYS)
    with Peer(
        sys.executable, engine="delays_engine", environment={"PYTHONPATH": str(tmp_path)}
    ) as peer:
        yield peer


@pytest.fixture
def fake(tmp_path):
    """A peer that is a loop over a dictionary, in an interpreter of its own."""
    (tmp_path / "loop_engine.py").write_text(ENGINE)
    with Peer(
        sys.executable, engine="loop_engine", environment={"PYTHONPATH": str(tmp_path)}
    ) as peer:
        yield peer


def check(records, row):
    """All keys, plain JSON, ordered times, positive ratios."""
    assert records
    for record in records:
        assert set(record) >= KEYS
        assert record["row"] == row
        assert json.loads(json.dumps(record, allow_nan=False)) == record
        assert 0 < record["min_ms"] <= record["median_ms"] <= record["max_ms"]
        assert record.get("ratio", 1) > 0
        assert record.get("correct", True) is True


def test_sparse_conv_against_a_peer(fake):
    records = list(sparse_conv.run(Options(**TINY, all_arithmetics=True), [fake]))
    check(records, "sparse-conv")
    ours = {r["what"]: r for r in records if r["library"] == "snnjax (pairs)"}
    assert set(ours) == {*sparse_conv.WORK, "forward and backward"}
    assert ours["forward"]["ratio_to"] == "loop: forward"
    assert ours["forward and backward"]["ratio_to"] == "snnjax (pairs): forward"
    assert all(r["correct"] and r["temp_bytes"] >= 0 and r["compile_s"] > 0 for r in ours.values())
    assert {r["library"] for r in records} == {"loop", "snnjax (pairs)", "snnjax (table)", "jax"}
    assert records[0]["shapes"]["neighbours_of_27"] == pytest.approx(5.2, abs=0.5)


def test_neurons_against_a_peer(neurons):
    options = Options(repeats=1, steps=9)
    records = list(lif_layer.run(options, [neurons]))
    check(records, "lif-layer")
    assert [r["same_spikes"] for r in records if "same_spikes" in r] == [1.0] * 6
    assert 0 < next(r["rate"] for r in records if r["library"] == "snnjax") < 1
    records = list(lif_net.run(options, [neurons]))
    check(records, "lif-net")
    check_losses(records)
    assert {r.get("devices") for r in records} == {None, 1, 8}


def check_losses(records):
    """All start at the peer's loss."""
    losses = {r["library"]: r["first_loss"] for r in records if "first_loss" in r}
    assert len(losses) == 3
    assert list(losses.values()) == pytest.approx([losses["loop"]] * len(losses), rel=1e-5)
    assert all(r["ratio_to"] == "loop: training step" for r in records[1:])


def test_convolutional_net_against_a_peer(neurons, monkeypatch):
    for name, value in {"SIDE": 9, "CHANNELS": (2, 3, 4), "B": 4}.items():
        monkeypatch.setattr(conv_net, name, value)
    assert conv_net.device_counts() == [1, 4]
    monkeypatch.setattr(conv_net, "device_counts", lambda: [2])
    records = list(conv_net.run(Options(repeats=1, steps=4), [neurons]))
    check(records, "conv-net")
    check_losses(records)
    assert {r.get("devices") for r in records} == {None, 2}


@pytest.mark.parametrize("name", ["spikingjelly", "snntorch", "norse", "spyx", "jaxpike"])
def test_libraries(name):
    variable = "SNNJAX_JAX_SNN_PYTHON" if name in JAX_LIBRARIES else "SNNJAX_SNN_PYTHON"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"set {variable} to an interpreter that has {name}")
    with Peer(python, engine=f"experiments.bench.{name}_engine") as peer:
        ours = name in ("spikingjelly", "jaxpike")  # the others have another reset or another order
        records = list(lif_layer.run(Options(repeats=1, steps=9), [peer]))
        assert (records[0]["same_spikes"] > 0.9999) == ours
        records = list(lif_net.run(Options(repeats=1, steps=9), [peer]))
        losses = [r["first_loss"] for r in records if "first_loss" in r]
        assert (losses[0] == pytest.approx(losses[1], rel=1e-4)) == ours


JAX_ENGINE = """
import jax
from experiments.bench.jax_engine import JaxEngine

class Engine(JaxEngine):
    library = "numpy"

    @staticmethod
    def scale(decay):
        return 1 / (1 - decay)

    def model(self, decay, weights, width):
        def run(weights, x):
            def step(v, current):
                v = decay * v + (1 - decay) * current
                z = (v >= 1).astype(v.dtype)
                return v - z, z

            for weight in weights or [None]:
                h = x if weight is None else x @ weight * self.scale(decay)
                x = jax.lax.scan(step, 0 * h[0], h)[1]
            return x

        return weights, run
"""


def test_engine_of_jax_libraries(tmp_path):
    """Currents are scaled before, and the loss of the first step is that of the weights given."""
    (tmp_path / "scaled_engine.py").write_text(JAX_ENGINE)
    with Peer(
        sys.executable, engine="scaled_engine", environment={"PYTHONPATH": str(tmp_path)}
    ) as peer:
        rng = np.random.default_rng(0)
        x = rng.normal(0.3, 1, (5, 2, 3)).astype(np.float32)
        peer.load({"kind": "layer", "decay": 0.5}, x=x, upstream=x)
        v, want = 0, []
        for current in x:
            v = 0.5 * v + current
            want.append(v >= 1)
            v = v - want[-1]
        np.testing.assert_array_equal(peer.result("forward and backward"), want)
        peer.load(
            {"kind": "net", "decay": 0.5}, x=x, label=np.array([0, 2]), w0=np.zeros((3, 3), "f")
        )
        assert peer.result("training step")[0] == pytest.approx(np.log(3))
        with pytest.raises(PeerError, match="no such problem"):
            peer.load({"kind": "conv-net", "decay": 0.5}, x=x)


def test_cost_and_the_picture(monkeypatch, tmp_path):
    monkeypatch.setattr(cost, "LENGTHS", (9,))
    monkeypatch.setattr(cost, "NEURONS", ())
    records = list(cost.run(Options(repeats=1, steps=9)))
    check(records, "cost")
    assert [(r["varied"], r["checkpoint"]) for r in records] == [("T", False), ("T", 3)]
    assert all(r["peak_bytes"] > r["rest_bytes"] > 0 for r in records if sys.platform == "linux")
    more = [{**r, "varied": "N", "shapes": {"T": 9, "N": 2}} for r in records]
    assert all(r["least_bytes"] == 16 * 9 * r["shapes"]["N"] for r in records)
    for row in chart.BARS:
        timed = {"library": "snnjax", "what": "x", "median_ms": 2.0}
        slow = {**timed, "library": "loop", "median_ms": 2000.0}
        floor = {**timed, "library": "jax", "what": "the matrix products alone"}
        write_results(tmp_path, row, [timed, timed, slow, floor])
    with pytest.raises(ValueError, match="--rows cost"):
        chart.main(["--results", str(tmp_path)])
    write_results(tmp_path, "cost", records + more)
    shapes = [{"B": b, "N": n, "M": n, "density": 0.1} for b in (1, 8) for n in (256, 1024)]
    by_events = [{"what": "event_matmul", "shapes": s, "ratio": 0.5} for s in shapes]
    write_results(tmp_path, "events", by_events)
    pictures = chart.main(["--results", str(tmp_path)])
    assert pictures == (tmp_path / "dense.png", tmp_path / "events.png")
    assert all(10_000 < picture.stat().st_size < 120_000 for picture in pictures)


def test_delays_against_a_peer(delayed, monkeypatch):
    for name, value in {"I": 3, "O": 2, "B": 2, "GRID": ((8, 3),)}.items():
        monkeypatch.setattr(delays, name, value)
    records = list(delays.run(Options(repeats=1), [delayed]))
    check(records, "delays")
    assert [r["library"] for r in records] == ["loop", *["snnjax (direct)", "snnjax (dft)"] * 2]
    assert [r["shapes"]["T"] for r in records] == [100] * 3 + [8] * 2
    assert [r["chosen"] for r in records[1:]].count(True) == 2


def test_memory_of_long_time():
    records = list(long_time.run(Options(repeats=1, steps=64)))
    check(records, "long-time")
    assert [r["checkpoint"] for r in records] == [True, 8]
    assert records[1]["temp_bytes"] < records[0]["temp_bytes"]


def test_compilation_by_depth(monkeypatch):
    monkeypatch.setattr(depth, "BLOCKS", 2)
    monkeypatch.setattr(depth, "_block", lambda d, rngs: SpikingDense(d, d, rngs=rngs))
    records = list(depth.run(Options(repeats=1)))
    check(records, "depth")
    assert [r["shapes"]["blocks"] for r in records] == [1, 2, 2]


@pytest.mark.parametrize("sound", [True, False])
def test_wrong_results_are_marked(fake, sound):
    coords = random_cells(4, 0.5)
    x, weight = to_tensor([coords], 4, 2), kernel(2)
    expected = Reference(coords).convolve(np.asarray(x.feats[0]), weight)
    fake.sound = sound  # a race may give a right result, but cannot be trusted to
    right = sparse_conv.peer_cases(fake, x, weight, expected, {})
    wrong = sparse_conv.peer_cases(fake, x, weight, expected + 1, {})
    assert {case.facts["correct"] for case in right} == {sound}
    assert {case.facts["correct"] for case in wrong} == {False}


def test_the_worker_reports_errors_and_a_missing_peer(fake):
    with pytest.raises(PeerError, match="no such work"):
        fake.time("nonsense")
    fake.load(
        {"extent": [4, 4, 4]},
        coords=np.zeros((1, 4), np.int32),
        feats=np.ones((1, 2), np.float32),
        weight=kernel(2),
    )
    assert fake.time("forward") > 0
    np.testing.assert_allclose(fake.result("forward")[0], kernel(2)[13].sum(0), rtol=1e-6)
    with pytest.raises(PeerError, match="interpreter have the peer"):
        Peer(sys.executable, engine="no_such_engine")


def test_spconv():
    python = os.environ.get("SNNJAX_SPCONV_PYTHON")
    if not python:
        pytest.skip("set SNNJAX_SPCONV_PYTHON to an interpreter that has spconv and torch")
    with Peer(python) as peer:
        records = list(sparse_conv.run(Options(**TINY), [peer]))
    check(records, "sparse-conv")


def test_extents(monkeypatch):
    monkeypatch.setattr(extents, "FACTORS", (1, 4))
    records = list(extents.run(Options(**TINY)))
    check(records, "extents")
    assert sorted({r["shapes"]["extent"] for r in records}) == [8, 32]


def test_dense(monkeypatch):
    monkeypatch.setattr(dense, "OCCUPANCIES", (0.3,))
    monkeypatch.setattr(dense, "ARITHMETICS", ("table",))
    records = list(dense.run(Options(**TINY)))
    check(records, "dense")
    assert len(records) == 2 * (2 + 2)


def test_events(monkeypatch):
    monkeypatch.setattr(events, "WIDTHS", (16,))
    monkeypatch.setattr(events, "BATCHES", (2, 1 + events.MOST // 16))  # the last is left out
    monkeypatch.setattr(events, "DENSITIES", (0.1,))
    records = list(events.run(Options(**TINY)))
    check(records, "events")
    assert [r["what"] for r in records] == ["dense", "event_matmul", "spike_matmul"]
    assert records[2]["takes_events"] is False


def test_both_dense_forms_agree():
    grid = np.random.default_rng(0).normal(size=(1, 5, 5, 5, 3)).astype(np.float32)
    two = [np.asarray(f(grid, kernel(3))) for f in (dense._convolution, dense._products)]
    np.testing.assert_allclose(*two, atol=1e-5)


def test_train_step(monkeypatch):
    """With a model that compiles quickly, since only the benchmark is under test."""
    small = dataclasses.replace(train_step.published, model=TinyConfig())
    monkeypatch.setattr(train_step, "published", small)
    records = list(train_step.run(Options(repeats=1, batch_size=2, points=64)))
    check(records, "train-step")
    assert records[0]["samples_per_s"] > 0


def test_dispatch(monkeypatch):
    """Calls and rows of steps of the tiny model, small and at the size of the options."""
    small = dataclasses.replace(dispatch.published, model=TinyConfig())
    monkeypatch.setattr(dispatch, "published", small)
    monkeypatch.setattr(dispatch, "_STEPS", 2)
    records = list(dispatch.run(Options(repeats=1, batch_size=2, points=64)))
    check(records, "dispatch")
    assert [r["shapes"]["B"] for r in records] == [8, 8, 8, 8, 2, 2]
    assert all(r["ratio"] > 0 for r in records[1::2])
    assert all(0 <= r["waiting_for_data"] <= 1 for r in records[3::2])


def test_command_writes_results_and_names_the_missing_peer(tmp_path, capsys):
    arguments = "--rows sparse-conv --voxels 64 --channels 4 --repeats 1 --results"
    assert main([*arguments.split(), str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert "--spconv-python" in captured.err
    lines = (tmp_path / "out" / "sparse-conv.jsonl").read_text().splitlines()
    check([json.loads(line) for line in lines], "sparse-conv")
    assert "snnjax (table): forward" in captured.out or "snnjax (pairs): forward" in captured.out


@pytest.mark.parametrize(
    "arguments",
    [
        "--repeats 0",
        "--voxels 3",
        "--channels 0",
        "--peer-threads",
        "--spconv-python /no/python",
        "--jax-snn-python /no/python",
    ],
)
def test_bad_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(arguments.split())
    assert exit_info.value.code == 2
    assert arguments.split()[0] in capsys.readouterr().err


def test_help_documents_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name in vars(Options()):
        assert f"--{name.replace('_', '-')}" in text


def test_calls_are_interleaved():
    order = []

    def call(name):
        return lambda: float(order.append(name) is None)

    assert interleave([call("a"), call("b")], 2, pause=0) == [[1.0, 1.0], [1.0, 1.0]]
    assert "".join(order) == "ab" + "aabb" * 2


def test_ratios_are_of_the_same_round():
    times = {"a": iter([0, 0, 2, 0, 40]), "b": iter([0, 0, 1, 0, 10])}

    def case(name, ratio_to=None):
        return Case(name, "1", "x", lambda: float(next(times[name])), {}, {}, ratio_to)

    records = measure("r", [case("a", "b: x"), case("b")], 2)
    assert records[0]["ratio"] == 3.0
    with pytest.raises(ValueError, match="no: x"):
        measure("r", [case("a", "no: x")], 1)


def test_rooms_are_sparse_surfaces():
    coords = room(2312)
    assert len(np.unique(coords, axis=0)) == 2312
    assert coords.min() >= 0
    assert coords.max() < room_side(2312)
    assert Reference(coords).neighbours == pytest.approx(5.2, abs=0.3)


def test_the_reference_is_a_dense_convolution():
    rng = np.random.default_rng(0)
    coords = random_cells(4, 0.5)
    feats, weight = rng.normal(size=(32, 3)), kernel(3)
    grid = np.zeros((6, 6, 6, 3))
    grid[tuple(coords.T + 1)] = feats
    expected = [
        np.einsum(
            "zyxc,zyxco->o", grid[z : z + 3, y : y + 3, x : x + 3], weight.reshape(3, 3, 3, 3, 3)
        )
        for z, y, x in coords
    ]
    assert error(Reference(coords).convolve(feats, weight), np.array(expected)) < 1e-6


@pytest.mark.parametrize("module", ["measure", "results", "scene"])
def test_examples_in_docstrings(module):
    found = doctest.testmod(
        importlib.import_module(f"experiments.bench.{module}"),
        optionflags=doctest.NORMALIZE_WHITESPACE,
    )
    assert found.attempted > 0
    assert found.failed == 0


def test_results_are_not_ignored():
    ignored = Path(__file__).parents[2].joinpath(".gitignore").read_text().split()
    assert not {"results", "results/", "*.jsonl", "experiments/"} & set(ignored)


@pytest.mark.parametrize("kind", ["segmentation", "backbone"])
def test_a_lidar_net_given_its_maps_is_the_network(kind):
    sizes = {"stem": 4, "channels": [4, 6], "depth": 1, "in_channels": 4, "num_classes": 3}
    sizes |= {"decoder": [4, 4]} if kind == "segmentation" else {"channels": [6]}
    cells = room(64)
    cells = cells[np.lexsort(cells.T[::-1])]
    x = to_tensor([cells], room_side(64), 4)
    problem = lidar_net.Problem("tiny", kind, sizes, cells, np.asarray(x.feats[0]), x.extent)
    net = lidar_nets.build_net(kind, sizes)
    rows = lidar_net._capacities(problem, net.plan)
    maps = jax.jit(lambda x: lidar_nets.build_maps(x, net.plan, tuple(rows)))(x)
    found = [int(level.n[0]) for level in maps.sites]
    assert all(n <= room <= 1.1 * n + 16 for n, room in zip(found[1:], rows[1:], strict=True))
    assert not any(int(level.overflow[0]) for level in maps.sites)
    out = jax.jit(lambda x, maps: net(None, x, maps)[1])(x, maps)
    if isinstance(net, lidar_nets.SegmentationNet):
        expected = jax.jit(lambda x: net.net(None, x)[1].logits)(x)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
        levels = [level for _, level in lidar_nets.linear_layers(net)]
        assert sorted(levels) == [0, 0, 0, 1, 1]
    else:
        assert out.shape == (1, rows[-1], 12)


def test_shares_of_a_lidar_net_sum_to_one():
    names = (*lidar_net.PARTS, lidar_net.LINEAR)
    shares = lidar_net._shares(dict(zip(names, (8.0, 2.0, 7.0, 3.0), strict=True)))
    assert shares == {
        "share_maps": 0.2,
        "share_norms": 0.1,
        "share_linear": 0.3,
        "share_rest": 0.4,
    }
