"""LoRA weights, merged into a loaded pipeline by diffusers' own loader.

Merged, so that a step costs what it costs without them and blocks compile; the merge rounds to the weights' dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from manifests.errors import ModelError, SpecError, named_line


@dataclass(frozen=True)
class LoraReference:
    """A parsed `--lora REF[:scale]`: a safetensors file, a folder with one, or a hub id."""

    name: str
    scale: float


def parse_lora(text: str) -> LoraReference:
    """SpecError where what follows the last colon is no finite number."""
    name, separator, scale = text.rpartition(":")
    if not separator or "/" in scale:
        return LoraReference(text, 1.0)
    try:
        factor = float(scale)
    except ValueError:
        raise SpecError(
            f"lora {text!r}: {scale!r} is no scale; write REF or REF:SCALE, like style.safetensors:0.8"
        ) from None
    if not name or not abs(factor) < float("inf"):
        raise SpecError(f"lora {text!r}: write REF or REF:SCALE, with a finite scale")
    return LoraReference(name, factor)


def merge_loras(pipe: Any, texts: Sequence[str]) -> None:
    """Load all, merge them at their scales, and drop the adapters. ModelError, one line, where one cannot be."""
    if not texts:
        return
    if find_spec("peft") is None:
        raise ModelError(f"lora {texts[0]}: needs the package peft: pip install 'renderay[lora]'")
    references = [parse_lora(text) for text in texts]
    names = [f"lora{k}" for k in range(len(references))]
    for name, reference in zip(names, references, strict=True):
        try:
            pipe.load_lora_weights(reference.name, adapter_name=name, use_safetensors=True)
        except Exception as error:
            raise ModelError(f"lora {reference.name} cannot be loaded: {named_line(error, 400)}") from error
    if not set(names) <= {name for found in pipe.get_list_adapters().values() for name in found}:
        raise ModelError(f"lora {', '.join(texts)}: matches no layer of {type(pipe).__name__}")
    pipe.set_adapters(names, adapter_weights=[reference.scale for reference in references])
    pipe.fuse_lora(adapter_names=names)
    pipe.unload_lora_weights()


def fingerprint_loras(fingerprint: str, texts: Sequence[str]) -> str:
    """A model's fingerprint with its LoRA weights: their contents where they are files here, else their names."""
    if not texts:
        return fingerprint
    digest = blake2b(fingerprint.encode(), digest_size=8)
    for reference in map(parse_lora, texts):
        path = Path(reference.name)
        files = sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]
        contents = [file.read_bytes() for file in files if file.is_file()] or [reference.name.encode()]
        digest.update(b"\0".join([*contents, repr(reference.scale).encode()]))
    return digest.hexdigest()
