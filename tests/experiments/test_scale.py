"""Scaling by calculation: known costs, a roofline, a ring, and a tiny program."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from experiments.scale import __main__ as command
from experiments.scale.chips import H100, V5P, Chip, Level
from experiments.scale.costs import costs
from experiments.scale.predict import predict, stops_at, verdict, weak_scaling
from experiments.scale.show import report
from experiments.scale.step import record
from experiments.scale.workloads import WORKLOADS, Workload
from snnjax.data.speech import SpeechSource
from snnjax.experiment import Experiment
from snnjax.models import SNNDelaysConfig
from snnjax.sparse.conv import BLOCK_BYTES

PLAIN = Chip(  # a second for 1000 operations or 100 bytes, and 0.1 s for anything
    "plain",
    peak={"f32": 1000.0, "bf16": 2000.0, "f32 highest": 100.0},
    memory=1e6,
    bandwidth=100.0,
    issue=0.1,
    levels=lambda devices: (Level(devices, bandwidth=50.0, hop=0.5, ring=True),),
)

LOOP = """HloModule jit_step, is_scheduled=true, num_partitions=4

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%take (xs: f32[6,4], i: s32[]) -> f32[1,4] {
  %xs = f32[6,4]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %o = s32[] constant(0)
  ROOT %slice = f32[1,4]{1,0} dynamic-slice(%xs, %i, %o), dynamic_slice_sizes={1,4}
}

