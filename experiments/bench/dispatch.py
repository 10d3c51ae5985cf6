"""Row `dispatch`: overhead of a step: calls, metrics, the loop, and waiting for data."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments.bench.measure import Case, clocked, measure, our_version
from experiments.bench.options import Options
from experiments.configs.e3dsnn.e3dsnn_t_shapes3d import experiment as published
from snnjax.experiment import Experiment
from snnjax.runs.checkpoint import Checkpoints
from snnjax.runs.deadline import Deadline
from snnjax.runs.keeper import FolderKeeper
from snnjax.runs.writer import MetricsWriter
from snnjax.sharding import parse_mesh
from snnjax.train import Loop, Prepared, Programs, Progress, Reporter, Session, train_step

ROW = "dispatch"
_STEPS = 8
"""Number of consecutive steps that are timed together."""


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Measure calls of a step of E3DSNN-T on few small clouds; then its loop, also at full size."""
    small = _experiment(options, batch_size=8, points=64, extent=16)
    full = _experiment(options, batch_size=options.batch_size, points=options.points, extent=32)
    for experiment in (small, full):
        with _subject(experiment) as subject:
            if experiment is small:
                yield from measure(ROW, _calls(subject), options.repeats)
            yield from measure(ROW, _rows(subject), options.repeats)


class _Subject(NamedTuple):
    """The parts of a training step on one device; each case draws its own state."""

    session: Session
    items: list[Prepared]
    loop: Loop
    feed: Iterator[Prepared]
    shapes: dict[str, Any]


@contextlib.contextmanager
def _subject(experiment: Experiment) -> Iterator[_Subject]:
    session = Session.open(experiment, parse_mesh("data=1")).planned()
    with session.train_feed() as feed:
        items = [item for item, _ in zip(feed, range(_STEPS), strict=False)]
    items = [item for item in items if item.shape == items[0].shape]
    data: Any = experiment.data
    shapes = {"B": experiment.batch_size, "points": data.points, "extent": data.extent}
    programs = Programs(session.spec, lambda _: None)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keeper = FolderKeeper(
            folder,
            experiment,
            stack.enter_context(contextlib.closing(Checkpoints(folder / "checkpoints"))),
            stack.enter_context(contextlib.closing(MetricsWriter(folder / "metrics.jsonl"))),
            stack.enter_context(Reporter(shown=False)),
            Deadline(None),
        )
        loop = Loop(session, programs, keeper, Progress())
        yield _Subject(session, items, loop, stack.enter_context(session.train_feed()), shapes)


def _calls(subject: _Subject) -> list[Case]:
    """One blocking step: as the loop calls it, and as one function of plain arrays."""
    session, programs, item = subject.session, subject.loop.programs, subject.items[0]
    step = train_step(session.spec, item.shape)
    batch = jax.tree.leaves(item.batch)
    leaves, structure = jax.tree.flatten((session.first_state(), item.batch))
    count = len(leaves) - len(batch)

    def flat(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(step(*structure.unflatten(leaves)))

    raw = jax.jit(flat, donate_argnums=range(count))
    turn = {"flat": leaves[:count], "state": session.first_state()}

    def plain() -> None:
        out = raw(*turn["flat"], *batch)
        turn["flat"] = out[:count]
        jax.block_until_ready(out)

    def ours() -> None:
        turn["state"], metrics = programs.train(item.shape, turn["state"], item.batch)
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
    """Consecutive steps: the program alone, and the loop with its data, metrics and files."""
    loop, first = subject.loop, subject.session.first_state
    turn = {"alone": first(), "loop": first()}
    facts: dict[str, Any] = {}
    spent = {"waiting": 0.0, "all": 0.0}

    def alone() -> float:
        began = time.perf_counter()
        metrics = None
        for step in range(_STEPS):
            item = subject.items[step % len(subject.items)]
            turn["alone"], metrics = loop.programs.train(item.shape, turn["alone"], item.batch)
        jax.block_until_ready((turn["alone"], metrics))
        return 1e3 * (time.perf_counter() - began) / _STEPS

    def loop_step() -> float:
        began = time.perf_counter()
        for _ in range(_STEPS):
            requested = time.perf_counter()
            item = next(subject.feed)
            spent["waiting"] += time.perf_counter() - requested
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
        Case("snnjax", version, names[1], loop_step, subject.shapes, facts, f"snnjax: {names[0]}"),
    ]


def _experiment(options: Options, *, batch_size: int, points: int, extent: int) -> Experiment:
    """The published experiment at this size, with enough steps for all measurements."""
    source: Any = published.data
    data = dataclasses.replace(
        source,
        points=points,
        extent=extent,
        train_size=16 * batch_size,
        test_size=batch_size,
    )
    epochs = 2 * options.repeats + 2
    return dataclasses.replace(published, data=data, batch_size=batch_size, epochs=epochs)
