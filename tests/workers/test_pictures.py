"""Pixels to files."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from workers.pictures import FORMATS, encode_picture


def pixels(height: int, width: int) -> np.ndarray:
    """A smooth picture with an edge in it."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, np.where(x > y, 200, 40)], axis=2).astype(np.uint8)


def test_png_is_what_pillow_writes_itself() -> None:
    picture, expected = pixels(48, 80), BytesIO()
    Image.fromarray(picture).save(expected, "PNG")
    data = encode_picture(picture, "png")
    assert data == expected.getvalue()
    assert np.array_equal(np.asarray(Image.open(BytesIO(data))), picture)


@pytest.mark.parametrize(("image_format", "error"), [("webp", 3.0), ("jpeg", 2.0)])
def test_lossy_formats_keep_size_and_look(image_format: str, error: float) -> None:
    picture = pixels(48, 80)
    found = Image.open(BytesIO(encode_picture(picture, image_format)))
    assert (found.format, found.size, found.mode) == (image_format.upper(), (80, 48), "RGB")
    difference = np.abs(np.asarray(found).astype(int) - picture.astype(int))
    assert 0 < difference.mean() < error


def test_every_format_is_one_of_the_specs() -> None:
    assert FORMATS == ("png", "webp", "jpeg")
    assert all(len(encode_picture(pixels(16, 16), image_format)) > 50 for image_format in FORMATS)
