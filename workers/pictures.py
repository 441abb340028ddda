"""Pixels to file bytes: PNG lossless, WebP and JPEG at qualities that hide the loss."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

FORMATS = ("png", "webp", "jpeg")
_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {},  # Pillow's defaults, so that the file equals what `image.save("x.png")` writes
    "webp": {"quality": 90, "method": 4},
    "jpeg": {"quality": 95, "subsampling": 0},
}


def encode_picture(pixels: np.ndarray, image_format: str) -> bytes:
    """Encode (H, W, 3) uint8 RGB pixels as "png", "webp" or "jpeg"."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels, "RGB").save(buffer, image_format, **_OPTIONS[image_format])
    return buffer.getvalue()
