"""Pictures that both sides of a comparison rendered, side by side, and how alike they are: PSNR and SSIM."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.results.compare import Comparison
from jobs.results.installed import need
from jobs.results.opened import open_results
from jobs.results.text_table import TextTable, digits
from manifests.errors import OutputError

if TYPE_CHECKING:
    from PIL.Image import Image

_KEY = ["id", "image_index"]
_SHOWN_PIXELS = 512  # the longer side of a picture on a page
_LEAST_PIXELS = 7  # SSIM looks at windows of 7 x 7


@dataclass(frozen=True)
class PicturePair:
    """One picture of both sides: PSNR in dB (None where they are identical) and SSIM, both None at unequal sizes.

    `same_request`: prompt and seed agree. `a`, `b`: small versions for a page, as data: URIs.
    """

    id: str
    image_index: int
    prompt: str
    a_name: str
    b_name: str
    same_request: bool
    identical: bool
    psnr: float | None
    ssim: float | None
    a: str
    b: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, without the pictures."""
        hidden = {"a", "b", "a_name", "b_name"}
        return {name: value for name, value in self.__dict__.items() if name not in hidden}

    @property
    def likeness(self) -> str:
        """Both measures in words."""
        if self.identical:
            return "identical"
        if self.ssim is None:
            return "sizes differ" if self.psnr is None else f"PSNR {self.psnr:.1f} dB"
        return f"PSNR {digits(self.psnr, 3)} dB, SSIM {self.ssim:.4f}"


def pair_pictures(comparison: Comparison, count: int) -> list[PicturePair]:
    """At most `count` pictures with the same id and image index in the first run of both sides, evenly spread.

    SpecError where scikit-image is missing, OutputError where a picture cannot be decoded.
    """
    need("skimage", "compare --pictures")
    sides = [open_results(side.runs[0].uri).images for side in (comparison.a, comparison.b)]
    keys = [{(row["id"], row["image_index"]) for row in side.arrow(_KEY).to_pylist()} for side in sides]
    shared = sorted(keys[0] & keys[1])
    if not shared:
        return []
    chosen = np.unique(np.linspace(0, len(shared) - 1, min(count, len(shared))).round().astype(int))
    wanted = [shared[k] for k in chosen]
    rows = [_read(side, wanted) for side in sides]
    found = []
    for key in wanted:
        if all(key in side for side in rows):
            found.append(_pair(comparison, rows[0][key], rows[1][key]))
    return found


def pair_tables(pairs: Sequence[Sequence[PicturePair]]) -> list[TextTable]:
    """One table of all pairs; none where there is none."""
    head = ("a", "b", "id", "image", "PSNR, dB", "SSIM", "prompt and seed")
    rows = tuple(
        (
            *(each.a_name, each.b_name, each.id, str(each.image_index)),
            "identical" if each.identical else digits(each.psnr, 3),
            "-" if each.ssim is None else f"{each.ssim:.4f}",
            "the same" if each.same_request else "differ",
        )
        for shown in pairs
        for each in shown
    )
    texts = frozenset({"a", "b", "id", "prompt and seed"})
    return [TextTable("Pictures", head, rows, texts, about=("a", "b"))] if rows else []


def _read(images: Any, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[str, Any]]:
    ids = [id for id, _ in wanted]
    table = images.arrow(
        [*_KEY, "image", "prompt", "seed"], filter=pc.is_in(ds.field("id"), pa.array(ids, pa.string()))
    )
    return {(row["id"], row["image_index"]): row for row in table.to_pylist()}


def _pair(comparison: Comparison, a: dict[str, Any], b: dict[str, Any]) -> PicturePair:
    pictures = [_open(row, side.runs[0].uri) for row, side in ((a, comparison.a), (b, comparison.b))]
    pixels = [np.asarray(picture) for picture in pictures]
    alike = pixels[0].shape == pixels[1].shape
    identical = alike and np.array_equal(pixels[0], pixels[1])
    return PicturePair(
        id=a["id"],
        image_index=a["image_index"],
        prompt=a["prompt"],
        a_name=comparison.a.name,
        b_name=comparison.b.name,
        same_request=(a["prompt"], a["seed"]) == (b["prompt"], b["seed"]),
        identical=identical,
        psnr=_psnr(*pixels) if alike and not identical else None,
        ssim=_ssim(*pixels) if alike else None,
        a=_small(pictures[0]),
        b=_small(pictures[1]),
    )


def _psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    from skimage.metrics import peak_signal_noise_ratio

    return float(peak_signal_noise_ratio(a, b, data_range=255))


def _ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    from skimage.metrics import structural_similarity

    if min(a.shape[:2]) < _LEAST_PIXELS:
        return None
    return float(structural_similarity(a, b, channel_axis=2, data_range=255))


def _open(row: dict[str, Any], uri: str) -> Image:
    from PIL import Image

    try:
        return Image.open(BytesIO(row["image"]["bytes"])).convert("RGB")
    except (OSError, TypeError, ValueError) as error:
        raise OutputError(
            f"{uri}: picture {row['image_index']} of {row['id']!r} cannot be decoded; --pictures 0 compares times alone"
        ) from error


def _small(picture: Image) -> str:
    copy, buffer = picture.copy(), BytesIO()
    copy.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
    copy.save(buffer, "WEBP", quality=90)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
