"""The end of a run: summary, pictures, report."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from snnjax import viz
from snnjax.metrics import LayerRate, rate_alarms
from snnjax.nn import inputs_of, learned_delays, probe
from snnjax.nn.health import spiking_paths
from snnjax.runs import hosts
from snnjax.runs.writer import read_metrics, write_json
from snnjax.train import (
    Evaluation,
    Loop,
    Reporter,
    Trained,
    TrainState,
    Weights,
    described,
    evaluations,
    fetch,
    merge_model,
)

WARM = 100
"""Number of updates below which running averages are still close to their initial values."""


def finish(loop: Loop, folder: Path, state: TrainState) -> dict[str, Any]:
    """Write summary.json and the report of a trained state, and return the summary.

    All processes must call this; the first one writes.
    """
    session, trained = loop.session, loop.trained(state)
    experiment, dataset = session.experiment, session.test_set
    result = loop.result
    if result is None:  # the run was complete when it was resumed
        result = trained.evaluate(dataset)
    summary = summarise(loop, folder, state, result)
    weights = fetch(trained.weights) if hosts.several() else trained.weights
    here = dataclasses.replace(trained, weights=weights)
    try:
        if hosts.is_first():
            write_json(folder / "summary.json", summary)
        summary |= evaluations(experiment.evaluators, trained, dataset)
    finally:  # an evaluator that fails does not take the scores and the report with it
        if hosts.is_first():
            write_json(folder / "summary.json", summary)
            _report(loop, folder, here, result, summary)
    return summary


def _report(
    loop: Loop, folder: Path, trained: Trained, result: Evaluation, summary: dict[str, Any]
) -> None:
    """Warn of silent and saturated layers, and draw the report where matplotlib is available."""
    session = loop.session
    task, rates = session.experiment.task, result.rates()
    alarms = alarm_lines(rates, loop.progress.step)
    for sentence in alarms:
        loop.reporter.warn(sentence)
    if not _matplotlib(loop.reporter):
        return
    shown = (
        *sample_pictures(trained, session.test_set),
        *delay_pictures(loop, trained),
        *task.pictures(result.sums, session.info),
    )
    page = viz.write_report(
        folder,
        summary,
        read_metrics(folder / "metrics.jsonl"),
        shown,
        rates,
        score=loop.goal.name,
        alarms=alarms,
        notes=task.notes(),
    )
    loop.reporter.say(f"pictures and report: {page}")


def alarm_lines(rates: Sequence[LayerRate], steps: int) -> tuple[str, ...]:
    """One sentence for each kind of alarm: the cause, for the first layer that has it.

    A silent layer silences those after it, and after few updates the evaluated averages say
    little about any layer: one sentence per layer would hide the cause.
    """
    lines = []
    for kind in dict.fromkeys(row.alarm for row in rates if row.alarm):
        found = [row for row in rates if row.alarm == kind]
        text = rate_alarms(found[:1])[0]
        if len(found) > 1:
            others = f"{len(found) - 1} layer{'s' if len(found) > 2 else ''} after it"
            text = f"{text} So are {others}; start with the first."
        if steps < WARM:
            text = (
                f"layer {found[0].name!r}"
                + (f" and {others} are" if len(found) > 1 else " is")
                + f" {kind}. After {steps} updates the averages of norms and weights that are "
                "evaluated have not warmed up: train for longer before changing the network."
            )
        lines.append(text)
    return tuple(lines)


def sample_pictures(trained: Trained, dataset: Any) -> tuple[viz.Picture, ...]:
    """Pictures of the first test sample: the input with class and prediction, and the spikes."""
    spec, info = trained.programs.spec, trained.session.info
    sample = dataset.sample(0, None)
    label = sample.get("label")
    batch = spec.source.collate([sample], None)
    shape = trained.session.shapes.fit(batch)
    here = jax.device_put(trained.weights, jax.local_devices()[0])

    def run(weights: Weights, arrays: dict[str, Any]) -> Any:
        encoded = spec.source.encode(arrays, shape, key=None, train=False)
        inputs = dict(spec.task.prepare(encoded, key=None, train=False)[0])
        x = inputs.pop("x")
        model = merge_model(spec.graphdef, weights)
        (_, out), seen = probe(model, spiking)(None, x, **inputs_of(model, inputs))
        spikes = {path: found[1] for path, found in seen.items() if isinstance(found, tuple)}
        return x, spec.task.outputs(out), spikes

    spiking = spiking_paths(trained.model)
    x, outputs, spikes = jax.device_get(jax.jit(run)(here, batch))
    outputs = jax.tree.map(lambda a: a[0], outputs)
    words = [dataset.name(0)]
    if label is not None and np.ndim(label) == 0 and info.class_names:
        words.append(f"true: {info.class_names[int(label)]}")
    with contextlib.suppress(ValueError):  # the task cannot print a prediction
        name, value = spec.task.answer(outputs, info)[0]
        words.append(f"predicted: {name} ({value:.3g})")
    found = {
        "sample": ("A test sample, and the spikes it causes", viz.input_figure),
        "spikes": ("Spikes of a layer for this sample", viz.spikes_figure),
    }
    drawn = spec.task.draw(outputs, described(sample, batch), info)
    pictures = [] if drawn is None else [drawn]
    for name, (caption, draw) in found.items():
        figure = draw(x, spikes, title=", ".join(words))
        if figure is not None:
            pictures.append(viz.Picture(name, caption, figure))
    return tuple(pictures)


def delay_pictures(loop: Loop, trained: Trained) -> tuple[viz.Picture, ...]:
    """Pictures of a model's initial and learned delays; empty if it learns none."""
    after = learned_delays(trained.model)
    if not after:
        return ()
    drawn = merge_model(loop.session.spec.graphdef, loop.session.create().weights)
    longest = {layer.max_delay for layer in after.values()}
    found = []
    for max_delay in sorted(longest):
        before, now = (
            {
                name: fetch(layer.delay[...])
                for name, layer in delays.items()
                if layer.max_delay == max_delay
            }
            for delays in (learned_delays(drawn), after)
        )
        name = "delays" if len(longest) == 1 else f"delays_{max_delay}"
        figure = viz.delay_histograms(before, now, max_delay)
        found.append(viz.Picture(name, "Delays before and after learning", figure))
    return tuple(found)


