"""RandAugment's changes of one picture, equal to Pillow's to the last bit.

Each takes uint8 [H, W, C], C = 1 or 3, and gives a new array. Geometric changes take the nearest
pixel, as in torchvision's RandAugment, in Pillow's fixed-point arithmetic.
"""

from __future__ import annotations

import math

import numpy as np

OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("brightness", "colour", "contrast", "sharpness"),
    *("posterise", "solarise", "auto_contrast", "equalise"),
)


def apply(
    name: str, image: np.ndarray, magnitude: float, negative: bool, fill: int = 0
) -> np.ndarray:
    """One change of RandAugment.

    The largest changes are those of torchvision: shear 0.3, translation 150/331 of the side,
    rotation 30 degrees, blending factors 1 +- 0.9, 4 of 8 bits kept, all pixels inverted.

    Args:
      name: one of `OPERATIONS`. image: uint8 [H, W, C]. magnitude: 0 (nothing) to 10.
      negative: the other direction, where there are two. fill: value from outside the picture.

    Returns:
      uint8 [H, W, C].
    """
    share = magnitude / 10
    signed = -share if negative else share
    height, width, _ = image.shape
    match name:
        case "identity":
            return image.copy()
        case "shear_x":
            return affine(image, (1, -0.3 * signed, 0, 0, 1, 0), fill)
        case "shear_y":
            return affine(image, (1, 0, 0, -0.3 * signed, 1, 0), fill)
        case "translate_x":
            return affine(image, (1, 0, -int(150 / 331 * width * signed), 0, 1, 0), fill)
        case "translate_y":
            return affine(image, (1, 0, 0, 0, 1, -int(150 / 331 * height * signed)), fill)
        case "rotate":
            return rotate(image, 30 * signed, fill)
        case "brightness":
            return blend(np.zeros_like(image), image, 1 + 0.9 * signed)
        case "colour":
            return blend(np.broadcast_to(luma(image), image.shape), image, 1 + 0.9 * signed)
        case "contrast":
            mean = int(luma(image).mean() + 0.5)
            return blend(np.full_like(image, mean), image, 1 + 0.9 * signed)
        case "sharpness":
            return blend(smooth(image), image, 1 + 0.9 * signed)
        case "posterise":
            return image & np.uint8(0xFF << round(4 * share) & 0xFF)
        case "solarise":
            return np.where(image < 255 - 255 * share, image, 255 - image)
        case "auto_contrast":
            return _by_table(image, _stretch_table)
        case "equalise":
            return _by_table(image, _equalise_table)
    raise ValueError(f"`name` must be one of {OPERATIONS}; got {name!r}")


def affine(image: np.ndarray, matrix: tuple[float, ...], fill: int) -> np.ndarray:
    """An affine map: pixel (x, y) comes from (a x + b y + c, d x + e y + f), at pixel centres.

    Args:
      image: uint8 [H, W, C]. matrix: a, b, c, d, e, f. fill: value from outside the picture.
    """
    height, width, _ = image.shape
    a, b, c, d, e, f = matrix
    x, y = np.arange(width), np.arange(height)[:, None]
    column = (_fixed(c + a * 0.5 + b * 0.5) + _fixed(a) * x + _fixed(b) * y) >> 16
    row = (_fixed(f + d * 0.5 + e * 0.5) + _fixed(d) * x + _fixed(e) * y) >> 16
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = np.where(inside, row * width + column, height * width)
    flat = image.reshape(height * width, -1)
    return np.concatenate([flat, np.full_like(flat[:1], fill)])[place]


def rotate(image: np.ndarray, degrees: float, fill: int) -> np.ndarray:
    """Rotate about the centre, counter-clockwise."""
    height, width, _ = image.shape
    angle = -math.radians(degrees)
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    shift = (x - cos * x - sin * y, y + sin * x - cos * y)
    return affine(image, (cos, sin, shift[0], -sin, cos, shift[1]), fill)


def _fixed(value: float) -> int:
    return math.floor(value * 65536 + 0.5)


def blend(base: np.ndarray, image: np.ndarray, factor: float) -> np.ndarray:
    """Mix as base + factor * (image - base), clipped to 0..255 and rounded down."""
    low = base.astype(np.float32)
    mixed = low + np.float32(factor) * (image.astype(np.float32) - low)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def luma(image: np.ndarray) -> np.ndarray:
    """Brightness by ITU-R 601; uint8 [H, W, 1]."""
    if image.shape[2] == 1:
        return image
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((image @ weights + 0x8000) >> 16).astype(np.uint8)[..., None]


def smooth(image: np.ndarray) -> np.ndarray:
    """A 3 x 3 mean with 5 of 13 parts at the centre; the border stays as it is."""
    out = image.copy()
    if min(image.shape[:2]) < 3:
        return out
    wide = image.astype(np.float32)
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * wide[1:-1, 1:-1]
    out[1:-1, 1:-1] = (total / 13 + 0.5).astype(np.uint8)
    return out


def _by_table(image: np.ndarray, table_of) -> np.ndarray:
    """Map each channel through a table computed from its histogram."""
    out = np.empty_like(image)
    for c in range(image.shape[2]):
        channel = image[..., c]
        out[..., c] = table_of(np.bincount(channel.ravel(), minlength=256))[channel]
    return out


def _stretch_table(histogram: np.ndarray) -> np.ndarray:
    used = np.flatnonzero(histogram)
    low, high = int(used[0]), int(used[-1])
    if low == high:
        return np.arange(256, dtype=np.uint8)
    scale = 255.0 / (high - low)
    return np.clip(np.arange(256) * scale + -low * scale, 0, 255).astype(np.uint8)


def _equalise_table(histogram: np.ndarray) -> np.ndarray:
    used = np.flatnonzero(histogram)
    step = int(histogram.sum() - histogram[used[-1]]) // 255
    if len(used) < 2 or step == 0:
        return np.arange(256, dtype=np.uint8)
    before = np.cumsum(histogram) - histogram
    return np.minimum((step // 2 + before) // step, 255).astype(np.uint8)
