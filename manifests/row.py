"""What one manifest row asks for, once it is understood: a `Row`, or a `BadRow` that says why not."""

from __future__ import annotations

import base64
import binascii
import posixpath
from dataclasses import dataclass
from typing import Any

from manifests.storage import Location


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One reference image: where it is (`uri`, an absolute path or URI) or what it is (`data`, an encoded file)."""

    uri: str | None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Row:
    """All that is to be rendered for one manifest row; None means that the pipeline's own default holds."""

    id: str
    ordinal: int  # position over the whole manifest from 0, bad rows counted
    source_file: str
    source_line: int  # from 1: the physical line where the record starts; in Parquet the row
    prompt: str
    negative_prompt: str | None
    images: tuple[ImageRef, ...]
    width: int | None  # pixels
    height: int | None  # pixels
    steps: int | None  # denoising steps
    guidance_scale: float | None
    true_cfg_scale: float | None
    seed: int | None  # image k of num_images uses seed + k
    num_images: int
    params: dict[str, Any]  # further arguments of the pipeline's call
    extra: dict[str, Any]  # the manifest's own columns, raw values


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be rendered. `id` is None where the row's id is unknown or itself at fault."""

    ordinal: int
    id: str | None
    source_file: str
    source_line: int
    field: str  # the first field at fault; "row" where the record could not be taken apart
    message: str  # the reason; further fields follow after "; "

    def line(self) -> str:
        """`file:line: field: reason`, as `renderay check` prints it."""
        return f"{self.source_file}:{self.source_line}: {self.field}: {self.message}"


def positional_id(ordinal: int) -> str:
    """The id of a row that has none of its own; it changes when the manifest is re-cut."""
    return f"row-{ordinal:09d}"


def image_refs(value: Any, base: Location) -> tuple[ImageRef, ...]:
    """The reference images that a cell of `image` or `images` names, relative paths taken from the folder `base`.

    Takes a path, a URI (`data:` included), bytes, the Hugging Face struct {"bytes", "path"}, or a list of these.
    Raises ValueError with a one-line reason for anything else.
    """
    if isinstance(value, (list, tuple)):
        return tuple(_image_ref(item, base) for item in value)
    return (_image_ref(value, base),)


def _image_ref(value: Any, base: Location) -> ImageRef:
    if isinstance(value, dict) and value.keys() <= {"bytes", "path"}:
        # Hugging Face keeps the original file name in `path` beside the bytes: the bytes are the picture.
        value = value.get("bytes") or value.get("path")
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value):
        return ImageRef(None, bytes(value))
    if not isinstance(value, str) or not value.strip():
        raise ValueError("each image must be a path, a URI, bytes or {bytes, path}, and not empty")
    if value.startswith("data:"):
        return ImageRef(None, _data_uri(value))
    return ImageRef(_absolute(value, base), None)


def _data_uri(text: str) -> bytes:
    head, _, body = text.partition(",")
    if not head.endswith(";base64") or not body:
        raise ValueError("a data: URI must be base64, as data:image/png;base64,...")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the base64 text of this data: URI is damaged") from None


def _absolute(text: str, base: Location) -> str:
    if "://" in text or text.startswith("/"):
        return text
    scheme, separator, rest = base.uri.rpartition("://")
    joined = posixpath.normpath(posixpath.join(rest, text))
    if joined.startswith("..") or (separator and "/" not in joined):
        raise ValueError(f"{text}: leads above the root of {base.uri}")
    return scheme + separator + joined
