r"""Data for training: what a source is, and its batches as a resumable iterator.

Each kind of data is a folder, such as `clouds` and `speech`. Training uses none of them directly,
only the protocols of `snnjax.data.source`:

    source = CloudSource("shapes3d")                  # a frozen dataclass; its fields are options
    dataset = source.open("train")                    # one split: len, sample(i, rng), name(i)
    batch = source.collate(samples, rngs)             # NumPy arrays by name, batch first
    shape = shapes.choose(batch, train=True)          # a static bucket; None if all have one shape
    inputs = source.encode(batch, shape, key=key, train=True)    # on the device: x, label, ...

Arrays in memory need no source of their own: `from_arrays((x, y))`. Anything else is a class like
this one, which reads tables whose last column is the class. `SourceBase` provides the rest:
batches are stacked, have one shape, and the model receives `x`. Where samples differ in length, or
training changes them at random, define `collate` too.

    >>> import tempfile
    >>> from dataclasses import dataclass
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from snnjax.data import SourceBase, batches, spread
    >>> class Rows:
    ...     skipped = 0
    ...     def __init__(self, path, size):
    ...         table = np.loadtxt(path, delimiter=",", dtype=str)
    ...         table = table[spread(len(table), size)]
    ...         self.x = table[:, :-1].astype(np.float32)
    ...         self.class_names = ("low", "high")
    ...         self.labels = [self.class_names.index(word) for word in table[:, -1]]
    ...         self.in_channels, self.sample_shape = self.x.shape[1], self.x.shape[1:]
    ...     def __len__(self):
    ...         return len(self.x)
    ...     def sample(self, i, rng):
    ...         return {"x": self.x[i], "label": self.labels[i]}
    ...     def name(self, i):
    ...         return f"row {i + 1}"
    >>> @dataclass(frozen=True)
    ... class TableSource(SourceBase):
    ...     noise: float = 0.0
    ...     def open(self, split):
    ...         return Rows(Path(self.path) / f"{split}.csv", self.size(split))
    ...     def collate(self, samples, rngs):
    ...         batch = super().collate(samples, rngs)
    ...         if rngs is not None:  # training: sample b is changed by draws from rngs[b] alone
    ...             shape = batch["x"].shape[1:]
    ...             batch["x"] += self.noise * np.stack([rng.normal(size=shape) for rng in rngs])
    ...         return batch

    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = (Path(folder.name) / "train.csv").write_text("1,2,low\n3,4,high\n5,6,high\n")
    >>> source = TableSource(folder.name)
    >>> batch = next(batches(source.open("train"), source, 3, seed=0, train=False))
    >>> batch["x"].tolist(), batch["label"].tolist()
    ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [0, 1, 1])
    >>> folder.cleanup()

Readers raise `DataError`, with the file, the place in it and the fix, and never unpickle.
"""

from .checks import check_finite as check_finite
from .draws import spread as spread
from .errors import DataError as DataError
from .memory import ArraySource as ArraySource
from .memory import from_arrays as from_arrays
from .pipeline import batches as batches
from .pipeline import steps_per_epoch as steps_per_epoch
from .source import Batch as Batch
from .source import DataInfo as DataInfo
from .source import Dataset as Dataset
from .source import Layout as Layout
from .source import Sample as Sample
from .source import Shapes as Shapes
from .source import Source as Source
from .source import SourceBase as SourceBase
from .source import Static as Static
