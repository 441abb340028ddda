"""A short hash that tells two sets of weights apart without reading them whole.

For files: every safetensors header, every size, sampled windows of the data (headers alone cannot tell a fine-tune from
its base) and the configuration files. For random weights: what they are made from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

_WINDOWS = 16
_WINDOW_BYTES = 4096


def fingerprint_folder(folder: str) -> str:
    """Hash a diffusers folder; 16 hex digits. Moving or copying the folder does not change it."""
    digest = blake2b(digest_size=8)
    root = Path(folder)
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".safetensors", ".json", ".bin", ".txt", ".model") or not path.is_file():
            continue
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(_safetensors_sample(path) if path.suffix == ".safetensors" else _head(path))
    return digest.hexdigest()


def fingerprint_random(text: str, dtype: str) -> str:
    """Hash what random weights depend on: the reference, the dtype and torch's version."""
    import torch

    return blake2b(json.dumps([text, dtype, torch.__version__]).encode(), digest_size=8).hexdigest()


def fingerprint_quantized(fingerprint: str, methods: Sequence[str]) -> str:
    """A model's fingerprint once its weights are quantised so."""
    if not methods:
        return fingerprint
    return blake2b(json.dumps([fingerprint, *methods]).encode(), digest_size=8).hexdigest()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 20)


def _safetensors_sample(path: Path) -> bytes:
    size = os.path.getsize(path)
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        parts = [file.read(min(header_bytes, size))]
        for k in range(_WINDOWS):
            file.seek(8 + header_bytes + k * max(0, size - 8 - header_bytes) // _WINDOWS)
            parts.append(file.read(_WINDOW_BYTES))
    return b"".join(parts)
