"""One split of labelled pictures, decoded and in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures of one shape with their labels.

    >>> images = np.zeros((2, 8, 8, 1), np.uint8)
    >>> split = ImageSet(images, np.array([0, 1], np.int32), ("cat", "dog"), ("a.png", "b.png"))
    >>> split.sample_shape, split.sample(1, None)["label"].item(), split.name(1)
    ((8, 8, 1), 1, 'b.png')
    """

    images: np.ndarray
    """uint8 [N, H, W, C]"""
    labels: np.ndarray
    """int32 [N]"""
    class_names: tuple[str, ...]
    names: tuple[str, ...] = ()
    """name of each sample in messages and figures; its position if empty"""
    skipped: int = 0
    """samples left out because they could not be read"""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def in_channels(self) -> int:
        """1 (grey) or 3 (colour)."""
        return self.images.shape[3]

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """H, W, C of every picture."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    def sample(self, i: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """The picture uint8 [H, W, C] and its label; nothing is drawn here."""
        return {"image": self.images[i], "label": self.labels[i]}

    def name(self, i: int) -> str:
        """The name of sample i in messages and figures."""
        return self.names[i] if self.names else f"#{i}"
