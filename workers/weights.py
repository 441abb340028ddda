"""What a model's weights will take, told before any is loaded.

Random models are built on torch's meta device, which holds no data; saved ones are read by their safetensors headers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.families import FAMILIES

if TYPE_CHECKING:
    import torch

_GIB = 2**30
_SAVED_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


def random_weights(family: str, size: str, dtype: torch.dtype, quantized: Mapping[str, str]) -> dict[str, float]:
    """GiB of each component of a family at a size ("tiny", "full") in `dtype`.

    `quantized` components take a byte a matrix element.
    """
    import torch

    weighed: dict[str, float] = {}

    def weigh(name: str, component: torch.nn.Module) -> Any:
        tensors = [*component.parameters(), *component.buffers()]
        small = [each.dim() == 2 and name in quantized for each in tensors]
        sizes = [
            1 if one else dtype.itemsize if each.is_floating_point() else each.itemsize
            for each, one in zip(tensors, small, strict=True)
        ]
        weighed[name] = sum(each.numel() * size for each, size in zip(tensors, sizes, strict=True)) / _GIB
        return component

    with torch.device("meta"):
        FAMILIES[family].build(size, weigh)
    return weighed


def saved_weights(folder: str, dtype: torch.dtype, quantized: Mapping[str, str]) -> dict[str, float]:
    """GiB of each component of a saved pipeline once loaded in `dtype`.

    Components saved quantised take what they take on disk, `quantized` ones a byte a matrix element. Weights that are
    not safetensors weigh nothing here.
    """
    weighed: dict[str, float] = {}
    index = json.loads((Path(folder) / "model_index.json").read_bytes())
    for part in (Path(folder) / name for name in component_names(index)):
        as_saved = _is_saved_quantized(part)
        sizes = [
            _loaded_bytes(kind, shape, dtype.itemsize, part.name in quantized, as_saved)
            for file in _weight_files(part)
            for kind, shape in _tensors(file)
        ]
        if sizes:
            weighed[part.name] = sum(sizes) / _GIB
    return weighed


def component_names(index: Mapping[str, Any]) -> list[str]:
    """The components that a pipeline's `model_index.json` has it load; a folder may hold more."""
    return [name for name, value in index.items() if not name.startswith("_") and isinstance(value, list) and value[0]]


def _loaded_bytes(kind: str, shape: list[int], itemsize: int, quantize: bool, as_saved: bool) -> int:
    if as_saved or kind not in _FLOATS:
        return prod(shape) * _SAVED_BYTES.get(kind, 1)
    return prod(shape) * (1 if quantize and len(shape) == 2 else itemsize)


def _is_saved_quantized(part: Path) -> bool:
    try:
        return "quantization_config" in json.loads((part / "config.json").read_bytes())
    except (OSError, ValueError):
        return False


def _weight_files(part: Path) -> list[Path]:
    """The files that a loader picks: those of the index where there is one, no variants (`model.fp16.safetensors`)."""
    for index in part.glob("*.safetensors.index.json"):
        if index.name.count(".") == 3:
            return [part / name for name in sorted(set(json.loads(index.read_bytes())["weight_map"].values()))]
    return [path for path in sorted(part.glob("*.safetensors")) if path.name.count(".") == 1]


def _tensors(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Dtype (safetensors' name) and shape of every tensor in a file."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    yield from ((entry["dtype"], entry["shape"]) for name, entry in header.items() if name != "__metadata__")
