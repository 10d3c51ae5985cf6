"""The recorded choice between the two ways of computing a sparse convolution."""

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
class ArithmeticTable:
    """Chooses "pairs" or "table" from static shapes alone, so that a resumed run chooses alike.

    The rule with the largest `min_rows` not above the rows of the batch decides. The defaults are
    measurements of `experiments/bench/dense.py`, where pairs win up to a full grid; those of one
    machine come from `snnjax profile --write-table`. Accelerators take the gather-only table,
    which is deterministic there.

    >>> ArithmeticTable().choose(rows=30_000, volume=27, occupancy=0.2, backend="cpu")
    'pairs'
    """

    rules: tuple[ArithmeticRule, ...] = (
        ArithmeticRule("cpu", 0, 0.0),
        ArithmeticRule("cpu", 128, 1.01),
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
        backend = jax.default_backend() if backend is None else backend
        rules = [rule for rule in self.rules if rule.backend == backend and rule.min_rows <= rows]
        if volume == 1 or not rules:
            return "table"
        rule = max(rules, key=lambda rule: rule.min_rows)
        return "pairs" if occupancy < rule.pairs_below else "table"

    def to_json(self) -> str:
        """The rules as JSON, for the run folder."""
        return json.dumps([vars(rule) for rule in self.rules], indent=1)

    @staticmethod
    def from_json(text: str) -> ArithmeticTable:
        """The inverse of `to_json`."""
        return ArithmeticTable(tuple(ArithmeticRule(**rule) for rule in json.loads(text)))

    @staticmethod
    def read(path: str | Path) -> ArithmeticTable:
        """The table of a file written from `to_json`."""
        return ArithmeticTable.from_json(Path(path).read_text())


def check_arithmetic(arithmetic: str | None) -> str | None:
    """The argument itself, if it names an arithmetic."""
    if arithmetic is not None and arithmetic not in ARITHMETICS:
        raise ValueError(f"arithmetic must be one of {', '.join(ARITHMETICS)}; got {arithmetic!r}.")
    return arithmetic
