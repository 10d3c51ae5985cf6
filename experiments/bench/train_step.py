"""Row `train-step`: an update of E-3DSNN-T on the embedded shapes, with the pieces of training."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax

from experiments.bench.measure import Case, clocked, measure, our_version, temp_bytes
from experiments.bench.options import Options
from experiments.configs.e3dsnn.e3dsnn_t_shapes3d import experiment as published
from snnjax.cli.cores import device_count
from snnjax.experiment import Experiment
from snnjax.sharding import parse_mesh
from snnjax.train import Prepared, Session, train_step

ROW = "train-step"
_BATCHES = 8


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Measure the step on batches of the most frequent bucket, on one device and on all."""
    everyone = device_count(options.batch_size, jax.local_device_count())
    for devices in sorted({1, everyone}):
        yield _measure(options, devices)


def _measure(options: Options, devices: int) -> dict[str, Any]:
    experiment = _experiment(options)
    session = Session.open(experiment, parse_mesh(f"data={devices}")).planned()
    with session.train_feed() as feed:
        items = [item for item, _ in zip(feed, range(_BATCHES), strict=False)]
    items = _one_bucket(items)
    data: Any = experiment.data
    capacities: Any = items[0].shape

    state = session.first_state()
    began = time.perf_counter()
    step = train_step(session.spec, capacities).lower(state, items[0].batch).compile()
    compile_s = time.perf_counter() - began
    turn = [state, 0]  # the step donates its state, so each continues from the last

    def update() -> None:
        batch = items[turn[1] % len(items)].batch
        turn[0], metrics = step(turn[0], batch)
        jax.block_until_ready(metrics)
        turn[1] += 1

    size = experiment.batch_size
    case = Case(
        "snnjax",
        our_version(),
        "E-3DSNN-T training step",
        clocked(update),
        {
            "B": size,
            "points": data.points,
            "extent": data.extent,
            "devices": devices,
            "rows": list(capacities.rows),
        },
        {
            "compile_s": round(compile_s, 3),
            "temp_bytes": temp_bytes(step),
            "arithmetic": list(capacities.arithmetic),
            "padding": round(sum(item.padding for item in items) / len(items), 3),
        },
    )
    record = measure(ROW, [case], options.repeats)[0]
    return {**record, "samples_per_s": round(1e3 * size / record["median_ms"], 2)}


def _experiment(options: Options) -> Experiment:
    """The published experiment at these sizes, on enough clouds for a scan of its capacities."""
    size = options.batch_size
    source: Any = published.data
    data = dataclasses.replace(
        source, points=options.points, train_size=_BATCHES * size, test_size=size
    )
    return dataclasses.replace(published, data=data, batch_size=size)


def _one_bucket(items: list[Prepared]) -> list[Prepared]:
    common = Counter(item.shape for item in items).most_common(1)[0][0]
    return [item for item in items if item.shape == common]
