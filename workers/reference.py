"""What `--model` may say, told apart without loading anything.

demo              the small model that ships inside
tiny:FAMILY       random weights at toy size, for tests and for trying a manifest
random:FAMILY     random weights at full size, made on the device, for planning and comparing
FOLDER            a diffusers pipeline saved on disk
OWNER/NAME[@REV]  a model of the Hugging Face hub, at a branch, tag or commit
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from typing import Literal

from manifests.errors import ModelError
from workers import demo
from workers.families import FAMILIES

_HUB_ID = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class ModelReference:
    """A parsed `--model`: `name` is a family (tiny, random), a folder's absolute path (folder, demo) or a hub id."""

    text: str
    kind: Literal["demo", "tiny", "random", "folder", "hub"]
    name: str
    revision: str | None = None


def parse_model(text: str) -> ModelReference:
    """Tell the kinds of model apart. ModelError where the text is none of them, or a folder without a pipeline."""
    if text == demo.NAME:
        return ModelReference(text, "demo", str(demo.FOLDER))
    kind, separator, rest = text.partition(":")
    if separator and kind in ("tiny", "random"):
        if rest not in FAMILIES:
            near = difflib.get_close_matches(rest, FAMILIES, n=1)
            hint = f"; did you mean {kind}:{near[0]}?" if near else ""
            raise ModelError(f"model {text}: no family {rest!r}; known: {', '.join(FAMILIES)}{hint}")
        return ModelReference(text, "tiny" if kind == "tiny" else "random", rest)
    folder = os.path.abspath(os.path.expanduser(text))
    if os.path.isdir(folder):
        if not os.path.isfile(os.path.join(folder, "model_index.json")):
            raise ModelError(f"model {text}: the folder has no model_index.json; give a folder that diffusers saved")
        return ModelReference(text, "folder", folder)
    if match := _HUB_ID.fullmatch(text):
        return ModelReference(text, "hub", match["name"], match["revision"])
    hint = "; did you mean demo?" if difflib.get_close_matches(text.lower(), ["demo"]) else ""
    raise ModelError(
        f"model {text}: neither a folder here, nor a hub id (OWNER/NAME or OWNER/NAME@REVISION), "
        f"nor demo, tiny:FAMILY or random:FAMILY{hint}"
    )
