"""What a step costs beside its computation: calls, metrics, the loop, and waiting for data."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from experiments.configs.e3dsnn_t_shapes3d import experiment as published

from experiments.bench.measure import Case, clocked, measure, our_version
from experiments.bench.options import Options
from snnjax.experiment.experiment import of_type
from snnjax.runs.checkpoint import Checkpoints
from snnjax.runs.deadline import Deadline
from snnjax.runs.folder import describe_data
from snnjax.runs.writer import MetricsWriter
from snnjax.sharding import parse_mesh
from snnjax.sparse import Capacities
from snnjax.train import DataConfig, Experiment
from snnjax.train.feed import Prepared, train_feed
from snnjax.train.forward import CloudForward
from snnjax.train.loop import Book, Loop
from snnjax.train.plan import scan
from snnjax.train.programs import Programs
from snnjax.train.reporter import Reporter
from snnjax.train.session import build_spec, load_splits, steps_of
from snnjax.train.step import train_step

ROW = "dispatch"
_STEPS = 8
"""Steps in a row, of which the time of one is taken."""


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Calls of a step of E3DSNN-T on few small clouds; then its loop, there and at full size."""
    small = _experiment(options, batch_size=8, points=64, extent=16)
    whole = _experiment(options, batch_size=options.batch_size, points=options.points, extent=32)
    for experiment in (small, whole):
        with _subject(experiment) as subject:
            if experiment is small:
                yield from measure(ROW, _calls(subject), options.repeats)
            yield from measure(ROW, _rows(subject), options.repeats)


class _Subject(NamedTuple):
    """What a step of an experiment needs on one device; states are made anew for each case."""

    experiment: Experiment
    state: Callable[[], Any]
    spec: Any
    programs: Programs
    items: list[Prepared]
    loop: Loop
    feed: Iterator[Prepared]
    shapes: dict[str, Any]


@contextlib.contextmanager
def _subject(experiment: Experiment) -> Iterator[_Subject]:
    mesh = parse_mesh("data=1")
    splits = load_splits(experiment)
    info = describe_data(*splits)
    spec, _ = build_spec(experiment, info, mesh)
    config = of_type(experiment.data, DataConfig)
    depth = of_type(spec.forward, CloudForward).depth
    plan = scan(config, *splits, depth=depth, seed=experiment.seed)
    with train_feed(experiment, splits[0], plan, mesh, None) as feed:
        items = [item for item, _ in zip(feed, range(_STEPS), strict=False)]
    items = [item for item in items if item.capacities == items[0].capacities]
    programs = Programs(spec, lambda _: None)
    shapes = {"B": config.batch_size, "points": config.points, "extent": config.extent}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        loop = Loop(
            experiment,
            folder,
            mesh,
            *splits,
            plan,
            programs,
            stack.enter_context(contextlib.closing(Checkpoints(folder / "checkpoints"))),
            stack.enter_context(contextlib.closing(MetricsWriter(folder / "metrics.jsonl"))),
            stack.enter_context(Reporter(shown=False)),
            steps_of(experiment, info)[0],
            Book(),
            Deadline(None),
        )

        def state() -> Any:
            return build_spec(experiment, info, mesh)[1]

        feed = stack.enter_context(train_feed(experiment, splits[0], plan, mesh, None))
        yield _Subject(experiment, state, spec, programs, items, loop, feed, shapes)


def _calls(subject: _Subject) -> list[Case]:
    """One step, waited for: as the loop calls it, and as one function of plain arrays."""
    step = train_step(subject.spec, of_type(subject.items[0].capacities, Capacities))
    leaves, structure = jax.tree.flatten((subject.state(), subject.items[0].batch))
    kept = len(jax.tree.leaves(subject.items[0].batch))

    def flat(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(step(*structure.unflatten(leaves)))

    raw = jax.jit(flat, donate_argnums=range(len(leaves) - kept))
    turn = {"flat": leaves, "state": subject.state()}
    batches = [tuple(jax.tree.leaves(item.batch)) for item in subject.items]

    def plain() -> None:
        own = turn["flat"]
        out = raw(*own[: len(leaves) - kept], *batches[0])
        turn["flat"] = [*out[: len(leaves) - kept], *batches[0]]
        jax.block_until_ready(out)

    def ours() -> None:
        item = subject.items[0]
        turn["state"], metrics = subject.programs.train(item.capacities, turn["state"], item.batch)
        jax.block_until_ready((turn["state"], metrics))

    facts = {"arrays": len(leaves)}
    names = ("jax.jit on plain arrays", "Programs.train")
    version = our_version()
    return [
        Case("snnjax", version, names[0], clocked(plain), subject.shapes, facts),
        Case(
            "snnjax", version, names[1], clocked(ours), subject.shapes, facts, f"snnjax: {names[0]}"
        ),
    ]


def _rows(subject: _Subject) -> list[Case]:
    """Steps in a row: the program alone, and the loop with its data, metrics and files."""
    loop, turn = subject.loop, {"alone": subject.state(), "loop": subject.state()}
    facts: dict[str, Any] = {}
    spent = {"waiting": 0.0, "all": 0.0}

    def alone() -> float:
        began = time.perf_counter()
        metrics = None
        for step in range(_STEPS):
            item = subject.items[step % len(subject.items)]
            turn["alone"], metrics = subject.programs.train(
                item.capacities, turn["alone"], item.batch
            )
        jax.block_until_ready((turn["alone"], metrics))
        return 1e3 * (time.perf_counter() - began) / _STEPS

    def whole() -> float:
        began = time.perf_counter()
        for _ in range(_STEPS):
            asked = time.perf_counter()
            item = next(subject.feed)
            spent["waiting"] += time.perf_counter() - asked
            turn["loop"] = loop._step(turn["loop"], item)
        loop._drain(0)
        jax.block_until_ready(turn["loop"])
        seconds = time.perf_counter() - began
        spent["all"] += seconds
        facts["waiting_for_data"] = round(spent["waiting"] / spent["all"], 4)
        return 1e3 * seconds / _STEPS

    names = ("steps in a row", "steps of the loop")
    version = our_version()
    return [
        Case("snnjax", version, names[0], alone, subject.shapes),
        Case("snnjax", version, names[1], whole, subject.shapes, facts, f"snnjax: {names[0]}"),
    ]


def _experiment(options: Options, *, batch_size: int, points: int, extent: int) -> Experiment:
    """The published experiment at this size, with steps for all that is measured."""
    data = dataclasses.replace(
        published.data,
        points=points,
        extent=extent,
        batch_size=batch_size,
        train_size=16 * batch_size,
        test_size=batch_size,
    )
    return dataclasses.replace(published, data=data, epochs=2 * options.repeats + 2)
