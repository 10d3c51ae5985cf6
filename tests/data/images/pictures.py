"""Random pictures and files of them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed: int, height: int = 6, width: int = 6, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    out = BytesIO()
    Image.fromarray(image).save(out, kind)
    return out.getvalue()


def write(path: Path, seed: int) -> np.ndarray:
    """A PNG of 6 x 6 pixels at `path`, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(pixels(seed)))
    return pixels(seed)
