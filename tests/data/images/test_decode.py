"""Files that are damaged, hostile or unusual, written here with Pillow."""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from snnjax.data import DataError
from snnjax.data.images import Form, decode, read_image
from snnjax.data.images.decode import MAX_FILE

EXACT = Form(6, 8, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def encode(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


def png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    return start + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_png_is_read_exactly(tmp_path: Path) -> None:
    path = tmp_path / "a.PNG"
    path.write_bytes(encode(Image.fromarray(PIXELS)))
    np.testing.assert_array_equal(read_image(path, EXACT), PIXELS)


def test_jpeg_is_read_as_pillow_does() -> None:
    content = encode(Image.fromarray(PIXELS), "JPEG")
    expected = np.asarray(Image.open(BytesIO(content)))
    np.testing.assert_array_equal(decode(content, "a.jpg", EXACT), expected)


def test_hand_made_png_is_valid() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    np.testing.assert_array_equal(decode(png(8, 6, data=rows), "a", EXACT), PIXELS)


def test_grey_and_colour() -> None:
    grey = Image.fromarray(PIXELS[..., 0])
    as_colour = decode(encode(grey), "a", EXACT)
    np.testing.assert_array_equal(as_colour, np.repeat(PIXELS[..., :1], 3, axis=2))
    as_grey = decode(encode(Image.fromarray(PIXELS)), "a", Form(6, 8, 1))
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(as_grey[..., 0], PIXELS @ weights, atol=0.51)


def test_black_and_white_palette_and_opaque_alpha_are_colours() -> None:
    flags = PIXELS[..., 0] > 127
    bits = decode(encode(Image.fromarray(flags)), "a", Form(6, 8, 1))
    np.testing.assert_array_equal(bits[..., 0], 255 * flags)
    palette = Image.fromarray(PIXELS).quantize(16)
    np.testing.assert_array_equal(
        decode(encode(palette), "a", EXACT), np.asarray(palette.convert("RGB"))
    )
    opaque = Image.fromarray(np.dstack([PIXELS, np.full((6, 8), 255, np.uint8)]))
    np.testing.assert_array_equal(decode(encode(opaque), "a", EXACT), PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.fromarray(PIXELS), "JPEG", exif=exif, quality=95)
    stored = decode(encode(Image.fromarray(PIXELS), "JPEG", quality=95), "a", EXACT)
    upright = {  # the EXIF standard: where row 0 and column 0 of what is stored belong
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored.transpose(1, 0, 2)[:, ::-1],
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: stored.transpose(1, 0, 2)[::-1],
    }[orientation]
    height, width, _ = upright.shape
    np.testing.assert_array_equal(decode(content, "a", Form(height, width, 3)), upright)


def transparent() -> bytes:
    return encode(Image.fromarray(np.dstack([PIXELS, PIXELS[..., 0]])))


def transparent_palette() -> bytes:
    return encode(Image.fromarray(PIXELS).quantize(16), transparency=0)


GOOD_PNG, GOOD_JPEG = encode(Image.fromarray(PIXELS)), encode(Image.fromarray(PIXELS), "JPEG")
BAD: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    "empty": ("a.png", b"", "is empty"),
    "text": ("a.png", b"not a picture", "does not start like PNG"),
    "half_png": ("a.png", GOOD_PNG[: len(GOOD_PNG) // 2], "truncated or damaged"),
    "half_jpeg": ("a.jpg", GOOD_JPEG[: len(GOOD_JPEG) // 2], "truncated or damaged"),
    "jpeg_without_its_end": ("a.jpg", GOOD_JPEG[:-20], "truncated or damaged"),
    "png_signature_only": ("a.png", GOOD_PNG[:8], "truncated or damaged"),
    "jpeg_signature_only": ("a.jpg", GOOD_JPEG[:3], "truncated or damaged"),
    "png_named_jpg": ("a.jpg", GOOD_PNG, "holds a PNG picture where a JPEG"),
    "jpeg_named_png": ("a.png", GOOD_JPEG, "holds a JPEG picture where a PNG"),
    "gif": ("a.png", encode(Image.fromarray(PIXELS), "GIF"), "does not start like PNG"),
    "bomb": ("a.png", png(20_000, 20_000), "is larger than"),
    "below_pillows_limit": ("a.png", png(9_000, 8_000), "9000 x 8000 pixels"),
    "where_pillow_warns": ("a.png", png(10_000, 10_000), "is larger than"),
    "large_bomb": ("a.png", png(2**31 - 1, 2**31 - 1), "is larger than"),
    "no_pixels": ("a.png", png(0, 6), "truncated or damaged"),
    "short_pixels": ("a.png", png(8, 6, data=b"\0" * 30), "truncated or damaged"),
    "depth_16_grey": ("a.png", png(8, 6, 16, 0, b"\0" * 102), "16 bits per channel"),
    "depth_16_colour": ("a.png", png(8, 6, 16, 2, b"\0" * 294), "16 bits per channel"),
    "cmyk": ("a.jpg", encode(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"), "CMYK"),
    "transparent": ("a.png", transparent, "transparent pixels"),
    "transparent_palette": ("a.png", transparent_palette, "transparent pixels"),
    "other_size": ("a.png", encode(Image.new("RGB", (5, 4))), "4 x 5 pixels, not 6 x 8"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_an_error_that_names_it(case: str, tmp_path: Path) -> None:
    name, content, message = BAD[case]
    path = tmp_path / name
    path.write_bytes(content() if callable(content) else content)
    with pytest.raises(DataError, match=message) as caught:
        read_image(path, EXACT)
    assert str(path) in str(caught.value)
    assert "Fix: " in str(caught.value)


def test_missing_unknown_suffix_and_huge_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path / "none.png", EXACT)
    with pytest.raises(DataError, match=r"cannot read '\.bmp' files"):
        read_image(tmp_path / "a.bmp", EXACT)
    huge = tmp_path / "huge.png"
    with open(huge, "wb") as file:
        file.truncate(MAX_FILE + 1)
    with pytest.raises(DataError, match="more than the"):
        read_image(huge, EXACT)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, len(GOOD_PNG) - 1), value=st.integers(1, 255))
def test_changed_byte_of_a_png_never_changes_pixels(place: int, value: int) -> None:
    content = bytearray(GOOD_PNG)
    content[place] ^= value
    try:
        pixels = decode(bytes(content), "a.png", EXACT)
    except DataError:
        return
    np.testing.assert_array_equal(pixels, PIXELS)


def turned_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 3, "maker"
    return encode(Image.fromarray(PIXELS), "JPEG", exif=exif)


TURNED_JPEG = turned_jpeg()


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, len(TURNED_JPEG) - 1), value=st.integers(1, 255))
def test_changed_byte_of_a_jpeg_gives_a_picture_or_a_data_error(place: int, value: int) -> None:
    content = bytearray(TURNED_JPEG)
    content[place] ^= value
    try:
        pixels = decode(bytes(content), "a.jpg", EXACT)
    except DataError:
        return
    assert pixels.shape == (6, 8, 3)


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=200), start=st.sampled_from([GOOD_PNG[:20], GOOD_JPEG[:20]]))
def test_garbage_is_a_data_error(content: bytes, start: bytes) -> None:
    with pytest.raises(DataError):
        decode(start + content, "a", EXACT)


def test_missing_pillow_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match=r"snnjax\[images\]"):
        decode(GOOD_PNG, "a", EXACT)
