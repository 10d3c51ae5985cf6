"""The common shape of all pictures, and how other sizes are brought to it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from snnjax.data.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

Resize = Literal["exact", "stretch", "crop", "pad"]


@dataclass(frozen=True)
class Form:
    """The shape of every picture, and how other sizes are brought to it."""

    height: int
    width: int
    channels: int
    """1: grey, by the ITU-R 601 weights; 3: colour, grey repeated"""
    resize: Resize = "exact"
    fill: int = 0
    """value of the borders that "pad" adds"""

    @property
    def shape(self) -> tuple[int, int, int]:
        """H, W, C."""
        return self.height, self.width, self.channels


def check_pillow() -> None:
    """Raise unless Pillow can be imported.

    Raises:
      ModuleNotFoundError: Pillow is missing; the message names the extra to install.
    """
    if importlib.util.find_spec("PIL") is None:
        raise ModuleNotFoundError(
            "decoding and resizing pictures needs Pillow; install it with: "
            "pip install 'snnjax[images]'"
        )


def to_form(pixels: np.ndarray, name: str | Path, form: Form) -> np.ndarray:
    """Give an array of pixels the shape of `form`.

    Args:
      pixels: uint8 [H', W', 1 or 3]. name: its name in messages.

    Returns:
      uint8 [H, W, C]; `pixels` itself where nothing needs to change.
    """
    if pixels.shape == form.shape:
        return pixels
    check_pillow()
    from PIL import Image

    grey = pixels.shape[2] == 1
    return fit(Image.fromarray(pixels[..., 0] if grey else pixels), name, form)


def fit(picture: Image.Image, name: str | Path, form: Form) -> np.ndarray:
    """Give a picture of mode L or RGB the shape of `form`; uint8 [H, W, C].

    Raises:
      DataError: it has another size, and `form.resize` is "exact".
    """
    wanted = (form.width, form.height)
    if picture.size != wanted:
        if form.resize == "exact":
            raise DataError.at(
                name,
                f"is {picture.height} x {picture.width} pixels, not {form.height} x {form.width}",
                fix=f"set image_size=({picture.height}, {picture.width}) if all pictures have that "
                'size, or resize="crop", "pad" or "stretch"',
            )
        picture = _resized(picture, wanted, form)
    mode = "L" if form.channels == 1 else "RGB"
    picture = picture if picture.mode == mode else picture.convert(mode)
    return np.asarray(picture).reshape(form.shape)


def _resized(picture: Image.Image, wanted: tuple[int, int], form: Form) -> Image.Image:
    from PIL import Image, ImageOps

    bilinear = Image.Resampling.BILINEAR
    if form.resize == "stretch":
        return picture.resize(wanted, bilinear)
    if form.resize == "crop":
        return ImageOps.fit(picture, wanted, bilinear)
    scale = min(wanted[0] / picture.width, wanted[1] / picture.height)
    inner = (
        min(max(round(picture.width * scale), 1), wanted[0]),
        min(max(round(picture.height * scale), 1), wanted[1]),
    )
    out = Image.new(picture.mode, wanted, (form.fill,) * len(picture.getbands()))
    corner = ((wanted[0] - inner[0]) // 2, (wanted[1] - inner[1]) // 2)
    out.paste(picture.resize(inner, bilinear), corner)
    return out
