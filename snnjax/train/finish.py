"""The end of a run: summary, pictures, report."""

from __future__ import annotations

from typing import Any

import jax
from jax import Array

from snnjax import viz
from snnjax.data import PointBatch
from snnjax.metrics import rate_alarms
from snnjax.train import hosts
from snnjax.train.evaluate import Evaluation, evaluate_delays, evaluate_weights
from snnjax.train.experiment import DataConfig, ModelConfig
from snnjax.train.folder import DatasetInfo
from snnjax.train.forward import to_voxels
from snnjax.train.loop import Loop
from snnjax.train.plan import evaluation_batches, fitting_capacities
from snnjax.train.progress import Reporter
from snnjax.train.state import TrainState, Weights, evaluated, merge_model
from snnjax.train.writer import read_metrics, write_json
from snnjax.viz import CloudLevel


def finish(loop: Loop, state: TrainState, info: DatasetInfo) -> dict[str, Any]:
    """Write summary.json and the report of a trained state, and return the summary.

    Of several processes all take part, and the first one writes.
    """
    result = loop.result
    if result is None:  # the run was complete when it was resumed
        result = evaluate_weights(
            loop.programs,
            evaluated(state),
            loop.experiment,
            loop.test_set,
            loop.evaluation,
            loop.mesh,
        )
    delays = evaluate_delays(
        loop.programs, evaluated(state), loop.experiment, loop.test_set, loop.mesh
    )
    summary = summarise(loop, state, info, result) | delays
    weights = hosts.fetch(evaluated(state)) if hosts.several() else evaluated(state)
    if not hosts.is_first():
        return summary
    write_json(loop.folder / "summary.json", summary)
    rates = result.rates(loop.experiment.model.largest_count)
    for sentence in rate_alarms(rates):
        loop.reporter.warn(sentence)
    if not _matplotlib(loop.reporter):
        return summary
    page = viz.write_report(
        loop.folder,
        summary,
        read_metrics(loop.folder / "metrics.jsonl"),
        result.confusion,
        info.class_names,
        rates,
        spike_cloud(loop, weights),
    )
    loop.reporter.say(f"pictures and report: {page}")
    return summary


def spike_cloud(loop: Loop, weights: Weights) -> tuple[CloudLevel, ...] | None:
    """The first test cloud, and its spikes where the network leaves each resolution.

    None for sequences, for a model that does not show its spikes, and for the ANN twin.
    """
    spec = loop.programs.spec
    config, network = loop.experiment.data, loop.experiment.model
    if not (isinstance(config, DataConfig) and isinstance(network, ModelConfig)) or network.twin:
        return None
    if not hasattr(merge_model(spec.graphdef, weights), "spike_levels"):
        return None
    batch = next(iter(evaluation_batches(config, loop.test_set)))
    one = PointBatch(*(column[:1] for column in batch))
    capacities = fitting_capacities(one, config.extent, merge_model(spec.graphdef, weights).depth)

    def spikes(weights: Weights, points: Array, count: Array) -> Any:
        x = to_voxels(points, count, config.extent, capacities)
        model = merge_model(spec.graphdef, weights)
        levels = dict(model.spike_levels(x, capacities=capacities))
        return x, {name: s for name, s in levels.items() if name.endswith(".down")}

    here = jax.device_put(weights, loop.mesh.local_devices[0])
    x, levels = jax.device_get(jax.jit(spikes)(here, one.points, one.count))
    named = [(f"spikes entering {name.split('.')[0]}", s) for name, s in levels.items()]
    return viz.cloud_levels(x, named[:3])


def _matplotlib(reporter: Reporter) -> bool:
    """Whether pictures can be drawn; if not, say how to get them."""
    try:
        viz.require_matplotlib()
    except ImportError as error:
        reporter.warn(f"no pictures were drawn: {error}")
        return False
    return True


def summarise(
    loop: Loop, state: TrainState, info: DatasetInfo, result: Evaluation
) -> dict[str, Any]:
    """The numbers of a run; the ones most asked for come first."""
    book = loop.book
    numbers = result.numbers(loop.experiment.model.largest_count)
    first = ("test_accuracy", "firing_rate", "synops", "energy_mj", "ann_energy_mj")
    head = {name: numbers.pop(name) for name in first if name in numbers}
    leaves = jax.tree.leaves(state.weights.params)
    return {
        "test_accuracy": head.pop("test_accuracy"),
        "parameters": sum(leaf.size for leaf in leaves),
        **head,
        "seconds": round(book.seconds, 2),
        "compiles": book.compiles,
        "run_folder": str(loop.folder),
        "best_test_accuracy": book.best_test_accuracy,
        "best_step": book.best_step,
        "steps": book.step,
        "epochs": loop.experiment.epochs,
        "compile_seconds": round(book.compile_seconds, 2),
        "train_overflow": book.overflow,
        "skipped": info.skipped,
        "train_samples": info.train_size,
        "devices": loop.mesh.size,
        "platform": loop.mesh.devices.flat[0].platform,
        "jax": jax.__version__,
        **numbers,
    }
