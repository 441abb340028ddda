"""Prompts to embeddings: each distinct one once, alone, and timed."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from manifests.row import Row
from workers.families import Embeddings
from workers.model import LoadedModel
from workers.references import Reference
from workers.timing import Clock

if TYPE_CHECKING:
    from PIL.Image import Image

_CACHED_BYTES = 1 << 30  # on the device; 68 prompts of FLUX.2-dev at 15 MiB each, thousands of shorter ones


@dataclass(frozen=True)
class Encoded:
    """One row ready for denoising. `marks` are around its text encoding, None where the cache had it."""

    row: Row
    embeddings: Embeddings
    references: tuple[Reference, ...] = ()
    marks: tuple[Any, Any] | None = None

    @property
    def images(self) -> list[Image]:
        """The reference images."""
        return [reference.image for reference in self.references]


@dataclass
class PromptEncoder:
    """Embeds prompts with one loaded model and keeps the latest.

    One prompt at a time, because an embedding must not depend on what else is encoded with it; keyed also by the
    reference images, which the text encoders of edit models see.
    """

    model: LoadedModel
    clock: Clock
    _cache: OrderedDict[str, Embeddings] = field(default_factory=OrderedDict)
    _held: int = 0  # bytes in the cache

    def knows(self, row: Row, references: Sequence[Reference]) -> bool:
        """Whether encoding the row would be a look-up."""
        return self._key(row, references) in self._cache

    def encode(self, row: Row, references: Sequence[Reference]) -> Encoded:
        """The row's embeddings. Whatever the text encoder raises passes."""
        import torch

        key = self._key(row, references)
        if key in self._cache:
            self._cache.move_to_end(key)
            return Encoded(row, self._cache[key], tuple(references))
        images = [reference.image for reference in references]
        with torch.no_grad(), self.model.residency.encoding():
            begin = self.clock.mark()
            found = self.model.family.encode(self.model.pipe, row.prompt, row.negative_prompt, images, row.params)
            end = self.clock.mark()
        found = {name: tensor.to(self.model.device) for name, tensor in found.items()}
        self._keep(key, found)
        return Encoded(row, found, tuple(references), (begin, end))

    def _keep(self, key: str, found: Embeddings) -> None:
        """Cache embeddings, and forget the oldest beyond the limit: memory must not grow with a job's prompts."""
        self._cache[key] = found
        self._held += _bytes(found)
        while self._held > _CACHED_BYTES and len(self._cache) > 1:
            self._held -= _bytes(self._cache.popitem(last=False)[1])

    @staticmethod
    def _key(row: Row, references: Sequence[Reference]) -> str:
        seen = [reference.sha256 for reference in references]
        return json.dumps([row.prompt, row.negative_prompt, row.params, seen], sort_keys=True)


def _bytes(embeddings: Embeddings) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in embeddings.values())
