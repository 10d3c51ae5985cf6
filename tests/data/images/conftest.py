"""A small folder of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.images.pictures import write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Split first: cat has pictures 0, 1 and test 4; dog has 2, 3 and test 5."""
    names = ("train/cat/0", "train/cat/1", "train/dog/2", "train/dog/3", "test/cat/4", "test/dog/5")
    for seed, name in enumerate(names):
        write(tmp_path / f"{name}.png", seed)
    return tmp_path
