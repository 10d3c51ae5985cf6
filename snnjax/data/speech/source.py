"""Speech as a source of training: frames on the host, time first on the device."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax.numpy as jnp
import numpy as np
from jax import Array

from snnjax.data.checks import at_least_one
from snnjax.data.source import Batch, Dataset, Layout, Sample, SourceBase, Static

from .augment import SpeechAugment
from .front_end import FrontEnd
from .load import load_speech, read_recording
from .sequences import SequenceSet


class Silence(NamedTuple):
    """Frames of silence that follow every sequence, so that delayed spikes still arrive."""

    frames: int


@dataclass(frozen=True)
class FrameShapes(Static):
    """Batches of T frames, of which those after a sample's length are padding.

    Attributes:
      silence: frames of silence after the T frames; 0 for a network without delays.
    """

    silence: int = 0

    def choose(self, batch: Batch, *, train: bool, largest: bool = False) -> Silence | None:
        return self.fit(batch)

    def fit(self, batch: Batch) -> Silence | None:
        return Silence(self.silence) if self.silence else None

    def padding(self, batch: Batch, shape: Silence | None) -> float:
        lengths, frames = batch["lengths"], batch["frames"]
        return 1 - float(lengths.sum()) / (len(lengths) * frames.shape[1])

    def to_json(self) -> dict[str, Any]:
        return {"silence": self.silence} if self.silence else {}


@dataclass(frozen=True)
class SpeechSource(SourceBase):
    """Speech, and how it becomes sequences of T frames."""

    path: str = "../shared/data/fsdd"
    """A folder in a layout that `snnjax.data.speech.load_speech` understands."""
    steps: int = 64
    """T: longer recordings are truncated, shorter ones padded with silence."""
    held_out: str | None = None
    """Test on this speaker and train on all others; None takes the parts of the data set."""
    validate: bool = False
    """Test on the data set's validation part, to choose settings without using the test part. Where
    it has none, on every tenth training sample, which is then not trained on."""
    front_end: FrontEnd = field(default_factory=FrontEnd)
    """How a recording is converted to frames."""
    augment: SpeechAugment = field(default_factory=SpeechAugment)
    """Random changes of the training sequences."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one("data.steps", self.steps)
        if self.front_end.name == "mel_db" and self.augment.puts_zeros:
            raise ValueError(
                "data.augment puts in zeros, which are not silence in dB; use noise alone, or set "
                "data.front_end.name to 'log_mel'."
            )

    def open(self, split: str) -> SequenceSet:
        return load_speech(
            self.path,
            split,
            front_end=self.front_end,
            held_out=self.held_out,
            validate=self.validate,
            size=self.size(split),
            skip_bad=self.skip_bad,
        )

    def collate(self, samples: list[Sample], rngs: list[np.random.Generator] | None) -> Batch:
        """`frames` float32 [B, T, C] with zeros after their `lengths` int32 [B], and `label`."""
        sequences = [sample["frames"][: self.steps] for sample in samples]
        lengths = np.array([len(frames) for frames in sequences], np.int32)
        out = np.zeros((len(sequences), self.steps, sequences[0].shape[1]), np.float32)
        for row, frames in enumerate(sequences):
            out[row, : len(frames)] = frames
        if rngs is not None:
            out, lengths = self.augment(out, lengths, rngs)
        batch = {"frames": out, "lengths": lengths}
        if "label" in samples[0]:
            batch["label"] = np.array([sample["label"] for sample in samples], np.int32)
        return batch

    def shapes(
        self, train: Dataset | None, test: Dataset, model: Any, layout: Layout
    ) -> FrameShapes:
        """The silence that the model requires, its `silent_steps`."""
        return FrameShapes(0 if model is None else model.silent_steps)

    def shapes_from_json(self, values: dict[str, Any], model: Any, layout: Layout) -> FrameShapes:
        silence = values.get("silence", 0)
        if set(values) - {"silence"} or type(silence) is not int or silence < 0:
            raise ValueError(f"speech batches need a `silence`, in frames; got {values}.")
        return FrameShapes(silence)

    def encode(
        self, batch: dict[str, Array], shape: Silence | None, *, key: Array | None, train: bool
    ) -> dict[str, Any]:
        """`x` [T, B, C] followed by the silence of the shape, its `lengths` [B], and `label`."""
        found = super().encode(batch, shape, key=key, train=train)
        x = jnp.swapaxes(found.pop("frames"), 0, 1)
        if shape is not None:
            x = jnp.pad(x, ((0, shape.frames), (0, 0), (0, 0)))
        return {"x": x, **found}

    def read(self, path: str | Path) -> Sample:
        """A wave file through the front end."""
        return {"frames": read_recording(path, self.front_end)}

    def for_testing(self) -> Self:
        if not self.validate:
            return super().for_testing()
        return replace(self, validate=False)

    def notices(self, *splits: Dataset) -> list[str]:
        """A notice about sequences that are too long."""
        lengths = np.concatenate(
            [np.diff(split.offset) for split in splits if isinstance(split, SequenceSet)]
        )
        truncated = int((lengths > self.steps).sum())
        if not truncated:
            return []
        return [
            f"{truncated} of {len(lengths)} sequences have more than data.steps = {self.steps} "
            f"frames and are truncated; the longest has {lengths.max()}."
        ]
