"""Decode PNG and JPEG files from untrusted sources into uint8 arrays of one shape."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from snnjax.data.errors import DataError

from .form import Form, check_pillow, fit

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
MAX_PIXELS = 1 << 26  # of one picture, before it is resized
MAX_FILE = 64 << 20  # bytes of one encoded picture
_DAMAGED = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error),
    *(IndexError, KeyError, TypeError, OverflowError, MemoryError, NotImplementedError),
    UserWarning,  # Pillow warns of damaged EXIF and ignores it; an error where warnings are errors
)
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_ADVICE = {
    "CMYK": ("has CMYK colours, which need a colour profile", "convert it to RGB"),
    "I;16": ("has 16 bits per channel", "save it with 8 bits per channel"),
}


def read_image(path: str | Path, form: Form) -> np.ndarray:
    """Read a PNG or JPEG file.

    Returns:
      uint8 [H, W, C].

    Raises:
      DataError: the file is missing, damaged, too large, or of another format than its suffix.
    """
    path = Path(path)
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        problem = f"cannot read '{path.suffix}' files"
        raise DataError.at(path, problem, fix=f"use one of {', '.join(SUFFIXES)}")
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            problem = f"has {size} bytes, more than the {MAX_FILE} this reader takes"
            raise DataError.at(path, problem, fix="save the picture smaller")
        content = path.read_bytes()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DataError.at(path, problem, fix="check the path and its permissions") from error
    return decode(content, path, form, kind)


def decode(content: bytes, name: str | Path, form: Form, kind: str | None = None) -> np.ndarray:
    """Decode the bytes of a PNG or JPEG file.

    A JPEG is rotated by its EXIF orientation, palettes become colours, and an alpha channel
    is dropped if all pixels are opaque. Damage inside the compressed data of a JPEG that leaves a
    valid stream cannot be noticed: the format has no checksum.

    Args:
      content: the file. name: its name in messages. form: the shape to give it.
      kind: "PNG" or "JPEG" if it must be one of them.

    Returns:
      uint8 [H, W, C].

    Raises:
      DataError: the content is damaged, too large, in another format, 16 bits deep, CMYK, or
        transparent, or has another size than `form` and `form.resize` is "exact".
    """
    check_pillow()
    found = _sniff(content)
    if found is None or found != (kind or found):
        problem, fix = _wrong_kind(content, found, kind)
        raise DataError.at(name, problem, byte=0, fix=fix)
    if found == "PNG" and len(content) > 24 and content[24] == 16:
        raise DataError.at(name, _ADVICE["I;16"][0], byte=24, fix=_ADVICE["I;16"][1])
    picture = _open(content, name, found)
    return fit(picture, name, form)


def _sniff(content: bytes) -> str | None:
    if content.startswith(_PNG_MAGIC):
        return "PNG"
    return "JPEG" if content.startswith(b"\xff\xd8\xff") else None


def _wrong_kind(content: bytes, found: str | None, kind: str | None) -> tuple[str, str]:
    if not content:
        return "is empty (0 bytes)", "remove it or copy it again"
    if found is None:
        wanted = kind or "PNG or JPEG"
        return f"does not start like {wanted} data (found {content[:8]!r})", "save it as " + wanted
    return f"holds a {found} picture where a {kind} one is expected", "correct the suffix"


def _open(content: bytes, name: str | Path, kind: str) -> Image.Image:
    """The picture in mode L or RGB, upright."""
    from PIL import Image, ImageOps

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        picture = _checked_size(Image.open(BytesIO(content), formats=(kind,)), name)
        if kind == "PNG":
            picture.verify()  # verifies the checksums, which decoding ignores
            picture = Image.open(BytesIO(content), formats=(kind,))
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        return _plain(picture, name)
    except DataError:
        raise
    except bombs as error:
        raise _too_large(name, str(error)) from error
    except _DAMAGED as error:
        problem = f"the {kind} data is truncated or damaged ({error})"
        raise DataError.at(name, problem, fix="copy or download the file again") from error


def _checked_size(picture: Image.Image, name: str | Path) -> Image.Image:
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large(name, f"{picture.width} x {picture.height} pixels")
    return picture


def _too_large(name: str | Path, found: str) -> DataError:
    problem = f"is larger than the {MAX_PIXELS} pixels this reader takes ({found})"
    return DataError.at(name, problem, fix="save the picture smaller")


def _plain(picture: Image.Image, name: str | Path) -> Image.Image:
    if picture.mode in _ADVICE or picture.mode.startswith("I"):
        problem, fix = _ADVICE.get(picture.mode, _ADVICE["I;16"])
        raise DataError.at(name, problem, fix=fix)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema() != (255, 255):
            problem = "has transparent pixels, whose colour depends on the background"
            raise DataError.at(name, problem, fix="flatten it onto a background")
    if picture.mode in ("1", "L", "LA"):
        return picture.convert("L")
    return picture if picture.mode == "RGB" else picture.convert("RGB")
