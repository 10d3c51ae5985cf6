"""Pictures of other sizes: crop, pad and stretch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from snnjax.data import DataError
from snnjax.data.images import Form
from snnjax.data.images.form import to_form

# 4 rows, 8 columns: left half 0, right half 200
HALVES = np.zeros((4, 8, 1), np.uint8)
HALVES[:, 4:] = 200


def test_same_size_is_left_as_it_is() -> None:
    assert to_form(HALVES, "a", Form(4, 8, 1)) is HALVES


def test_other_size_needs_a_rule() -> None:
    with pytest.raises(DataError, match=r"4 x 8 pixels, not 4 x 4.*image_size=\(4, 8\)"):
        to_form(HALVES, "a", Form(4, 4, 1))


def test_crop_takes_the_middle() -> None:
    found = to_form(HALVES, "a", Form(4, 4, 1, "crop"))
    np.testing.assert_array_equal(found, HALVES[:, 2:6])


def test_pad_keeps_everything_between_borders() -> None:
    found = to_form(HALVES, "a", Form(8, 8, 1, "pad", fill=7))
    np.testing.assert_array_equal(found[2:6], HALVES)
    assert (found[:2] == 7).all()
    assert (found[6:] == 7).all()


def test_stretch_is_pillows_bilinear() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 5, 3), dtype=np.uint8)
    expected = Image.fromarray(pixels).resize((4, 7), Image.Resampling.BILINEAR)
    found = to_form(pixels, "a", Form(7, 4, 3, "stretch"))
    np.testing.assert_array_equal(found, np.asarray(expected))


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    wanted=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 3]),
    resize=st.sampled_from(["crop", "pad", "stretch"]),
)
def test_flat_picture_stays_flat_in_every_size(size, wanted, channels, resize) -> None:
    pixels = np.full((*size, channels), 90, np.uint8)
    found = to_form(pixels, "a", Form(*wanted, 3, resize, fill=90))
    assert found.shape == (*wanted, 3)
    assert (found == 90).all()
