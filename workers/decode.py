"""An encoded image of any common kind to upright 8-bit RGB."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

from manifests.errors import named_line
from workers.reference_files import ReferenceFailed

if TYPE_CHECKING:
    from PIL.Image import Image

# what Pillow reads without running other programs (its EPS would start Ghostscript)
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "ICO", "TGA")
_TURNS = {  # EXIF orientation -> member of PIL.Image.Transpose that makes it upright
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def decode(data: bytes, max_pixels: int) -> Image:
    """An encoded image -> upright 8-bit RGB of its first frame: alpha on white, 16-bit greyscale scaled.

    ReferenceFailed where it is no image, damaged, or more than `max_pixels` (width times height).
    """
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(data), formats=_formats()) as image:
            _check_pixels(image, max_pixels)
            image.load()
            _check_pixels(image, max_pixels)  # a container may have announced less
            return _upright(_to_rgb(image), image)
    except ReferenceFailed:
        raise
    except PIL.UnidentifiedImageError:
        kinds = f"it begins with {data[:8]!r}" if data else "it is empty"
        raise ReferenceFailed(f"not an image that can be read ({kinds}); convert it to PNG or JPEG") from None
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise ReferenceFailed(f"more than {max_pixels / 1e6:g} megapixels; make it smaller") from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        raise ReferenceFailed(f"damaged or not supported ({named_line(error, 200)}); save it anew") from None


@functools.cache
def _formats() -> tuple[str, ...]:
    import PIL.Image

    PIL.Image.init()
    return tuple(name for name in FORMATS if name in PIL.Image.OPEN)


def _check_pixels(image: Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        found, limit = width * height / 1e6, max_pixels / 1e6
        raise ReferenceFailed(
            f"{width}x{height} are {found:.1f} megapixels; at most {limit:g} are decoded; make it smaller"
        )


def _to_rgb(image: Image) -> Image:
    import PIL.Image

    if image.mode.startswith("I"):
        return _grey_from_16_bits(image).convert("RGB")
    if image.mode == "F":
        raise ReferenceFailed("pixels are floating point, of unknown range; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = PIL.Image.new("RGBA", rgba.size, "white")
    return PIL.Image.alpha_composite(white, rgba).convert("RGB")


def _grey_from_16_bits(image: Image) -> Image:
    import numpy as np
    import PIL.Image

    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ReferenceFailed(
            f"pixels from {low} to {high}; greyscale of at most 16 bits is read; save it with 8 or 16"
        )
    return PIL.Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _upright(rgb: Image, source: Image) -> Image:
    """Turned as the EXIF data of `source` says; those that cannot be read say nothing, as to any viewer."""
    import PIL.Image

    try:
        turn = _TURNS.get(source.getexif().get(0x0112, 1))
    except Exception:
        return rgb
    return rgb if turn is None else rgb.transpose(PIL.Image.Transpose[turn])
