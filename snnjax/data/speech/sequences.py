"""Labelled sequences of frames in memory, served like the clouds of a `PointDataset`."""

from __future__ import annotations

import numpy as np


class SequenceSet:
    """Sequences of different lengths: one flat array of frames, and offsets.

    A `PointDataset` whose points are frames in the order of time.

    Args:
      frames: [T_i, C] each, of one dtype; counts stay integers until they are served.
      labels: int32 [N] into `class_names`. speakers: N names. names: of the samples.
      skipped: samples left out while reading.
    """

    def __init__(
        self,
        frames: list[np.ndarray],
        labels: np.ndarray,
        class_names: tuple[str, ...],
        *,
        speakers: tuple[str, ...],
        names: tuple[str, ...],
        skipped: int = 0,
    ):
        self.flat = np.concatenate(frames)
        self.offset = np.zeros(len(frames) + 1, np.int64)
        np.cumsum([len(f) for f in frames], out=self.offset[1:])
        self.labels, self.class_names = labels, class_names
        self.speakers, self.names, self.skipped = speakers, names, skipped
        self.in_channels = int(self.flat.shape[1])

    def __len__(self) -> int:
        return len(self.labels)

    def points(self, i: int) -> np.ndarray:
        """The frames of sample i, float32 [T_i, C]."""
        return self.flat[self.offset[i] : self.offset[i + 1]].astype(np.float32)

    @property
    def longest(self) -> int:
        """Frames of the longest sample."""
        return int(np.diff(self.offset).max())

    def longer(self, steps: int) -> int:
        """How many samples have more than `steps` frames."""
        return int((np.diff(self.offset) > steps).sum())

    def label(self, i: int) -> int:
        return int(self.labels[i])

    def gather(
        self, index: np.ndarray, points: int, rngs: list[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The first `points` frames of each, float32 [B, points, C], and how many there are.

        What is longer loses its end; zeros follow what is shorter. Nothing is drawn from `rngs`.
        """
        start = self.offset[index]
        count = np.minimum(np.diff(self.offset)[index], points).astype(np.int32)
        out = np.zeros((len(index), points, self.in_channels), np.float32)
        for row, (first, n) in enumerate(zip(start.tolist(), count.tolist(), strict=True)):
            out[row, :n] = self.flat[first : first + n]
        return out, count
