"""The source of labelled pictures, as `snnjax.data` requires it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
from jax import Array

from snnjax.data.source import Batch, Dataset, Layout, Sample, Shapes, SourceBase, Static, stack

from .augment import ImageAugment
from .dataset import ImageSet
from .decode import read_image
from .form import Form, Resize
from .load import load_images
from .mix import mix, normalise

DIGITS = tuple("0123456789")
CLOTHES = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


@dataclass(frozen=True)
class ImageSource(SourceBase):
    """Pictures with a class each, from a folder whose layout is recognised.

    See `snnjax.data.images.folder.LAYOUTS` for the layouts and `snnjax.data.images.packed` for the
    arrays of packed files. All pictures are decoded once, into memory. A batch holds `image` uint8
    [B, H, W, C] and `label` int32 [B]; the model gets `x` float32 [B, H, W, C], normalised, and
    `label`, which is float32 [B, K] after mixup or cutmix.

    >>> ImageSource.cifar10("data/cifar10").shape
    (32, 32, 3)
    """

    image_size: tuple[int, int] = (32, 32)
    """Height and width of every picture."""
    channels: int = 3
    """3: colour, grey is repeated; 1: grey."""
    resize: Resize = "exact"
    """Pictures of another size: "exact" refuses them, "crop" scales and crops the middle, "pad"
    scales and adds borders, "stretch" changes the aspect."""
    mean: tuple[float, ...] = (0.0,)
    """Mean of each channel, or of all, for pixels in [0, 1]."""
    std: tuple[float, ...] = (1.0,)
    """Standard deviation of each channel, or of all, for pixels in [0, 1]."""
    class_names: tuple[str, ...] = ()
    """Names of the labels in order, for data that have none of their own."""
    memory_gb: float = 4.0
    """The most that the decoded pictures of a split may take, in units of 2**30 bytes."""
    augment: ImageAugment = field(default_factory=ImageAugment)
    """Random changes of training pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.image_size
        if len(size) != 2 or not all(isinstance(n, int) and n >= 1 for n in size):
            raise ValueError(f"data.image_size must be (height, width), at least 1; got {size}")
        if self.channels not in (1, 3):
            raise ValueError(f"data.channels must be 1 (grey) or 3 (colour); got {self.channels}")
        if self.resize not in get_args(Resize):
            raise ValueError(f"data.resize must be one of {get_args(Resize)}; got {self.resize!r}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) not in (1, self.channels) or not np.isfinite(values).all():
                raise ValueError(
                    f"data.{name} must be one number, or {self.channels} for the channels; "
                    f"got {values}"
                )
        if min(self.std) <= 0:
            raise ValueError(f"data.std must be above 0; got {self.std}")
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError(f"data.class_names must differ; got {self.class_names}")
        if not self.memory_gb > 0:
            raise ValueError(f"data.memory_gb must be above 0; got {self.memory_gb}")

    @classmethod
    def mnist(cls, path: str, **options: Any) -> Self:
        """MNIST: 28 x 28, grey, with its usual normalisation. `options` are further fields."""
        size, mean, std = (28, 28), (0.1307,), (0.3081,)
        known = cls(path, image_size=size, channels=1, mean=mean, std=std, class_names=DIGITS)
        return replace(known, **options)

    @classmethod
    def fashion_mnist(cls, path: str, **options: Any) -> Self:
        """Fashion-MNIST: as `mnist`, with its own normalisation and class names."""
        known = cls.mnist(path, mean=(0.286,), std=(0.353,), class_names=CLOTHES)
        return replace(known, **options)

    @classmethod
    def cifar10(cls, path: str, **options: Any) -> Self:
        """CIFAR-10: 32 x 32, colour, with its usual normalisation."""
        mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
        return replace(cls(path, mean=mean, std=std), **options)

    @property
    def shape(self) -> tuple[int, int, int]:
        """H, W, C of every picture."""
        return self.form.shape

    @property
    def form(self) -> Form:
        """The shape of every picture, and how other sizes are brought to it."""
        return Form(*self.image_size, self.channels, self.resize, self.augment.fill)

    def open(self, split: str) -> ImageSet:
        return load_images(
            self.path,
            split,
            self.form,
            class_names=self.class_names,
            size=self.size(split),
            skip_bad=self.skip_bad,
            memory_gb=self.memory_gb,
        )

    def collate(self, samples: list[Sample], rngs: list[np.random.Generator] | None) -> Batch:
        batch = stack(samples)
        return batch if rngs is None else batch | {"image": self.augment(batch["image"], rngs)}

    def shapes(self, train: Dataset | None, test: Dataset, model: Any, layout: Layout) -> Shapes:
        return SoftLabels(len(test.class_names)) if self.augment.mixes else Static()

    def shapes_from_json(self, values: dict[str, Any], model: Any, layout: Layout) -> Shapes:
        if not self.augment.mixes:
            return super().shapes_from_json(values, model, layout)
        classes = values.get("num_classes")
        if set(values) != {"num_classes"} or not isinstance(classes, int) or classes < 1:
            raise ValueError(f"mixed labels need num_classes alone, at least 1; got {values!r}.")
        return SoftLabels(classes)

    def encode(
        self, batch: dict[str, Array], shape: int | None, *, key: Array | None, train: bool
    ) -> dict[str, Any]:
        inputs: dict[str, Any] = {"x": normalise(batch["image"], self.mean, self.std)}
        if "label" not in batch:
            return inputs
        if not (train and self.augment.mixes):
            return inputs | {"label": batch["label"]}
        if shape is None or key is None:
            raise ValueError("mixup and cutmix need the bucket of `shapes` and a random key.")
        x, label = mix(
            inputs["x"],
            batch["label"],
            shape,
            key=key,
            mixup=self.augment.mixup,
            cutmix=self.augment.cutmix,
            probability=self.augment.mix_probability,
        )
        return {"x": x, "label": label}

    def read(self, path: str | Path) -> Sample:
        return {"image": read_image(path, self.form)}

    def for_voting(self) -> Self:
        voting = self.augment.for_voting
        if not (voting.crop or voting.flip):
            return super().for_voting()
        return replace(self, augment=voting)

    def notices(self, *splits: Dataset) -> list[str]:
        return [notice for split in splits for notice in _notices(split, self.channels)]


@dataclass(frozen=True)
class SoftLabels(Static):
    """Batches of one shape whose labels become rows of K numbers."""

    num_classes: int

    def choose(self, batch: Batch, *, train: bool, largest: bool = False) -> int | None:
        return self.num_classes if train else None

    def to_json(self) -> dict[str, Any]:
        return {"num_classes": self.num_classes}


def _notices(split: Dataset, channels: int) -> list[str]:
    if not isinstance(split, ImageSet):
        return []
    found = []
    count = np.bincount(split.labels, minlength=len(split.class_names))
    absent = [name for name, n in zip(split.class_names, count, strict=True) if n == 0]
    if absent:
        listed = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        found.append(f"A split of {len(split)} pictures has none of these classes: {listed}.")
    some = split.images[:: max(1, len(split) // 256)]
    if channels == 3 and (some == some[..., :1]).all():
        found.append("All pictures are grey; data.channels=1 saves two of three channels.")
    return found
