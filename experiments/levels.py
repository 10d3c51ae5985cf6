"""Neurons of D = 1, 2, 4 and the ANN twin on one experiment, over seeds, at an equal budget.

    python -m experiments.levels e3dsnn_t_modelnet40 --epochs 12 --seeds 0 1 2
    python -m experiments.levels e3dsnn_semantic_kitti_mini --score miou --mesh data=1

Each run is a separate `snnjax train`, in `<run root>/<experiment>-<variant>-<seed>`; one with
a summary is not repeated. Mean and spread go to a file
`experiments/results/levels-<experiment>.json`, and as a table to stdout.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.variants import Variant, compare, spread, write_json

OPTIONS = {
    "D1": ("--model.levels", "1"),
    "D2": ("--model.levels", "2"),
    "D4": ("--model.levels", "4"),
    "ANN": ("--model.twin",),
}
RESULTS = Path(__file__).parent / "results"


def row(variant: str, result: dict[str, Any]) -> str:
    """One line of a Markdown table."""
    cells = [
        "ANN twin" if variant == "ANN" else f"D = {variant[1:]}",
        *spread(result),
        "" if variant == "ANN" else f"{result['firing_rate']:.3f}",
        f"{result['acs'] / 1e6:.2f} M",
        f"{result['macs'] / 1e6:.2f} M",
        f"{1e3 * result['energy_mj']:.1f} µJ",
        f"{result['seconds'] / 60:.1f} min",
    ]
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train missing runs, write the results, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", help="name of an experiment in experiments/configs")
    parser.add_argument(
        "--epochs", type=int, help="passes over the data, by default the experiment's"
    )
    parser.add_argument("--score", default="accuracy", help="what is compared, such as miou")
    parser.add_argument("--mesh", help="devices of a run, such as data=1; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run each")
    parser.add_argument("--variants", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--run-root", type=Path, default=Path("runs"), help="where runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args(arguments)
    extra = [] if options.epochs is None else ["--epochs", str(options.epochs)]
    extra += [] if options.mesh is None else ["--mesh", options.mesh]
    variants = {name: Variant(options.experiment, OPTIONS[name]) for name in options.variants}
    condensed = compare(
        variants,
        options.seeds,
        options.run_root,
        extra,
        prefix=options.experiment,
        score=options.score,
    )
    write_json(options.results / f"levels-{options.experiment}.json", condensed)
    print(f"| neuron | {options.score} | spread | firing rate | AC | MAC | energy | time |")
    print("|---|---|---|---|---|---|---|---|")
    for variant, result in condensed.items():
        print(row(variant, result))


if __name__ == "__main__":
    main()
