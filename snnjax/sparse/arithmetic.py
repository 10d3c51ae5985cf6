"""Measured choices of the algorithm for sparse convolutions and for products with spikes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import jax

ARITHMETICS = ("pairs", "table")
TYPICAL_OCCUPANCY = 0.25  # surfaces have about 5 to 8 of 27 neighbours


@dataclass(frozen=True)
class ArithmeticRule:
    """Use compacted pairs below an occupancy, from a number of rows on, on one backend."""

    backend: str
    min_rows: int
    pairs_below: float


@dataclass(frozen=True)
class ProductRule:
    """Use events instead of a dense product below a density, from a number of weights on."""

    backend: str
    min_weights: int  # N * M
    min_rows: int
    events_below: float  # density of the fullest row


@dataclass(frozen=True)
class ArithmeticTable:
    """Chooses "pairs" or "table" from static shapes alone, so that a resumed run chooses the same.

    The rule with the largest `min_rows` not above the rows of the batch applies. The defaults were
    measured by `experiments/bench/dense.py`, where pairs win up to a full grid, and by
    `experiments/bench/events.py`; measure your machine with `snnjax profile --write-table`.
    Accelerators use the gather-only table, which is deterministic there, and dense products.

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
          occupancy: expected fraction of the K neighbours that are present.
          backend: "cpu", "gpu", "tpu"; None takes jax's default backend.
        """
        rules = [rule for rule in self.rules if _fits(rule, rows, backend)]
        rule = max(rules, key=lambda rule: rule.min_rows, default=None)
        return "pairs" if volume > 1 and rule and occupancy < rule.pairs_below else "table"

    def events_below(self, rows: int, weights: int, backend: str | None = None) -> float:
        """The density of the fullest row up to which a product with spikes is computed by events.

        Of the matching rules the one with the most weights applies, then the one with most rows.

        Args:
          rows: rows of the product on one device. weights: N * M. backend: as in `choose`.
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
        """The table from a file written with `to_json`."""
        return ArithmeticTable.from_json(Path(path).read_text())


def _fits(rule: ArithmeticRule | ProductRule, rows: int, backend: str | None) -> bool:
    return rule.min_rows <= rows and rule.backend == (backend or jax.default_backend())


def check_arithmetic(arithmetic: str | None) -> str | None:
    """`arithmetic`, checked to be a valid name."""
    if arithmetic is not None and arithmetic not in ARITHMETICS:
        raise ValueError(f"arithmetic must be one of {', '.join(ARITHMETICS)}; got {arithmetic!r}.")
    return arithmetic
