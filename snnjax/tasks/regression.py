"""Regression of sequences: membranes, or spike patterns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.data import DataInfo
from snnjax.losses import van_rossum
from snnjax.tasks.task import Sums, Task

DISTANCES = ("mse", "van_rossum")


class Target(NamedTuple):
    """What the output is compared with: values [T, B, ..., N], and the steps that count, [B]."""

    values: Array
    lengths: Array | None


@dataclass(frozen=True)
class Regression(Task):
    """A sequence for each sample: the mean squared error, or the distance of spike trains.

    The source's samples hold the `target`, with the time first after `encode`: [T, B, ..., N], of
    the shape of the model's output. Where the batch holds `lengths`, only the steps before them
    count.
    """

    distance: Literal["mse", "van_rossum"] = "mse"
    """`mse`, of membranes or rates, or `van_rossum`, of spike trains."""
    tau: float = 5.0
    """Time constant in steps of the filter of van_rossum; ignored for mse."""

    def __post_init__(self) -> None:
        if self.distance not in DISTANCES:
            raise ValueError(
                f"task.distance must be {' or '.join(map(repr, DISTANCES))}; got {self.distance!r}."
            )
        if not self.tau > 0:
            raise ValueError(f"task.tau must be above 0; got {self.tau}.")

    @property
    def goal(self) -> str:
        """The smallest distance."""
        return f"min {self.distance}"

    def prepare(
        self, batch: dict[str, Any], *, key: Array | None, train: bool
    ) -> tuple[dict[str, Any], Target]:
        if "target" not in batch:
            raise ValueError(
                "regression needs a `target`, which the samples of this source do not hold; they "
                f"hold {', '.join(batch)}."
            )
        return self.inputs(batch), Target(batch["target"], batch.get("lengths"))

    def loss(self, out: Any, target: Target) -> tuple[Array, Array]:
        self._check_shapes(out, target.values)
        squares, entries = self._squares(out, target)
        if self.distance == "mse":
            return squares, entries
        distance = van_rossum(out, target.values, tau=self.tau, lengths=target.lengths)
        return distance, jnp.ones_like(distance)

    def score(self, out: Any, target: Target, weight: Array) -> Sums:
        squares, entries = self._squares(out, target)
        sums = {"squares": jnp.sum(weight * squares), "entries": jnp.sum(weight * entries)}
        if self.distance == "van_rossum":
            distance, count = self.loss(out, target)
            sums |= {"distance": jnp.sum(weight * distance), "samples": jnp.sum(weight * count)}
        return sums

    def summarise(self, sums: Mapping[str, np.ndarray], info: DataInfo) -> dict[str, float]:
        known = {"mse": float(sums["squares"]) / max(float(sums["entries"]), 1.0)}
        if self.distance == "van_rossum":
            known["van_rossum"] = float(sums["distance"]) / max(float(sums["samples"]), 1.0)
        return known

    def outputs(self, out: Any) -> Array:
        """The sequences, batch first."""
        return jnp.swapaxes(out, 0, 1)

    def answer(self, outputs: Any, info: DataInfo) -> list[tuple[str, float]]:
        """The mean over time of each channel."""
        means = np.asarray(outputs).reshape(len(outputs), -1).mean(0)
        return [(f"channel {i}", float(value)) for i, value in enumerate(means)]

    def _squares(self, out: Array, target: Target) -> tuple[Array, Array]:
        """Squared errors of each sample and how many there are, [B] each."""
        error = out.astype(jnp.float32) - target.values.astype(jnp.float32)
        squares = (error**2).sum(axis=tuple(range(2, error.ndim)))  # [T, B]
        steps = jnp.arange(len(squares))[:, None]
        counted = steps < (len(squares) if target.lengths is None else target.lengths)
        counted = jnp.broadcast_to(counted, squares.shape)
        width = error[0, 0].size
        return jnp.where(counted, squares, 0.0).sum(0), width * counted.sum(0).astype(jnp.float32)

    @staticmethod
    def _check_shapes(out: Any, values: Array) -> None:
        if getattr(out, "shape", None) != values.shape or values.ndim < 3:
            raise ValueError(
                "regression compares an output with a target of the same shape, [T, B, ..., N]; "
                f"got {getattr(out, 'shape', type(out).__name__)} and {values.shape}. Arrays "
                "[N, T, ...] need from_arrays(..., sequences=True)."
            )
