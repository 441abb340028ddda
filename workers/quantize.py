"""Quantised weights: torchao's weight-only int8 and float8, for models that do not fit otherwise.

Every matrix of the named components is kept in one byte an element and multiplied in the original type. That changes
pictures, so rows say `exact` false.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib.util import find_spec
from typing import Any

from manifests.errors import ModelError, SpecError

METHODS = ("int8", "float8")
DENOISERS = ("transformer", "transformer_2", "unet")


def parse_quantize(texts: Sequence[str]) -> dict[str, str]:
    """`METHOD` (the denoiser) or `COMPONENT=METHOD` -> method by component. SpecError where a method is unknown."""
    found: dict[str, str] = {}
    for text in texts:
        component, separator, method = text.rpartition("=")
        if method not in METHODS or (separator and not component):
            raise SpecError(
                f"quantize {text!r}: write {' or '.join(METHODS)}, or COMPONENT=METHOD, like text_encoder={METHODS[0]}"
            )
        found |= {component: method} if component else dict.fromkeys(DENOISERS, method)
    return found


def require_torchao(methods: dict[str, str]) -> None:
    """ModelError where something is to be quantised and torchao is not installed."""
    if methods and find_spec("torchao") is None:
        raise ModelError("quantize: needs the package torchao: pip install 'renderay[quantize]'")


def require_components(texts: Sequence[str], names: Collection[str], pipeline: str) -> None:
    """ModelError where a component that is to be quantised is none of the pipeline's `names`."""
    for text in texts:
        component, _, _ = text.rpartition("=")
        if component and component not in names:
            known = ", ".join(sorted(names))
            raise ModelError(f"quantize {text}: {pipeline} has no {component}; its parts with weights are {known}")


def quantize(component: Any, method: str, device: str) -> None:
    """Quantise a module in place; its matrices pass through `device` one by one."""
    import torchao.quantization as ao  # type: ignore[import-untyped, import-not-found, unused-ignore]

    config = ao.Int8WeightOnlyConfig() if method == "int8" else ao.Float8WeightOnlyConfig()
    ao.quantize_(component, config, device=device)
