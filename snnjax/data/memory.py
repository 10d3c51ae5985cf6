"""Arrays in memory as a source, for notebooks and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .draws import spread
from .source import Dataset, Sample, SourceBase

Arrays = Mapping[str, Any] | tuple[Any, Any]


class ArrayDataset:
    """Samples stored along the first axis of arrays in memory.

    Args:
      arrays: arrays by name, [N, ...] each; `x` is what the model receives, and integers `label`
        [N] are classes.
      class_names: names of the labels.
    """

    skipped = 0

    def __init__(self, arrays: dict[str, np.ndarray], class_names: tuple[str, ...] = ()):
        self.arrays, self.class_names = arrays, class_names
        self.sample_shape = tuple(arrays["x"].shape[1:])
        self.in_channels = int(self.sample_shape[-1]) if self.sample_shape else 1

    def __len__(self) -> int:
        return len(self.arrays["x"])

    def sample(self, i: int, rng: np.random.Generator | None) -> Sample:
        return {name: array[i] for name, array in self.arrays.items()}

    def name(self, i: int) -> str:
        return str(i)

    def take(self, index: np.ndarray) -> ArrayDataset:
        """The samples `index`."""
        return ArrayDataset({name: a[index] for name, a in self.arrays.items()}, self.class_names)


@dataclass(frozen=True, eq=False, kw_only=True)
class ArraySource(SourceBase):
    """Arrays in memory; made by `from_arrays`. They are trained on with `snnjax.runs.fit`.

    `snnjax.runs.train` refuses them: a run folder does not hold the data, so that such a run could
    not be evaluated or resumed from it.
    """

    train: ArrayDataset
    """The training split."""
    test: ArrayDataset | None = None
    """The test split; None tests on the training split."""
    sequences: bool | None = None
    """Whether a sample of `x` is [T, ...]; the model then receives [T, B, ...], else [B, ...]. So
    does a `target` of samples [T, ..., N]. None is no, with a notice where it may be meant."""

    def open(self, split: str) -> ArrayDataset:
        size = self.size(split)
        found = self.train if split == "train" or self.test is None else self.test
        return found if size is None else found.take(spread(len(found), size))

    def encode(
        self, batch: dict[str, Array], shape: Any, *, key: Array | None, train: bool
    ) -> dict[str, Any]:
        found = super().encode(batch, shape, key=key, train=train)
        if not self.sequences:
            return found
        timed = [name for name in ("x", "target") if _has_time(name, found.get(name))]
        return found | {name: jnp.swapaxes(found[name], 0, 1) for name in timed}

    def notices(self, *splits: Dataset) -> list[str]:
        found = []
        if self.test is None:
            found += ["No test arrays were given: test scores are those of the training samples."]
        shape = self.train.sample_shape
        if self.sequences is None and len(shape) in (2, 4):  # neither rows nor images
            found += [
                f"Samples of x are {shape}, and the model receives {('B', *shape)}: if their first "
                "axis is time, give sequences=True to from_arrays, else sequences=False."
            ]
        return found


def _has_time(name: str, array: Array | None) -> bool:
    return array is not None and (name == "x" or array.ndim > 2)


def from_arrays(
    train: Arrays,
    test: Arrays | None = None,
    *,
    class_names: tuple[str, ...] | None = None,
    sequences: bool | None = None,
) -> ArraySource:
    """A source of arrays in memory.

    Args:
      train: (x, y), or arrays by name with `x` among them; [N, ...] each. Integers y [N] are the
        `label` of a sample, its class; any other y is its `target`, as for a regression.
      test: the same; None tests on the training samples.
      class_names: names of the classes; None numbers them.
      sequences: x is [N, T, ...], and the model receives [T, B, ...]; a target [N, T, ..., N] too.
        None is False, with a notice before training if the samples could be sequences.

    Raises:
      ValueError: there is no `x`, arrays differ in length or are empty, or a label is not a class.
      TypeError: an array does not hold numbers.

    >>> source = from_arrays((np.zeros((6, 5, 3)), [0, 1, 2, 0, 1, 2]), sequences=True)
    >>> source.open("train").class_names, source.open("train").sample_shape
    (('0', '1', '2'), (5, 3))
    """
    splits = [_named(arrays) for arrays in (train, test) if arrays is not None]
    if class_names is None:
        labels = [arrays["label"] for arrays in splits if _has_classes(arrays)]
        highest = max((int(label.max()) for label in labels), default=-1)
        class_names = tuple(map(str, range(highest + 1)))
    for arrays in splits:
        if _has_classes(arrays):
            _check_labels(arrays["label"], len(class_names))
    first, *rest = (ArrayDataset(arrays, tuple(class_names)) for arrays in splits)
    if sequences and len(first.sample_shape) < 1:
        raise ValueError(
            f"sequences need x of shape [N, T, ...]; got {first.arrays['x'].shape}. Leave out "
            "`sequences`, or give x an axis of time."
        )
    return ArraySource(train=first, test=rest[0] if rest else None, sequences=sequences)


def _named(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays by name, checked to be numeric and of equal length."""
    if not isinstance(arrays, Mapping) and len(arrays) != 2:
        raise ValueError(f"arrays must be (x, y), or a dict of them; got {len(arrays)} of them.")
    given = arrays if isinstance(arrays, Mapping) else {"x": arrays[0], "label": arrays[1]}
    found = {name: np.asarray(array) for name, array in given.items()}
    label = found.get("label")
    if given is not arrays and label is not None and label.dtype.kind == "f":
        found["target"] = found.pop("label")
    if "x" not in found:
        raise ValueError(f"arrays must have an `x`, what the model receives; got {sorted(found)}.")
    for name, array in found.items():
        if array.dtype.kind not in "biuf":
            raise TypeError(f"`{name}` must hold numbers; got {array.dtype}.")
        if array.ndim == 0 or len(array) != len(found["x"]) or not len(array):
            raise ValueError(
                f"arrays must be [N, ...] with one N of at least 1; `x` is {found['x'].shape} and "
                f"`{name}` {array.shape}."
            )
    return found


def _has_classes(arrays: dict[str, np.ndarray]) -> bool:
    label = arrays.get("label")
    return label is not None and label.ndim == 1 and label.dtype.kind in "biu"


def _check_labels(label: np.ndarray, classes: int) -> None:
    wrong = (label < 0) | (label >= classes)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"labels must be in 0..{classes - 1}; sample {i} has {int(label[i])}. Correct it, or "
            "name all classes."
        )
