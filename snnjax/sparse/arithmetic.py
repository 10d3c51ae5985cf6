"""The recorded choices: how a sparse convolution is computed, and a product with spikes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import jax

ARITHMETICS = ("pairs", "table")
TYPICAL_OCCUPANCY = 0.25  # surfaces have about 5 to 8 of 27 neighbours


@dataclass(frozen=True)
class ArithmeticRule:
    """Where compacted pairs win: below an occupancy, for at least so many rows, on one backend."""

    backend: str
    min_rows: int
    pairs_below: float


@dataclass(frozen=True)
class ProductRule:
    """Where events win over a dense product: below a density, from so many weights and rows on."""

    backend: str
    min_weights: int  # N * M
    min_rows: int
    events_below: float  # of the fullest row


@dataclass(frozen=True)
class ArithmeticTable:
    """Chooses "pairs" or "table" from static shapes alone, so that a resumed run chooses alike.

    The rule with the largest `min_rows` not above the rows of the batch decides. The defaults are
    measurements of `experiments/bench/dense.py`, where pairs win up to a full grid, and of
    `experiments/bench/events.py`; those of one machine come from `snnjax profile --write-table`.
    Accelerators take the gather-only table, which is deterministic there, and dense products.

    >>> ArithmeticTable().choose(rows=30_000, volume=27, occupancy=0.2, backend="cpu")
    'pairs'
    """

    rules: tuple[ArithmeticRule, ...] = (
        ArithmeticRule("cpu", 0, 0.0),
        ArithmeticRule("cpu", 128, 1.01),
    )
    products: tuple[ProductRule, ...] = (
        ProductRule("cpu", 2**19, 1, 0.3),
        ProductRule("cpu", 2**19, 8, 0.2),
        ProductRule("cpu", 2**23, 1, 0.4),
        ProductRule("cpu", 2**23, 8, 0.25),
    )

    def choose(
        self,
        rows: int,
        volume: int,
        occupancy: float = TYPICAL_OCCUPANCY,
        backend: str | None = None,
    ) -> str:
        """The arithmetic for a map of `rows` flat rows and `volume` offsets.

        Args:
          rows: rows of the batch on one device, B * N.
          volume: kernel offsets, K.
          occupancy: expected share of the K neighbours that are present.
          backend: "cpu", "gpu", "tpu"; None takes jax's default backend.
        """
        rules = [rule for rule in self.rules if _fits(rule, rows, backend)]
        rule = max(rules, key=lambda rule: rule.min_rows, default=None)
        return "pairs" if volume > 1 and rule and occupancy < rule.pairs_below else "table"

    def events_below(self, rows: int, weights: int, backend: str | None = None) -> float:
        """The density of the fullest row up to which a product with spikes goes by events.

        Of the rules that fit, the one with the most weights decides, then the one with most rows.

        Args:
          rows: of the product on one device. weights: N * M. backend: as in `choose`.
        """
        fit = (rule for rule in self.products if _fits(rule, rows, backend))
        rules = [rule for rule in fit if rule.min_weights <= weights]
        rule = max(rules, key=lambda rule: (rule.min_weights, rule.min_rows), default=None)
        return rule.events_below if rule else 0.0

    def to_json(self) -> str:
        """The rules as JSON, for the run folder."""
        return json.dumps(
            {name: [vars(rule) for rule in rules] for name, rules in vars(self).items()}, indent=1
        )

    @staticmethod
    def from_json(text: str) -> ArithmeticTable:
        """The inverse of `to_json`."""
        read = json.loads(text)
        return ArithmeticTable(
            tuple(ArithmeticRule(**rule) for rule in read["rules"]),
            tuple(ProductRule(**rule) for rule in read["products"]),
        )

    @staticmethod
    def read(path: str | Path) -> ArithmeticTable:
        """The table of a file written from `to_json`."""
        return ArithmeticTable.from_json(Path(path).read_text())


def _fits(rule: ArithmeticRule | ProductRule, rows: int, backend: str | None) -> bool:
    return rule.min_rows <= rows and rule.backend == (backend or jax.default_backend())


def check_arithmetic(arithmetic: str | None) -> str | None:
    """The argument itself, if it names an arithmetic."""
    if arithmetic is not None and arithmetic not in ARITHMETICS:
        raise ValueError(f"arithmetic must be one of {', '.join(ARITHMETICS)}; got {arithmetic!r}.")
    return arithmetic
