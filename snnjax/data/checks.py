"""Checks of settings and of batches that every kind of data shares."""

from __future__ import annotations

import numpy as np


def at_least_one(name: str, value: int) -> None:
    """Raise a ValueError unless the field `name` holds an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1; got {value!r}.")


def check_finite(batch: dict[str, np.ndarray], split: str, rows: np.ndarray | None = None) -> None:
    """Raise if an array of a batch holds NaN or infinity, naming the samples.

    Inside a step the loss would become NaN without saying where, and the weights would be ruined.

    Args:
      batch: on the host. split: for the message. rows: the rows of the batch that its arrays hold,
        as in `batches`; None for all.
    """
    for name, array in batch.items():
        if array.dtype.kind != "f":
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(array.sum(dtype=np.float64)):  # the fast check
                continue
        finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        index = batch["index"] if rows is None else batch["index"][rows]
        bad = ", ".join(str(int(i)) for i in index[~finite][:10])
        if bad:
            raise ValueError(
                f"samples must hold numbers; `{name}` of the {split} split holds NaN or infinity "
                f"in these, by their index: {bad}. Correct or remove them, then resume the run."
            )
