"""RandAugment's changes against Pillow's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from snnjax.data.images import OPERATIONS, apply
from snnjax.data.images.operations import affine, rotate

NEAREST = Image.Resampling.NEAREST
FILL = 37


def picture(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Noise on a slope, so that no table is the identity."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(20, 180, width)[None, :, None]
    noise = rng.integers(0, 50, (height, width, channels))
    return (slope + noise).astype(np.uint8)


def as_pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def pillow(name: str, image: Image.Image, magnitude: float, sign: int) -> Image.Image:
    """The operation as torchvision's RandAugment calls Pillow."""
    share = magnitude / 10
    fill = (FILL,) * len(image.getbands())

    def moved(matrix: tuple[float, ...]) -> Image.Image:
        return image.transform(image.size, Image.Transform.AFFINE, matrix, NEAREST, fillcolor=fill)

    match name:
        case "identity":
            return image
        case "shear_x":
            return moved((1, -0.3 * share * sign, 0, 0, 1, 0))
        case "shear_y":
            return moved((1, 0, 0, -0.3 * share * sign, 1, 0))
        case "translate_x":
            return moved((1, 0, -int(150 / 331 * image.width * share * sign), 0, 1, 0))
        case "translate_y":
            return moved((1, 0, 0, 0, 1, -int(150 / 331 * image.height * share * sign)))
        case "rotate":
            return image.rotate(30 * share * sign, NEAREST, fillcolor=fill)
        case "brightness":
            return ImageEnhance.Brightness(image).enhance(1 + 0.9 * share * sign)
        case "colour":
            return ImageEnhance.Color(image).enhance(1 + 0.9 * share * sign)
        case "contrast":
            return ImageEnhance.Contrast(image).enhance(1 + 0.9 * share * sign)
        case "sharpness":
            return ImageEnhance.Sharpness(image).enhance(1 + 0.9 * share * sign)
        case "posterise":
            return ImageOps.posterize(image, 8 - round(4 * share))
        case "solarise":
            return ImageOps.solarize(image, math.ceil(255 - 255 * share))
        case "auto_contrast":
            return ImageOps.autocontrast(image)
        case "equalise":
            return ImageOps.equalize(image)
    raise AssertionError(name)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (17, 40, 3)], ids=str)
def test_equals_pillow(name: str, shape: tuple[int, int, int]) -> None:
    for seed, magnitude in enumerate((0.0, 1.5, 5.0, 9.0, 10.0)):
        image = picture(*shape, seed=seed)
        before = image.copy()
        for negative in (False, True):
            found = apply(name, image, magnitude, negative, FILL)
            expected = pillow(name, as_pillow(image), magnitude, -1 if negative else 1)
            np.testing.assert_array_equal(
                found, np.asarray(expected).reshape(shape), err_msg=f"{magnitude} {negative}"
            )
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"identity", "colour"}))
def test_changes_a_picture(name: str) -> None:
    image = picture(20, 20, 1)
    assert (apply(name, image, 10, False) != image).any()


@pytest.mark.parametrize(
    "name", sorted(set(OPERATIONS) - {"auto_contrast", "equalise", "solarise"})
)
def test_magnitude_0_changes_nothing(name: str) -> None:
    image = picture(9, 12, 3)
    np.testing.assert_array_equal(apply(name, image, 0, True), image)


@pytest.mark.parametrize("name", OPERATIONS)
def test_flat_and_tiny_pictures(name: str) -> None:
    for shape in ((1, 1, 3), (2, 2, 1), (5, 1, 3)):
        found = apply(name, np.full(shape, 100, np.uint8), 9, False)
        assert found.shape == shape
        assert found.dtype == np.uint8


def test_translation_moves_by_pixels() -> None:
    image = picture(8, 8, 3)
    found = affine(image, (1, 0, 2, 0, 1, -3), FILL)  # two to the left, three down
    np.testing.assert_array_equal(found[3:, :-2], image[:-3, 2:])
    assert (found[:3] == FILL).all()
    assert (found[:, -2:] == FILL).all()


def test_quarter_turn_is_rot90() -> None:
    image = picture(8, 8, 3)
    np.testing.assert_array_equal(rotate(image, 90, FILL), np.rot90(image))


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="one of"):
        apply("sheer", picture(4, 4, 1), 9, False)
