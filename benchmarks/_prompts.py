"""Manifests for the benchmarks: distinct prompts, so that no cache of prompts helps either side."""

from __future__ import annotations

import json
from pathlib import Path

_SUBJECTS = ("a lighthouse", "two foxes", "an old tram", "a bowl of plums", "a paper boat", "the harbour", "a violin")
_SCENES = ("in the rain", "at dawn", "under a red sky", "on a wooden table", "seen from above", "in thick fog")
_STYLES = ("oil on canvas", "a pencil drawing", "a photograph", "a linocut", "watercolour")


def prompt(number: int) -> str:
    """A prompt that no other number has."""
    subject, scene = _SUBJECTS[number % 7], _SCENES[number // 7 % 6]
    return f"{subject} {scene}, {_STYLES[number // 42 % 5]}, plate {number}"


def write_manifest(path: Path, rows: int) -> Path:
    """Write `rows` rows of id, prompt and seed as JSON Lines."""
    with path.open("w") as file:
        for number in range(rows):
            row = {"id": f"plate-{number:07d}", "prompt": prompt(number), "seed": 1000 + number}
            file.write(json.dumps(row) + "\n")
    return path
