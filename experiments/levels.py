"""Neurons of D = 1, 2, 4 and the ANN twin on one experiment, over seeds, at an equal budget.

    python -m experiments.levels e3dsnn_t_modelnet40 --epochs 12 --seeds 0 1 2

Each run is a `snnjax train` of its own, in `<run root>/<experiment>-<variant>-<seed>`; one that has
a summary already is not repeated. Mean and spread go to a file
`experiments/results/levels-<experiment>.json`, and as a table to stdout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VARIANTS = {
    "D1": ["--model.levels", "1"],
    "D2": ["--model.levels", "2"],
    "D4": ["--model.levels", "4"],
    "ANN": ["--model.twin"],
}
RESULTS = Path(__file__).parent / "results"


def train(experiment: str, variant: str, seed: int, root: Path, options: Sequence[str]) -> dict:
    """The summary of one run, trained now unless it is there."""
    folder = root / f"{experiment}-{variant}-{seed}"
    summary = folder / "summary.json"
    if not summary.is_file():
        command = [sys.executable, "-m", "experiments.train", experiment, *VARIANTS[variant]]
        command += ["--seed", str(seed), "--run-folder", str(folder), "--no-progress", *options]
        if folder.exists():
            command.append("--resume")
        print(f"{folder} ...", file=sys.stderr, flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(summary.read_text())


def condense(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean, lowest and highest of what differs between seeds."""
    accuracy = [run["test_accuracy"] for run in runs]
    keys = ("firing_rate", "synops", "macs", "acs", "energy_mj", "seconds")
    means = {
        key: statistics.mean(values)
        if (values := [r[key] for r in runs if r[key] is not None])
        else None
        for key in keys
    }
    return {
        "accuracy": statistics.mean(accuracy),
        "lowest": min(accuracy),
        "highest": max(accuracy),
        "accuracies": accuracy,
        "epochs": runs[0]["epochs"],
        "steps": runs[0]["steps"],
        "devices": runs[0]["devices"],
        **means,
    }


def row(variant: str, result: dict[str, Any]) -> str:
    """One line of a Markdown table."""
    rate = "" if variant == "ANN" else f"{result['firing_rate']:.3f}"
    spread = f"{100 * result['lowest']:.1f} to {100 * result['highest']:.1f}"
    cells = [
        "ANN twin" if variant == "ANN" else f"D = {variant[1:]}",
        f"{100 * result['accuracy']:.1f} %",
        spread,
        rate,
        f"{result['acs'] / 1e6:.2f} M",
        f"{result['macs'] / 1e6:.2f} M",
        f"{1e3 * result['energy_mj']:.1f} µJ",
        f"{result['seconds'] / 60:.1f} min",
    ]
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, write the figures, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", help="name of an experiment in experiments/configs")
    parser.add_argument("--epochs", type=int, help="passes over the data; as the experiment says")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run each")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--run-root", type=Path, default=Path("runs"), help="where runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    options = parser.parse_args(arguments)
    extra = [] if options.epochs is None else ["--epochs", str(options.epochs)]
    results = {variant: [] for variant in options.variants}
    for seed in options.seeds:
        for variant, runs in results.items():
            runs.append(train(options.experiment, variant, seed, options.run_root, extra))
    condensed = {variant: condense(runs) for variant, runs in results.items()}
    path = options.results / f"levels-{options.experiment}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(condensed, indent=1) + "\n", encoding="utf-8")
    print("| neuron | accuracy | spread | firing rate | AC | MAC | energy | time |")
    print("|---|---|---|---|---|---|---|---|")
    for variant, result in condensed.items():
        print(row(variant, result))


if __name__ == "__main__":
    main()
