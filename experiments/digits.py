"""Spoken digits without delays, with fixed random ones and with learned ones, over seeds.

    python -m experiments.digits --data ../shared/data/fsdd --seeds 0 1 2
    python -m experiments.digits --data ../shared/data/fsdd --seeds 0 --held-out theo
    python -m experiments.digits --picture runs/digits-learned-0      initial and learned delays

Each run is a separate `snnjax train`, in `<run root>/digits-<variant>-<seed>`; one with
a summary is not repeated. All have the weights of 128 hidden neurons; "wide" has no delays
either, and "fixed_wide" has fixed ones, with as many parameters as the learned delays and weights
together. Accuracy is that of the last weights and rounded delays; "continuous" is that of learned
delays without rounding. Mean and spread go to a file `experiments/results/digits.json`, and
as a table to stdout.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax import nnx

from experiments.variants import Variant, compare, spread, write_json
from snnjax.nn import learned_delays
from snnjax.runs import load, read_info
from snnjax.viz import delay_histograms, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIANTS = {
    "none": Variant("spoken_digits"),
    "wide": Variant("spoken_digits", ("--model.hidden", "189")),
    "fixed": Variant("spoken_digits", ("--model.delays", "fixed")),
    "fixed_wide": Variant("spoken_digits", ("--model.delays", "fixed", "--model.hidden", "189")),
    "learned": Variant("spoken_digits_delays"),
}
RESULTS = Path(__file__).parent / "results"


def row(name: str, result: dict[str, Any]) -> str:
    """One line of a Markdown table."""
    continuous = result.get("test_accuracy_continuous")
    cells = [
        name,
        *spread(result),
        "" if continuous is None else f"{100 * continuous:.1f} %",
        f"{result['parameters']:,}",
        f"{result['firing_rate']:.3f}",
        f"{result['seconds'] / 60:.1f} min",
    ]
    return "| " + " | ".join(cells) + " |"


def draw(run_folder: Path) -> Figure:
    """The learned delays of a run, and its initial ones."""
    experiment, model = load(run_folder)
    start = experiment.model.build(read_info(run_folder), rngs=nnx.Rngs(experiment.seed))
    before, after = (
        {name: delays.delay[...] for name, delays in learned_delays(net).items()}
        for net in (start, model)
    )
    if not after:
        raise SystemExit(f"{run_folder} learned no delays; draw a run of the variant 'learned'.")
    longest = max(delays.max_delay for delays in learned_delays(model).values())
    return delay_histograms(before, after, longest)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train missing runs, write the results, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    work = parser.add_mutually_exclusive_group(required=True)
    work.add_argument("--data", help="folder of the recordings")
    work.add_argument("--picture", type=Path, metavar="RUN_FOLDER", help="only draw its delays")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run each")
    parser.add_argument("--held-out", help="test on this speaker instead, trained on the others")
    parser.add_argument(
        "--epochs", type=int, help="passes over the data, by default the experiment's"
    )
    parser.add_argument("--mesh", help="devices of a run, such as data=1; all by default")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--run-root", type=Path, default=Path("runs"), help="where runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args(arguments)
    if options.picture:
        print(save_figure(draw(options.picture), options.results / "delays.png"))
        return
    extra, prefix = ["--data", options.data], "digits"
    for name in ("epochs", "mesh"):
        if (value := getattr(options, name)) is not None:
            extra += [f"--{name}", str(value)]
    if options.held_out:
        prefix = f"digits-without-{options.held_out}"
        extra += ["--data.held-out", options.held_out]
    variants = {name: VARIANTS[name] for name in options.variants}
    figures = compare(variants, options.seeds, options.run_root, extra, prefix=prefix)
    write_json(options.results / f"{prefix}.json", figures)
    print("| delays | accuracy | spread | continuous | parameters | firing rate | time |")
    print("|---|---|---|---|---|---|---|")
    for name, result in figures.items():
        print(row(name, result))


if __name__ == "__main__":
    main()
