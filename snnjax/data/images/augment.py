"""Random changes of pictures on the host: crop, flip, RandAugment, erasing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .operations import OPERATIONS, apply

_FIXED = 10  # draws of a sample in addition to those of its operations


@dataclass(frozen=True)
class ImageAugment:
    """Random changes of a training picture, applied in this order.

        pad and crop;  mirror;  `operations` random changes;  cutout and erasing
        normalise (always);  mixup or cutmix, on the device

    Papers: Cubuk et al., "RandAugment", NeurIPS 2020; DeVries and Taylor, "Cutout", 2017; Zhong et
    al., "Random Erasing", AAAI 2020; Zhang et al., "mixup", ICLR 2018; Yun et al., "CutMix", ICCV
    2019.
    """

    crop: int = 0
    """pixels added on each side before a random crop of the old size"""
    flip: bool = False
    """mirror left and right in half of the pictures"""
    operations: int = 0
    """number of RandAugment's changes, each drawn from its 14"""
    magnitude: float = 9.0
    """their strength, 0 to 10"""
    cutout: int = 0
    """side of a square around a random pixel that is filled"""
    erase: float = 0.0
    """chance that a rectangle of 2 to 33 % of the area is filled"""
    fill: int = 0
    """value of pixels from outside the picture and of erased ones, 0 to 255"""
    mixup: float = 0.0
    """alpha of the Beta distribution that mixes two pictures; 0: off"""
    cutmix: float = 0.0
    """alpha of the Beta distribution of the area pasted from another picture; 0: off"""
    mix_probability: float = 1.0
    """chance that a batch is mixed; with mixup and cutmix, one of the two with equal chances"""

    def __post_init__(self):
        for name in ("crop", "operations", "cutout"):
            value = getattr(self, name)
            if value != int(value) or value < 0:
                raise ValueError(f"`{name}` must be an integer of at least 0; got {value}")
        for name, high in (("magnitude", 10), ("erase", 1), ("fill", 255), ("mix_probability", 1)):
            if not 0 <= getattr(self, name) <= high:
                raise ValueError(f"`{name}` must be in [0, {high}]; got {getattr(self, name)}")
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(
                    f"`{name}` is the alpha of a Beta distribution, finite and at least 0; "
                    f"got {getattr(self, name)}. 0 turns it off, 1 is uniform"
                )

    @property
    def mixes(self) -> bool:
        """Whether mixing makes labels soft."""
        return self.mix_probability > 0 and (self.mixup > 0 or self.cutmix > 0)

    @property
    def for_voting(self) -> ImageAugment:
        """Crops and flips alone: the changes that keep all of a picture recognisable."""
        return replace(ImageAugment(), crop=self.crop, flip=self.flip, fill=self.fill)

    def __call__(self, images: np.ndarray, rngs: list[np.random.Generator]) -> np.ndarray:
        """Change a batch; sample b uses only draws from rngs[b].

        The draws of crop, flip and erasing do not depend on which of them are in use.

        Args:
          images: uint8 [B, H, W, C], not modified. rngs: B generators.

        Returns:
          uint8 [B, H, W, C].
        """
        draws = _FIXED + 2 * self.operations
        q = np.stack([rng.random(draws) for rng in rngs])
        out = crop_and_flip(
            images,
            self.crop,
            _below(q[:, :2], 2 * self.crop + 1),
            self.flip & (q[:, 2] < 0.5),
            self.fill,
        )
        if self.operations:
            chosen = _below(q[:, _FIXED::2], len(OPERATIONS))
            negative = q[:, _FIXED + 1 :: 2] < 0.5
            for b in range(len(out)):
                for op, sign in zip(chosen[b], negative[b], strict=True):
                    out[b] = apply(OPERATIONS[op], out[b], self.magnitude, bool(sign), self.fill)
        if self.cutout:
            fill_boxes(out, _squares(q[:, 3:5], out.shape[1:3], self.cutout), self.fill)
        if self.erase:
            boxes = _rectangles(q[:, 5:9], out.shape[1:3])
            fill_boxes(out, boxes * (q[:, 9:10] < self.erase), self.fill)
        return out


def crop_and_flip(
    images: np.ndarray, padding: int, corner: np.ndarray, flip: np.ndarray, fill: int
) -> np.ndarray:
    """Crop padded pictures to their old size, and mirror some; a new array.

    Args:
      images: uint8 [B, H, W, C]. padding: pixels on each side. corner: first row and column of each
        crop, integers [B, 2] in 0 .. 2 * padding. flip: bool [B]. fill: value of the padding.
    """
    batch, height, width, channels = images.shape
    padded = images
    if padding:
        shape = (batch, height + 2 * padding, width + 2 * padding, channels)
        padded = np.full(shape, fill, np.uint8)
        padded[:, padding:-padding, padding:-padding] = images
    out = np.empty_like(images)
    for b, ((row, column), mirrored) in enumerate(zip(corner.tolist(), flip.tolist(), strict=True)):
        crop = padded[b, row : row + height, column : column + width]
        out[b] = crop[:, ::-1] if mirrored else crop
    return out


def fill_boxes(images: np.ndarray, boxes: np.ndarray, fill: int) -> None:
    """Fill the rows top:bottom and columns left:right of each picture, in place.

    Args:
      images: uint8 [B, H, W, C]. boxes: integers [B, 4]: top, bottom, left, right.
    """
    for b, (top, bottom, left, right) in enumerate(boxes.tolist()):
        images[b, top:bottom, left:right] = fill


def _squares(q: np.ndarray, size: tuple[int, ...], side: int) -> np.ndarray:
    """Squares around uniformly drawn pixels, clipped to the picture; [B, 4]."""
    height, width = size
    first = np.stack([_below(q[:, 0], height), _below(q[:, 1], width)], axis=1) - side // 2
    low = np.maximum(first, 0)
    high = np.minimum(first + side, (height, width))
    return np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)


def _rectangles(q: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Rectangles of 2 to 33 % of the area and a ratio of sides of 0.3 to 3.3, inside; [B, 4]."""
    height, width = size
    area = (0.02 + 0.31 * q[:, 0]) * height * width
    ratio = np.exp(np.log(0.3) + (np.log(3.3) - np.log(0.3)) * q[:, 1])
    high = np.clip(np.round(np.sqrt(area * ratio)), 1, height).astype(np.int64)
    wide = np.clip(np.round(np.sqrt(area / ratio)), 1, width).astype(np.int64)
    top, left = _below(q[:, 2], height - high + 1), _below(q[:, 3], width - wide + 1)
    return np.stack([top, top + high, left, left + wide], axis=1)


def _below(q: np.ndarray, count: int | np.ndarray) -> np.ndarray:
    """Integers 0 .. count - 1 from uniform numbers in [0, 1)."""
    return np.floor(q * count).astype(np.int64)
