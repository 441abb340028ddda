"""The sampled pictures: their rows read, their bytes made into small WebP files for the page."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds
from PIL import Image

from jobs.results.opened import Results
from jobs.results.report.sample import Key

_LONG_SIDE = 256  # pixels; twice what a card shows on common screens
_QUALITY = 62
_THREADS = 4  # each holds one row group
_WEBP_SLOWEST = 4

Record = dict[str, Any]


def read_pictures(results: Results, by_lease: Mapping[str, Sequence[Key]]) -> Iterator[tuple[Record, str | None]]:
    """The images rows of these pictures, without `image`, each with its thumbnail."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for found in pool.map(lambda lease: _read(results, lease, set(by_lease[lease])), sorted(by_lease)):
            yield from found


def _read(results: Results, lease_id: str, keys: set[Key]) -> list[tuple[Record, str | None]]:
    images = results.images.dataset
    file = ds.dataset(
        f"{results.location.path}/images/{lease_id}.parquet",
        schema=images.schema,
        format="parquet",
        filesystem=results.location.fs,
    )
    wanted = pc.field("ordinal").isin(sorted({ordinal for ordinal, _ in keys}))
    found = []
    for batch in file.to_batches(filter=wanted, batch_size=16, batch_readahead=1):
        for record in batch.to_pylist():
            if (record["ordinal"], record["image_index"]) in keys:
                image = record.pop("image") or {}
                found.append((record, thumbnail(image.get("bytes"))))
    return found


def thumbnail(data: bytes | None) -> str | None:
    """A picture of at most 256 x 256 pixels as a data URI; None where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(data or b"")) as image:
            image.draft("RGB", (_LONG_SIDE, _LONG_SIDE))
            small = image.convert("RGB")
            small.thumbnail((_LONG_SIDE, _LONG_SIDE))
            buffer = io.BytesIO()
            small.save(buffer, "WEBP", quality=_QUALITY, method=_WEBP_SLOWEST)
    except (OSError, ValueError, SyntaxError):  # what Pillow raises on damaged files
        return None
    return "data:image/webp;base64," + b64encode(buffer.getvalue()).decode()
