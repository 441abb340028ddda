"""File names from a template and a picture's columns.

`{id}-{image_index}.{format}` is the default; any column may stand in braces, with a format specification
(`{ordinal:06d}`), and `/` in the template makes folders. Values cannot: what a file system, a shell or `datasets` takes
for something else is percent-encoded as in a URL, so that different values stay different.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from manifests.errors import SpecError

DEFAULT = "{id}-{image_index}.{format}"
METADATA = ("jsonl", "csv", "parquet")  # extensions of the file beside the pictures
_EXTENSIONS = {"png": ("png",), "webp": ("webp",), "jpeg": ("jpeg", "jpg")}
_UNSAFE = re.compile(r'[\x00-\x1f\x7f"%*/:<>?\\|]')
_MAX_BYTES = 255  # of one part of a path, on every common file system


class NameTemplate:
    """A parsed template. SpecError where it is malformed, leaves the folder or names no column of `columns`.

    `image_format` is png, webp or jpeg; the template must end with it, or with `{format}`.
    """

    def __init__(self, template: str, columns: Sequence[str], image_format: str) -> None:
        self.template = template
        try:
            parsed = list(string.Formatter().parse(template))
        except ValueError as error:
            raise self._wrong(f"{error}; a brace that is meant is written twice") from error
        self._parts: list[tuple[str, str | None, str]] = []
        for literal, field, spec, conversion in parsed:
            if field is not None:
                self._check_field(field, columns)
                if conversion or "{" in (spec or ""):
                    raise self._wrong("a column takes a format as {ordinal:06d}, and no conversion")
            self._parts.append((literal, field, spec or ""))
        folders = re.sub(r"\{[^}]*\}", "x", template).split("/")
        if any(part.strip() in ("", ".", "..") for part in folders) or "\\" in template:
            raise self._wrong("must be a path inside the folder, its parts not empty, . or ..")
        endings = [".{format}", *(f".{extension}" for extension in _EXTENSIONS[image_format])]
        if not template.endswith(tuple(endings)):
            raise self._wrong(f"the pictures are {image_format}; let it end with {' or '.join(endings)}")

    def _check_field(self, field: str, columns: Sequence[str]) -> None:
        if field not in columns:
            close = get_close_matches(field, columns, n=1)
            hint = f"did you mean {{{close[0]}}}?" if close else f"known are {', '.join(columns)}"
            raise self._wrong(f"{{{field}}} is no column of the images table; {hint}")

    @property
    def columns(self) -> list[str]:
        """The columns that it takes."""
        return [field for _, field, _ in self._parts if field is not None]

    def path(self, record: Mapping[str, Any]) -> str:
        """The path of a picture below the folder; `none` stands for a column without a value."""
        pieces = []
        for literal, field, spec in self._parts:
            pieces.append(literal)
            if field is not None:
                pieces.append(_encoded(self._formatted(record[field], field, spec)))
        return "/".join(_component(part) for part in "".join(pieces).split("/"))

    def _formatted(self, value: Any, field: str, spec: str) -> str:
        if value is None or value == "":
            return "none"
        try:
            return format(value, spec)
        except (ValueError, TypeError) as error:
            raise self._wrong(f"{{{field}:{spec}}}: {value!r} cannot be written so ({error})") from error

    def _wrong(self, reason: str) -> SpecError:
        return SpecError(f"--name {self.template}: {reason}")


def file_safe(value: str) -> str:
    """Text as one part of a path."""
    return _component(_encoded(value or "none"))


def _encoded(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"%{ord(found.group()):02X}", text)


def _component(part: str) -> str:
    """One part of a path, whose first character must not hide it and whose length every file system takes."""
    if part.startswith((".", "__")):  # `datasets` passes over both
        part = f"%{ord(part[0]):02X}{part[1:]}"
    if len(part.encode()) <= _MAX_BYTES:
        return part
    stem, dot, extension = part.rpartition(".")
    tail = f"~{hashlib.blake2b(part.encode(), digest_size=8).hexdigest()}{dot}{extension if dot else ''}"
    head = (stem if dot else part).encode()[: _MAX_BYTES - len(tail.encode())]
    return head.decode(errors="ignore") + tail