%body (s: (s32[], f32[6,4], f32[1,4])) -> (s32[], f32[6,4], f32[1,4]) {
  %s = (s32[], f32[6,4]{1,0}, f32[1,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%s), index=0
  %one = s32[] constant(1)
  %kept = s32[] copy(%i)
  %next = s32[] add(%kept, %one)
  %xs = f32[6,4]{1,0} get-tuple-element(%s), index=1
  %x = f32[1,4]{1,0} fusion(%xs, %i), kind=kLoop, calls=%take
  ROOT %t = (s32[], f32[6,4]{1,0}, f32[1,4]{1,0}) tuple(%next, %xs, %x)
}

%test (s: (s32[], f32[6,4], f32[1,4])) -> pred[] {
  %s = (s32[], f32[6,4]{1,0}, f32[1,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%s), index=0
  %six = s32[] constant(6)
  ROOT %less = pred[] compare(%i, %six), direction=LT
}

ENTRY %main (p: f32[6,4], w: f32[4,5]) -> f32[6,5] {
  %p = f32[6,4]{1,0} parameter(0)
  %w = f32[4,5]{1,0} parameter(1)
  %zero = s32[] constant(0)
  %start = s32[] copy(%zero)
  %first = f32[1,4]{1,0} slice(%p), slice={[0:1], [0:4]}
  %carry = (s32[], f32[6,4]{1,0}, f32[1,4]{1,0}) tuple(%start, %p, %first)
  %loop = (s32[], f32[6,4]{1,0}, f32[1,4]{1,0}) while(%carry), condition=%test, body=%body
  %same = f32[6,4]{1,0} get-tuple-element(%loop), index=1
  %y = f32[6,5]{1,0} dot(%same, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %sum = f32[6,5]{1,0} all-reduce(%y), replica_groups={{0,1,2,3}}, to_apply=%add
}
"""


def test_a_program_on_paper() -> None:
    """A slice of 16 bytes, six turns that each take another, one product of 6 x 4 x 5, one sum."""
    found = costs(LOOP, PLAIN)
    assert found.flops == {"f32": 2 * 6 * 4 * 5}
    assert found.operations == 1 + 6 + 1
    product = 4 * (6 * 4 + 4 * 5 + 6 * 5)
    assert found.bytes == 7 * 2 * 16 + 6 * 4 + product  # a turn also reads its number
    memory = (2 * 16 + 6 * (2 * 16 + 4) + product) / 100
    assert found.roofline == {"memory": pytest.approx(memory)}
    assert found.loops == 0


def test_what_bounds_an_operation() -> None:
    assert PLAIN.operation({"f32": 600, "bf16": 800}, 90) == ("compute", 1.0)
    assert PLAIN.operation({"f32 highest": 60}, 90) == ("memory", 0.9)
    assert PLAIN.operation({}, 3) == ("issue", 0.1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("constant(6)\n", "parameter(1)\n"),  # the end of the loop is not a constant
        ("add(%kept, %one)", "multiply(%kept, %one)"),  # it does not count
        ("direction=LT", "direction=NE"),
    ],
)
def test_a_loop_of_unknown_length_is_reported(before: str, after: str) -> None:
    assert before in LOOP
    found = costs(LOOP.replace(before, after), PLAIN)
    assert found.loops == 1
    assert found.operations == 1 + 1 + 1


def test_a_loop_through_time_counts_its_steps() -> None:
    """Seven steps of [3, 4] @ [4, 4], forward and twice backward; XLA counts a third of a turn."""

    def loss(w: Any, xs: Any) -> Any:
        def step(v: Any, x: Any) -> tuple[Any, None]:
            return jnp.tanh(v @ w) + x, None

        return jax.lax.scan(step, jnp.zeros((3, 4)), xs)[0].sum()

    shapes = jax.ShapeDtypeStruct((4, 4), jnp.float32), jax.ShapeDtypeStruct((7, 3, 4), jnp.float32)
    compiled = jax.jit(jax.grad(loss)).lower(*shapes).compile()
    once = 2 * 3 * 4 * 4
    assert costs(compiled.as_text(), PLAIN).flops == {"f32": 7 * 3 * once}
    assert compiled.cost_analysis()["flops"] < 7 * 3 * once


@pytest.mark.parametrize(
    "options",
    [
        {"window_strides": (2,), "padding": [(3, 1)]},
        {"window_strides": (1,), "padding": [(2, 2)], "lhs_dilation": (3,)},
        {"window_strides": (1,), "padding": "VALID", "rhs_dilation": (2,)},
        {"window_strides": (1,), "padding": "SAME", "feature_group_count": 2},
    ],
)
def test_convolutions_count_as_a_loop_over_taps(options: dict[str, Any]) -> None:
    """Against a plain loop that multiplies where a tap meets an entry."""
    shapes = {"lhs": (2, 11, 4), "rhs": (3, 4 // options.get("feature_group_count", 1), 6)}
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes.values()]

    def convolve(x: Any, k: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x, k, dimension_numbers=("NHC", "HIO", "NHC"), **options
        )

    outputs = jax.eval_shape(convolve, *arguments).shape[1]
    text = jax.jit(convolve).lower(*arguments).compile().as_text()
    stride, hole = options["window_strides"][0], options.get("lhs_dilation", (1,))[0]
    spread = options.get("rhs_dilation", (1,))[0]
    low = {"VALID": 0, "SAME": 1}.get(str(options["padding"]))
    low = options["padding"][0][0] if low is None else low
    meetings = 0
    for out in range(outputs):
        for tap in range(3):
            at = out * stride + tap * spread - low
            meetings += at % hole == 0 and 0 <= at // hole < 11
    assert sum(costs(text, PLAIN).flops.values()) == 2 * 2 * 6 * shapes["rhs"][1] * meetings


def test_a_ring_on_paper() -> None:
    assert PLAIN.send("all-reduce", 100, 4) == pytest.approx((2 * 75 / 50, 2 * 3 * 0.5))
    assert PLAIN.send("all-gather", 100, 4) == pytest.approx((300 / 50, 3 * 0.5))
    assert PLAIN.send("reduce-scatter", 100, 4) == pytest.approx((75 / 50, 3 * 0.5))
    assert PLAIN.send("collective-permute", 100, 4) == pytest.approx((2.0, 0.5))
    with pytest.raises(ValueError, match="'all-to-all' has no model"):
        PLAIN.send("all-to-all", 100, 4)


def test_networks_of_several_levels() -> None:
    """1 GB: all of it inside a node, an eighth between nodes; a torus uses three sides at once."""
    carried, _ = H100.send("all-reduce", 10**9, 512)
    inside, between = 2 * 7 / 8 / 450, 2 * (1 / 8) / 50  # a tree, which sends all of it
    assert carried == pytest.approx(inside + between, rel=1e-3)
    side = 2 * 15 / 16 / 180 / 3
    carried, waiting = V5P.send("all-reduce", 10**9, 4096)
    assert carried == pytest.approx(side * (1 + 1 / 16 + 1 / 256), rel=1e-3)
    assert waiting == pytest.approx(2 * 3 * 8e-6)  # half way round each side, there and back
    small = H100.send("all-reduce", 4, 4096)
    assert sum(small) == pytest.approx(2 * (3 * 1e-6 + 9 * 5e-6), rel=1e-2)  # trees


def made_up(**changes: Any) -> dict[str, Any]:
    """A program of 4 devices with one large and ten small sums."""
    return {
        "workload": "made-up",
        "devices": 4,
        "sharding": "replicated",
        "samples": 16,
        "train_size": 1000,
        "flops": {"f32": 1000},
        "roofline": {"compute": 2.0, "memory": 1.0, "issue": 1.0},
        "collectives": [
            {"kind": "all-reduce", "bytes": 10**5, "group": 4, "times": 1},
            {"kind": "all-reduce", "bytes": 10, "group": 4, "times": 10},
        ],
        **changes,
    }


def test_where_scaling_stops_is_computed() -> None:
    """With a quick network its latency stops it, with a slow one the bandwidth."""

    def chip(bandwidth: float, hop: float) -> Chip:
        return Chip(
            "plain",
            {"f32": 1000.0},
            1.0,
            1.0,
            1.0,
            lambda n: (Level(n, bandwidth, hop, ring=True),),
        )

    step = predict(made_up(), chip(1e9, 1e-3))
    assert step.alone == 4.0
    assert step.bound == "compute"
    assert step.waiting == pytest.approx(11 * 2 * 3 * 1e-3)
    # 11 sums, each 2 (n - 1) hops of 1 ms: 4 / (4 + 0.022 (n - 1)) < 0.8 from n > 46.5 on
    late = stops_at(made_up(), chip(1e9, 1e-3))
    assert late is not None
    assert late.devices == 64
    text = verdict(made_up(), chip(1e9, 1e-3))
    assert "weak scaling falls below 80% at 64 devices, where" in text
    assert "11 sums one after the other, 10 of them below" in text
    assert "products at the peak, 1000.00 ms, it would fall below 80% at 16." in text
    text = verdict(made_up(), chip(1e5, 1e-9))
    assert "0.1 MB of gradients take" in text
    assert "fill one step on 62 devices" in text
    assert stops_at(made_up(), chip(1e12, 1e-9)) is None
    text = verdict(made_up(), chip(1e12, 1e-9))
    assert "weak scaling stays above 80%, at 99% on 1,048,576 devices, where" in text
    assert "below 80% nowhere up to 1,048,576." in text


def test_only_what_joins_all_devices_is_moved_to_others() -> None:
    with pytest.raises(ValueError, match="is 'fsdp'"):
        predict(made_up(sharding="fsdp"), PLAIN, 8)
    assert predict(made_up(sharding="fsdp"), PLAIN, 4).devices == 4


@pytest.fixture(scope="module")
def tiny() -> dict[str, Any]:
    """The record of two layers of 6 neurons on eight fake devices."""
    experiment = Experiment(
        name="tiny",
        data=SpeechSource(steps=5),
        model=SNNDelaysConfig(hidden=6, layers=2, delays="none"),
        batch_size=2,
        epochs=10,
    )
    return record("tiny", Workload(experiment, 3, 4, 100), "cpu", 8, "replicated")


def test_a_program_of_eight_devices(tiny: dict[str, Any]) -> None:
    """Products and messages against manual counts."""
    steps, samples, widths = 5, 2, (4, 6, 6, 3)
    products = [a * b for a, b in pairwise(widths)]
    forward, inputs = sum(products), sum(products[1:])  # no gradient of the first input
    assert sum(tiny["flops"].values()) == 2 * steps * samples * (2 * forward + inputs)
    assert tiny["loops"] == 0
    sizes = [(one["bytes"], one["times"]) for one in tiny["collectives"]]
    sent = sum(size * times for size, times in sizes)
    gradients, norms = 4 * tiny["parameters"], 2 * 2 * (2 * 6 * 4) + 4 * 2
    scalars = 4 * 4
    assert {one["kind"] for one in tiny["collectives"]} == {"all-reduce"}
    assert {one["group"] for one in tiny["collectives"]} == {8}
    assert gradients + norms <= sent <= gradients + norms + scalars
    state = 3 * gradients  # parameters and two moments, and statistics
    assert state < tiny["memory"]["arguments"] < state + 1000


def test_weak_scaling_of_it(tiny: dict[str, Any], tmp_path, capsys) -> None:
    rows = weak_scaling([tiny], H100, (8, 64, 4096))
    assert [(step.devices, compiled) for step, compiled in rows] == [(8, 8), (64, 8), (4096, 8)]
    alone = {step.alone for step, _ in rows}
    assert len(alone) == 1
    waits = [step.waiting for step, _ in rows]
    assert waits == sorted(waits)
    command.keep(tmp_path / "scale.json", tiny)
    command.keep(tmp_path / "scale.json", {**tiny, "loops": 0})  # in its place
    command.main(["--results", str(tmp_path / "scale.json")])
    text = capsys.readouterr().out
    assert "### H100 SXM, by arithmetic from a CPU program" in text
    assert "| tiny | 8 |" in text
    assert text.count("| tiny | 4,096 (from 8) |") == 1
    assert "weak scaling falls below 80%" in text
    assert (tmp_path / "scale.png").stat().st_size > 1000


def test_a_dimension_that_cannot_be_sharded_is_one_line() -> None:
    """In a process of its own, with 512 fake devices."""
    with pytest.raises(SystemExit, match=r"e3dsnn_l on 512 devices .* no dimension that the 512"):
        command.compile_in_process("e3dsnn_l", "cpu", 512, "fsdp")


def by_formula_e3dsnn(rows: list[int], stem: int, channels: tuple[int, ...]) -> int:
    """Multiplications of a step of E-3DSNN with two blocks a stage, by tables of neighbours.

    Rows are gathered in full blocks, except for the gradient of a weight; a strided convolution
    spreads the products of every row.
    """

    def padded(count: int, volume: int, width: int) -> int:
        size = BLOCK_BYTES // (4 * volume * width)
        return count if size >= count else -(-count // size) * size

    def same(count: int, a: int, b: int, *, first: bool = False) -> int:
        gathered = padded(count, 27, a) + (0 if first else padded(count, 27, b)) + count
        return 27 * a * b * gathered

    total = same(rows[0], 6, stem, first=True) + 2 * same(rows[0], stem, stem)
    for count, (a, b) in zip(rows[1:], pairwise((stem, *channels)), strict=True):
        total += 8 * a * b * (padded(count, 8, a) + 2 * count)
        total += 2 * 3 * same(count, b, b)
    return total + 3 * 16 * channels[-1] * 40


def by_formula_delays(batch: int, steps: int, taps: int, widths: tuple[int, ...]) -> int:
    """Multiplications of a step of SNN-delays: each layer appends half of its taps in silence."""
    total = 0
    for layer, (a, b) in enumerate(pairwise(widths)):
        steps += (taps - 1) // 2
        total += (3 if layer else 2) * steps * batch * taps * a * b
    return total


def test_the_kept_programs_compute_what_their_models_ask_for() -> None:
    """Once forward, twice backward except in the first layer; every CPU program, exactly."""
    wide = (140, 512, 512, 512, 35)
    delays = {
        "snn_delays_shd": by_formula_delays(256, 140, 25, (140, 256, 256, 20)),
        "snn_delays_ssc": by_formula_delays(128, 120, 31, wide),
        "snn_delays_gsc": by_formula_delays(128, 101, 31, wide),
    }
    sizes = {
        "e3dsnn_l": (64, (64, 128, 128, 256)),
        "e3dsnn_h": (64, (96, 192, 288, 384)),
    }
    kept = command.read(command.RESULTS)
    for one in kept:
        name, found = one["workload"], sum(one["flops"].values())
        assert one["loops"] == 0
        if name in sizes:
            assert found == 2 * by_formula_e3dsnn(one["capacities"]["rows"], *sizes[name])
        elif one["target"] == "cpu":
            assert found == 2 * delays[name]
        else:  # its compiler leaves out part of what meets padding only
            assert 0.9 < found / (2 * delays[name]) <= 1.0
    assert {one["workload"] for one in kept} == set(WORKLOADS)


def test_the_page_shows_what_the_command_prints(tmp_path, capsys) -> None:
    report(command.read(command.RESULTS), tmp_path / "scale.png")
    page = (command.RESULTS.parents[2] / "docs" / "scale.md").read_text()
    *lines, _ = capsys.readouterr().out.strip().splitlines()
    assert len(lines) > 50
    assert set(lines) <= set(page.splitlines())


def test_the_kept_programs_send_gradients_norms_and_scalars() -> None:
    """Parameters in full: no activation is ever sent, on 8 devices or on 4,096."""
    for one in command.read(command.RESULTS):
        if one["sharding"] == "replicated":
            assert {part["kind"] for part in one["collectives"]} == {"all-reduce"}
            sent = sum(part["bytes"] * part["times"] for part in one["collectives"])
            gradients = 4 * one["parameters"]
            assert gradients < sent < 1.02 * gradients + 50_000


def test_published_sizes() -> None:
    names = {name: workload.samples for name, workload in WORKLOADS.items()}
    assert names["e3dsnn_l"] == 16
    assert names["snn_delays_shd"] == 256
    assert WORKLOADS["e3dsnn_l"].on("data=8", 8, "replicated").batch_size == 128
