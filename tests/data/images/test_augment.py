"""Random changes on the host, against slow loops and by what they must keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnjax.data.images import ImageAugment
from snnjax.data.images.augment import crop_and_flip, fill_boxes

IMAGES = np.random.default_rng(0).integers(1, 256, (40, 10, 12, 3), dtype=np.uint8)


def rngs(count: int = 40, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(count)]


def test_nothing_asked_changes_nothing() -> None:
    found = ImageAugment()(IMAGES, rngs())
    np.testing.assert_array_equal(found, IMAGES)
    assert found is not IMAGES


def test_crop_and_flip_equals_a_loop_over_pixels() -> None:
    draw = np.random.default_rng(1)
    corner, flip = draw.integers(0, 7, (40, 2)), draw.random(40) < 0.5
    found = crop_and_flip(IMAGES, 3, corner, flip, fill=5)
    expected = np.full_like(IMAGES, 5)
    batch, height, width, _ = IMAGES.shape
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                row, column = y + corner[b, 0] - 3, x + corner[b, 1] - 3
                if 0 <= row < height and 0 <= column < width:
                    expected[b, y, width - 1 - x if flip[b] else x] = IMAGES[b, row, column]
    np.testing.assert_array_equal(found, expected)


def test_flip_twice_is_the_picture() -> None:
    at, all_of_them = np.zeros((40, 2), int), np.ones(40, bool)
    once = crop_and_flip(IMAGES, 0, at, all_of_them, 0)
    np.testing.assert_array_equal(crop_and_flip(once, 0, at, all_of_them, 0), IMAGES)
    np.testing.assert_array_equal(once, IMAGES[:, :, ::-1])


def test_half_of_the_pictures_are_flipped() -> None:
    found = ImageAugment(flip=True)(IMAGES.repeat(10, 0), rngs(400))
    flipped = (found == IMAGES.repeat(10, 0)[:, :, ::-1]).all((1, 2, 3))
    kept = (found == IMAGES.repeat(10, 0)).all((1, 2, 3))
    assert (flipped ^ kept).all()
    assert 150 < flipped.sum() < 250


def test_crops_reach_every_place_alike() -> None:
    """The place is read off a picture whose pixels are their own row and column."""
    row, column = np.mgrid[10:20, 10:22].astype(np.uint8)
    image = np.stack([row, column, row], axis=-1)[None].repeat(1800, 0)
    found = ImageAugment(crop=1)(image, rngs(1800))
    place = found[:, 5, 5, :2].astype(int) - (15, 15)
    assert np.abs(place).max() == 1
    counts = np.bincount(3 * (place[:, 0] + 1) + place[:, 1] + 1, minlength=9)
    assert counts.min() > 150
    assert counts.max() < 250
    for image_b, (dy, dx) in zip(found[:50], place[:50], strict=True):
        inside = image_b[1:-1, 1:-1]
        np.testing.assert_array_equal(inside[..., 0], row[1:-1, 1:-1] + dy)
        np.testing.assert_array_equal(inside[..., 1], column[1:-1, 1:-1] + dx)
        assert (image_b == 0).any() == bool(dy or dx)


def test_sample_sees_its_own_generator_alone() -> None:
    change = ImageAugment(crop=2, flip=True, operations=2, cutout=3, erase=0.5)
    together = change(IMAGES, rngs())
    alone = np.concatenate([change(IMAGES[b : b + 1], [rngs()[b]]) for b in range(40)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, change(IMAGES, rngs()))
    assert (together != change(IMAGES, rngs(seed=1))).any()


def test_erasing_does_not_move_the_crops() -> None:
    change = ImageAugment(crop=2, flip=True, fill=0)
    erased = replace(change, erase=1.0)(IMAGES, rngs())
    plain = change(IMAGES, rngs())
    np.testing.assert_array_equal(erased[erased != 0], plain[erased != 0])


def test_input_is_left_as_it_is() -> None:
    before = IMAGES.copy()
    ImageAugment(operations=3, cutout=3, erase=1.0)(IMAGES, rngs())
    np.testing.assert_array_equal(IMAGES, before)


def test_operations_change_most_pictures() -> None:
    images = IMAGES.repeat(20, 0)
    found = ImageAugment(operations=2)(images, rngs(800))
    changed = (found != images).any((1, 2, 3))
    assert 770 < changed.sum() < 800  # both are "identity" in 1 of 196
    weaker = ImageAugment(operations=2, magnitude=0.5)(images, rngs(800))
    assert (found != weaker).any()


def box_of(changed: np.ndarray) -> tuple[int, int]:
    """Height and width of the changed pixels, which must form a full rectangle."""
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert changed.sum() == height * width
    return int(height), int(width)


def test_cutout_is_a_square_clipped_at_the_border() -> None:
    found = ImageAugment(cutout=4, fill=0)(IMAGES.repeat(5, 0), rngs(200))
    sizes = [box_of((image == 0).all(2)) for image in found]
    assert max(sizes) == (4, 4)
    assert min(min(size) for size in sizes) == 2  # the centre is always inside
    full = sum(size == (4, 4) for size in sizes) / 200
    assert abs(full - 7 / 10 * 9 / 12) < 0.12
    np.testing.assert_array_equal(found[found != 0], IMAGES.repeat(5, 0)[found != 0])


def test_erased_rectangles_have_the_areas_of_the_paper() -> None:
    images = np.ones((300, 40, 50, 1), np.uint8)
    found = ImageAugment(erase=0.5, fill=9)(images, rngs(300))
    erased = [image for image in found[..., 0] if (image == 9).any()]
    assert 120 < len(erased) < 180
    sizes = np.array([box_of(image == 9) for image in erased])
    area, ratio = sizes.prod(1) / 2000, sizes[:, 0] / sizes[:, 1]
    assert 0.015 < area.min() < 0.05
    assert 0.29 < area.max() < 0.34
    assert 0.25 < ratio.min() < 0.5
    assert 2 < ratio.max() < 4


def test_fill_boxes_in_place() -> None:
    images = np.ones((2, 4, 4, 1), np.uint8)
    fill_boxes(images, np.array([[0, 2, 1, 3], [0, 0, 0, 0]]), 0)
    assert images.sum((1, 2, 3)).tolist() == [12, 16]
    assert (images[0, :2, 1:3] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": -1}, "`crop` must be an integer"),
        ({"operations": 1.5}, "`operations` must be an integer"),
        ({"magnitude": 11}, r"`magnitude` must be in \[0, 10\]"),
        ({"erase": 1.1}, r"`erase` must be in \[0, 1\]"),
        ({"fill": 256}, r"`fill` must be in \[0, 255\]"),
        ({"mixup": -0.1}, "alpha of a Beta"),
        ({"cutmix": float("nan")}, "alpha of a Beta"),
        ({"mix_probability": 2}, "`mix_probability` must be"),
    ],
)
def test_bad_settings(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageAugment(**change)
