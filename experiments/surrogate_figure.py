"""A picture of all surrogates: spike, derivative, primitive.

    python -m experiments.surrogate_figure

writes experiments/results/surrogates.png, or the file given by --out, in a few seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from snnjax.viz import save_figure, surrogate_gallery

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the picture and print its path."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "surrogates.png", help="the PNG")
    parser.add_argument("--span", type=float, default=4.0, help="half of the horizontal axis")
    options = parser.parse_args(arguments)
    print(save_figure(surrogate_gallery(span=options.span), options.out, dpi=110))


if __name__ == "__main__":
    main()
