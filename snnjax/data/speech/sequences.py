"""Labelled sequences of frames in memory."""

from __future__ import annotations

import numpy as np

from snnjax.data.source import Sample


class SequenceSet:
    """Sequences of different lengths: one flat array of frames, and offsets.

    Args:
      frames: [T_i, C] each, of one dtype; counts stay integers until a batch is made of them.
      labels: int32 [N] into `class_names`. speakers: N names. names: names of the samples.
      skipped: samples left out while reading.
    """

    sample_shape = None

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

    def frames(self, i: int) -> np.ndarray:
        """The frames of sample i, [T_i, C] (a view)."""
        return self.flat[self.offset[i] : self.offset[i + 1]]

    def sample(self, i: int, rng: np.random.Generator | None) -> Sample:
        """Frames and label of sample i; nothing is drawn."""
        return {"frames": self.frames(i), "label": self.labels[i]}

    def name(self, i: int) -> str:
        """The name of the recording."""
        return self.names[i]
