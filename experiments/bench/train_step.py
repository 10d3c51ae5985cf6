"""Row `train-step`: an update of E-3DSNN-T on the embedded shapes, with the pieces of training."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
from experiments.configs.e3dsnn_t_shapes3d import experiment as published

from experiments.bench.measure import Case, clocked, measure, our_version, temp_bytes
from experiments.bench.options import Options
from snnjax.cli.cores import device_count
from snnjax.experiment.experiment import of_type
from snnjax.runs.folder import describe_data
from snnjax.sharding import parse_mesh
from snnjax.sparse import Capacities
from snnjax.train import DataConfig, Experiment
from snnjax.train.feed import Prepared, train_feed
from snnjax.train.forward import CloudForward
from snnjax.train.plan import scan
from snnjax.train.session import build_spec, load_splits
from snnjax.train.step import train_step

ROW = "train-step"
_BATCHES = 8


def run(options: Options) -> Iterator[dict[str, Any]]:
    """The step on batches of the bucket that most of them take, on one device and on all."""
    everyone = device_count(options.batch_size, jax.local_device_count())
    for devices in sorted({1, everyone}):
        yield _measure(options, devices)


def _measure(options: Options, devices: int) -> dict[str, Any]:
    experiment = _experiment(options)
    mesh = parse_mesh(f"data={devices}")
    train_set, test_set = load_splits(experiment)
    spec, state = build_spec(experiment, describe_data(train_set, test_set), mesh)
    config = of_type(experiment.data, DataConfig)
    plan = scan(
        config,
        train_set,
        test_set,
        depth=of_type(spec.forward, CloudForward).depth,
        seed=experiment.seed,
        devices=devices,
    )
    with train_feed(experiment, train_set, plan, mesh, None) as feed:
        items = [item for item, _ in zip(feed, range(_BATCHES), strict=False)]
    items = _one_bucket(items)
    capacities = of_type(items[0].capacities, Capacities)

    began = time.perf_counter()
    step = train_step(spec, capacities).lower(state, items[0].batch).compile()
    compile_s = time.perf_counter() - began
    turn = [state, 0]  # the step donates its state, so each continues from the last

    def update() -> None:
        batch = items[turn[1] % len(items)].batch
        turn[0], metrics = step(turn[0], batch)
        jax.block_until_ready(metrics)
        turn[1] += 1

    size = config.batch_size
    case = Case(
        "snnjax",
        our_version(),
        "E-3DSNN-T training step",
        clocked(update),
        {
            "B": size,
            "points": config.points,
            "extent": config.extent,
            "devices": devices,
            "rows": list(capacities.rows),
        },
        {
            "compile_s": round(compile_s, 3),
            "temp_bytes": temp_bytes(step),
            "arithmetic": list(capacities.arithmetic),
            "waste": round(sum(item.waste for item in items) / len(items), 3),
        },
    )
    record = measure(ROW, [case], options.repeats)[0]
    return {**record, "samples_per_s": round(1e3 * size / record["median_ms"], 2)}


def _experiment(options: Options) -> Experiment:
    """The published experiment at these sizes, on enough clouds for a scan of its capacities."""
    size = options.batch_size
    data = dataclasses.replace(
        published.data,
        points=options.points,
        batch_size=size,
        train_size=_BATCHES * size,
        test_size=size,
    )
    return dataclasses.replace(published, data=data)


def _one_bucket(items: list[Prepared]) -> list[Prepared]:
    common = Counter(item.capacities for item in items).most_common(1)[0][0]
    return [item for item in items if item.capacities == common]
