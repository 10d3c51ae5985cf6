"""Variants of an experiment over seeds: train missing runs, and summarise the results."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Variant(NamedTuple):
    """An experiment and the options that make it this variant."""

    experiment: str
    options: tuple[str, ...] = ()


def train(name: str, variant: Variant, seed: int, root: Path, options: Sequence[str]) -> dict:
    """The summary of the run in `<root>/<name>-<seed>`, which is trained if missing."""
    folder = root / f"{name}-{seed}"
    summary = folder / "summary.json"
    if not summary.is_file():
        command = [sys.executable, "-m", "experiments.train", variant.experiment, *variant.options]
        command += ["--seed", str(seed), "--run-folder", str(folder), "--no-progress", *options]
        if folder.exists():
            command.append("--resume")
        print(f"{folder} ...", file=sys.stderr, flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(summary.read_text())


def compare(
    variants: Mapping[str, Variant],
    seeds: Sequence[int],
    root: Path,
    options: Sequence[str] = (),
    *,
    prefix: str,
    score: str = "accuracy",
) -> dict[str, dict[str, Any]]:
    """Train every variant with every seed; mean and spread of each, see `condense`."""
    runs: dict[str, list[dict]] = {name: [] for name in variants}
    for seed in seeds:
        for name, variant in variants.items():
            runs[name].append(train(f"{prefix}-{name}", variant, seed, root, options))
    return {name: condense(made, score) for name, made in runs.items()}


def condense(runs: Sequence[Mapping[str, Any]], score: str = "accuracy") -> dict[str, Any]:
    """Mean, lowest and highest of the numbers that differ between seeds.

    Args:
      runs: summaries. score: the number on the test split that is compared.

    Raises:
      ValueError: the runs differ in length, number of devices or model, for instance because one
        was made earlier with other options.
    """
    same = {}
    for key in ("epochs", "steps", "devices", "parameters"):
        found = [run[key] for run in runs]
        if len(set(found)) > 1:
            raise ValueError(
                f"runs to be averaged differ in {key}: {found}. Delete the folders of those made "
                "with other options, or give another --run-root."
            )
        same[key] = found[0]
    scores = [run[f"test_{score}"] for run in runs]
    keys = ["firing_rate", "synops", "macs", "acs", "energy_mj", "seconds"]
    if all("test_accuracy_continuous" in run for run in runs):  # delays are learned
        keys += ["test_accuracy_continuous", "mean_delay", "clamp_occupancy"]
    means = {
        key: statistics.mean(values)
        if (values := [run[key] for run in runs if run[key] is not None])
        else None
        for key in keys
    }
    return {
        "score": score,
        "mean": statistics.mean(scores),
        "lowest": min(scores),
        "highest": max(scores),
        "scores": scores,
        **same,
        **means,
    }


def spread(result: Mapping[str, Any]) -> tuple[str, str]:
    """Mean score, and its range over the seeds, in percent.

    >>> spread({"mean": 0.5, "lowest": 0.25, "highest": 0.625})
    ('50.0 %', '25.0 to 62.5')
    """
    low, high = 100 * result["lowest"], 100 * result["highest"]
    return f"{100 * result['mean']:.1f} %", f"{low:.1f} to {high:.1f}"


def write_json(path: Path, figures: Mapping[str, Any]) -> None:
    """Write results into the results folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
