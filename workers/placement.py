"""Where a model's weights live: all on one GPU, spread over two, or swapped in from host memory.

    resident  everything on one GPU
    spread    text encoders on a second GPU
    swap      in host memory; text encoders or the rest on the GPU, whichever is at work

Pure arithmetic on GiB, so that a model that cannot fit is refused before it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manifests.errors import ModelError
from workers.families.base import TEXT_ENCODERS

HEADROOM_GIB = 5.0  # activations and the VAE's peak at 1024x1024, CUDA's own


@dataclass(frozen=True)
class Needs:
    """GiB of weights: `text` encoders, the `rest`, and the `most` that must be on a GPU at once when swapping."""

    text: float
    rest: float
    most: float

    @property
    def total(self) -> float:
        """Everything."""
        return self.text + self.rest


def needs_of(components: Mapping[str, float], encodes_apart: bool) -> Needs:
    """Sum up the components' GiB. Pipelines that do not encode apart are swapped component by component."""
    text = sum(size for name, size in components.items() if name in TEXT_ENCODERS)
    rest = sum(components.values()) - text
    return Needs(text, rest, max(text, rest) if encodes_apart else max(components.values(), default=0.0))


def choose_placement(asked: str, needs: Needs, free: Sequence[float], host: float, model: str) -> str:
    """ "resident", "spread" or "swap".

    `asked` is `--offload` (auto, never, swap), `free` the GiB free on each of the worker's GPUs, `host` those of host
    memory. `auto` leaves HEADROOM_GIB on each GPU for activations where it has a choice. Raises ModelError, naming what
    is missing and what would work, where the weights alone do not fit.
    """
    two = len(free) > 1
    if asked != "swap":
        if two and needs.text <= free[1] and needs.rest <= free[0]:
            return "spread"
        if needs.total + (0 if asked == "never" else HEADROOM_GIB) <= free[0]:
            return "resident"
    if asked != "never" and needs.most <= free[0] and needs.total <= host:
        return "swap"
    raise ModelError(f"model {model}: {_missing(asked, needs, free, host)}; {_remedies(asked, needs, free, host)}")


def _missing(asked: str, needs: Needs, free: Sequence[float], host: float) -> str:
    gpus = " and ".join(f"{size:.1f}" for size in free)
    if asked == "never" or needs.most > free[0]:
        wanted, what = (needs.total, "weights") if asked == "never" else (needs.most, "largest part")
        return f"{what} of {wanted:.1f} GiB, {gpus} GiB of GPU memory free, {wanted - free[0]:.1f} GiB too few"
    short = needs.total - host
    return f"weights of {needs.total:.1f} GiB to swap, {host:.1f} GiB of host memory free, {short:.1f} GiB too few"


def _remedies(asked: str, needs: Needs, free: Sequence[float], host: float) -> str:
    found = []
    if asked == "never" and needs.most <= free[0] and needs.total <= host:
        found.append(f"--offload swap needs {needs.most:.1f} GiB at a time")
    if len(free) == 1 and max(needs.text, needs.rest) <= free[0]:
        found.append(f"--gpus-per-worker 2 needs {needs.rest:.1f} and {needs.text:.1f} GiB")
    found.append(
        f"--quantize int8 needs about {needs.total / 2:.1f} GiB" if asked == "never" else "--quantize int8 halves it"
    )
    return ", ".join(found) + ", or use a larger GPU"
