"""The end of a run: summary, pictures, report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from snnjax import viz
from snnjax.metrics import rate_alarms
from snnjax.train.evaluate import Evaluation, evaluate_weights
from snnjax.train.folder import DatasetInfo
from snnjax.train.loop import Loop
from snnjax.train.progress import Reporter
from snnjax.train.state import TrainState, evaluated
from snnjax.train.writer import read_metrics, write_json


def finish(loop: Loop, state: TrainState, info: DatasetInfo) -> dict[str, Any]:
    """Write summary.json and the report of a trained state, and return the summary."""
    result = loop.result
    if result is None:  # the run was complete when it was resumed
        result = evaluate_weights(
            loop.programs,
            evaluated(state),
            loop.experiment,
            loop.test_set,
            loop.plan.evaluation,
            loop.mesh,
        )
    summary = summarise(loop, state, info, result)
    write_json(loop.folder / "summary.json", summary)
    rates = result.rates(loop.experiment.model.levels)
    for sentence in rate_alarms(rates):
        loop.reporter.warn(sentence)
    report(loop.folder, summary, result, info, rates, loop.reporter)
    return summary


def summarise(
    loop: Loop, state: TrainState, info: DatasetInfo, result: Evaluation
) -> dict[str, Any]:
    """The numbers of a run; the ones most asked for come first."""
    book = loop.book
    numbers = result.numbers(loop.experiment.model.levels)
    first = ("test_accuracy", "firing_rate", "synops", "energy_mj", "ann_energy_mj")
    head = {name: numbers.pop(name) for name in first}
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


def report(
    folder: Path,
    summary: dict[str, Any],
    result: Evaluation,
    info: DatasetInfo,
    rates: Any,
    reporter: Reporter,
) -> None:
    """Draw the report; without matplotlib say how to get it."""
    try:
        page = viz.write_report(
            folder,
            summary,
            read_metrics(folder / "metrics.jsonl"),
            np.asarray(result.confusion),
            info.class_names,
            rates,
            None,
        )
    except ImportError as error:
        reporter.warn(f"no pictures were drawn: {error}")
        return
    reporter.say(f"pictures and report: {page}")
