"""A stored split of any layout: pictures that can be read by position."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snnjax.data.errors import DataError

from .form import Form


class Stored(NamedTuple):
    """The labels and names of a split, and a function that reads picture i."""

    path: Path
    """the folder or file that error messages name"""
    read: Callable[[int, Form], np.ndarray]
    """picture i in a form, uint8 [H, W, C]; raises DataError"""
    labels: np.ndarray
    """integers [N], not yet checked"""
    class_names: tuple[str, ...]
    """empty where the files have none"""
    names: tuple[str, ...]
    """the name of each picture in messages"""
    bad: tuple[DataError, ...] = ()
    """number of pictures found bad before reading, not included in N"""