def _matplotlib(reporter: Reporter) -> bool:
    """Whether matplotlib is available; if not, warn with the fix."""
    try:
        viz.require_matplotlib()
    except ImportError as error:
        reporter.warn(f"no pictures were drawn: {error}")
        return False
    return True


def summarise(loop: Loop, folder: Path, state: TrainState, result: Evaluation) -> dict[str, Any]:
    """The summary of a run, the most important numbers first."""
    progress, session, goal = loop.progress, loop.session, loop.goal.name
    numbers = result.numbers()
    first = ("firing_rate", "synops", "energy_mj", "ann_energy_mj")
    head = {name: numbers.pop(name) for name in first if name in numbers}
    leaves = jax.tree.leaves(state.weights.params)
    return {
        f"test_{goal}": numbers.pop(f"test_{goal}"),
        "parameters": sum(leaf.size for leaf in leaves),
        **head,
        "seconds": round(progress.seconds, 2),
        "compiles": progress.compiles,
        "run_folder": str(folder),
        f"best_test_{goal}": progress.best_score,
        "best_step": progress.best_step,
        "steps": progress.step,
        "epochs": session.spec.epochs,
        "compile_seconds": round(progress.compile_seconds, 2),
        "train_overflow": progress.overflow,
        "skipped": session.info.skipped,
        "train_samples": session.info.train_size,
        "devices": session.mesh.size,
        "platform": session.mesh.devices.flat[0].platform,
        "jax": jax.__version__,
        **numbers,
    }
