"""What a bench is asked for: a grid of configurations, and the order in which they take turns."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from attention import AUTO, BACKENDS
from manifests.errors import SpecError

ALL = "all"
_SIZE = re.compile(r"(\d+)[xX](\d+)")


@dataclass(frozen=True)
class Configuration:
    """One way to render one model. `size` is (width, height) in pixels, None the model's own."""

    model: str
    attention: str
    compile: bool
    size: tuple[int, int] | None
    batch_size: int

    @property
    def name(self) -> str:
        """Unique among the configurations of a model, and fit for a folder."""
        parts = [self.attention, "compiled" if self.compile else "eager"]
        if self.size:
            parts.append(f"{self.size[0]}x{self.size[1]}")
        if self.batch_size != 1:
            parts.append(f"batch{self.batch_size}")
        return "-".join(parts)

    @property
    def folder(self) -> str:
        """Where its job lies below OUT."""
        return f"{folder_of(self.model)}/{self.name}"


@dataclass(frozen=True)
class BenchPlan:
    """What is asked for. `steps` None leaves them to the model; `sizes` are (width, height); `rounds` are counted
    without the one that warms up. `dtype` "auto" is bfloat16 on a GPU and float32 on a CPU."""

    models: tuple[str, ...]
    attentions: tuple[str, ...]
    compiles: tuple[bool, ...]
    sizes: tuple[tuple[int, int] | None, ...]
    batch_sizes: tuple[int, ...]
    steps: int | None
    rounds: int
    dtype: str = "auto"
    format: str = "png"

    def configurations(self, model: str) -> list[Configuration]:
        """Every configuration of a model, the baseline of the tables first."""
        return [
            Configuration(model, attention, compiled, size, batch_size)
            for size, batch_size, compiled, attention in product(
                self.sizes, self.batch_sizes, self.compiles, self.attentions
            )
        ]

    def narrowed(self, attentions: Sequence[str]) -> BenchPlan:
        """The same with other backends."""
        return BenchPlan(**{**self.__dict__, "attentions": tuple(attentions)})


def make_plan(
    models: Sequence[str], attentions: Sequence[str], sizes: Sequence[str], batch_sizes: Sequence[int], **others: Any
) -> BenchPlan:
    """A plan from options; attentions may be comma lists. SpecError where a value is wrong."""
    names = [name.strip() for text in attentions for name in text.split(",") if name.strip()]
    return BenchPlan(
        tuple(dict.fromkeys(models)),
        tuple(dict.fromkeys(names)) or (ALL,),
        sizes=tuple(dict.fromkeys(map(_parse_size, sizes))) or (None,),
        batch_sizes=tuple(dict.fromkeys(batch_sizes)) or (1,),
        **others,
    )


def candidates() -> list[str]:
    """What `all` stands for before anything is tried: every exact backend that is not a download, and `auto`."""
    return [*(name for name, each in BACKENDS.items() if each.exact and not getattr(each, "hub", False)), AUTO]


def turn_order(names: Sequence[str], number: int) -> list[str]:
    """The order of one round, shuffled anew each time: nobody is always the first, or always behind the same one."""
    shuffled = list(names)
    random.Random(number).shuffle(shuffled)
    return shuffled


def folder_of(model: str) -> str:
    """A model's reference as the name of a folder."""
    return re.sub(r"[^\w.@-]+", "-", model).strip("-.")


def _parse_size(text: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise SpecError(f"size {text!r}: must be WIDTHxHEIGHT in pixels, like 1024x1024")
    return int(match[1]), int(match[2])
