"""Auxiliary losses of the second stage: which object each image token shows, and what T5's features say of each group.

The flow's squared error hardly tells a star from a sun of the same colour, nor which of two colours is whose; these
cross-entropies do (deep supervision: Lee et al. 2015). Their heads are thrown away with the stage.
Tensor shapes: S scenes, B batch, K objects, G groups of equal objects, N image tokens, T text tokens.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from examples.demo_model.layout import MAX_OBJECTS
from examples.demo_model.scenes import TEXTURES
from examples.demo_model.vocabulary import COLOURS, RGB, SHAPES

_AFTER_BLOCK = 2  # of the single blocks: half of the depth is left to draw what was found
_NOTHING = (len(SHAPES), len(COLOURS), len(TEXTURES), len(COLOURS))  # shape, colour, texture, second colour
_OF_TOKEN = tuple(count + 1 for count in _NOTHING)  # classes
_OF_GROUP = (*_OF_TOKEN, MAX_OBJECTS + 1)  # and how many
_GROUPS = 3
_IGNORED = -100  # what cross_entropy passes over


class Labels:
    """What there is to find in the pictures of `objects` (S, K, OBJECT_FIELDS)."""

    def __init__(self, objects: torch.Tensor, side: int) -> None:
        device = objects.device
        self._nothing = torch.tensor(_NOTHING, device=device, dtype=torch.uint8)
        self._there = objects[..., 0] >= 0
        kinds = (objects[..., 0], _nearest(objects[..., 5:8]), objects[..., 4], _nearest(objects[..., 8:11]))
        stacked = torch.stack([kind.clamp(min=0).to(torch.uint8) for kind in kinds], -1)
        self._kinds = torch.where(self._there[..., None], stacked, self._nothing)
        self._places = objects[..., 1:4]
        self._middles = (torch.arange(side, device=device) + 0.5) / side

    def of_tokens(self, which: torch.Tensor) -> torch.Tensor:
        """(B, N, 4) classes: of the topmost object whose box covers the token's middle."""
        kinds, there = self._kinds[which], self._there[which]
        x, y, extent = self._places[which].unbind(-1)
        found = self._nothing.expand(len(which), len(self._middles), len(self._middles), len(_NOTHING))
        for k in range(kinds.shape[1]):
            half = extent[:, k, None] / 2
            across = ((self._middles - x[:, k, None]).abs() < half)[:, None, :]
            down = ((self._middles - y[:, k, None]).abs() < half)[:, :, None]
            covered = across & down & there[:, k, None, None]
            found = torch.where(covered[..., None], kinds[:, k, None, None], found)
        return found.flatten(1, 2).long()

    def of_groups(self, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, G, 5) classes and (B, G, 3) mean x, y, extent; in drawing order."""
        kinds, there, places = self._kinds[which], self._there[which], self._places[which]
        begins = there.clone()
        begins[:, 1:] &= (kinds[:, 1:] != kinds[:, :-1]).any(-1)
        number = (begins.cumsum(1) - 1).clamp(0, _GROUPS - 1)
        every = torch.arange(_GROUPS, device=number.device)[:, None]
        members = (number[:, None] == every) & there[:, None]  # (B, G, K)
        count = members.sum(-1)
        first = members.long().argmax(-1)[..., None].expand(-1, -1, kinds.shape[-1])
        found = torch.where((count > 0)[..., None], kinds.gather(1, first), self._nothing)
        share = members.to(places.dtype) / count.clamp(min=1)[..., None]
        return torch.cat((found.long(), count[..., None]), -1), share @ places


class Reader(torch.nn.Module):
    """The heads. Linear, so that what they read must be there in plain sight."""

    def __init__(self, text: int, image: int) -> None:
        super().__init__()
        self.queries = torch.nn.Parameter(torch.randn(_GROUPS, text) * text**-0.5)
        self.keys = torch.nn.Linear(text, text)
        self.groups = torch.nn.Linear(text, sum(_OF_GROUP) + 3)
        self.tokens = torch.nn.Linear(image, sum(_OF_TOKEN))

    def of_text(self, features: torch.Tensor) -> torch.Tensor:
        """(B, T, text) -> (B, G, logits and place): a weighted mean of the features for each group."""
        weights = (self.queries @ self.keys(features).transpose(1, 2)).softmax(-1)
        read: torch.Tensor = self.groups(weights @ features)
        return read

    def text_loss(
        self, features: torch.Tensor, classes: torch.Tensor, places: torch.Tensor, captioned: torch.Tensor
    ) -> torch.Tensor:
        """Of features (B, T, text), against Labels.of_groups; only of those that are `captioned` (B,)."""
        read = self.of_text(features)
        there = (captioned[:, None] & (classes[..., -1] > 0)).to(read.dtype)
        away = (read[..., -3:] - places).square().sum(-1) * there
        classes = torch.where(captioned[:, None, None], classes, _IGNORED)
        return _cross_entropies(read[..., :-3], classes, _OF_GROUP) + away.sum() / there.sum().clamp(min=1)

    def image_loss(self, hidden: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Of image tokens (B, N, image), against Labels.of_tokens."""
        return _cross_entropies(self.tokens(hidden.float()), classes, _OF_TOKEN)


class Tap:
    """Keeps the image tokens (B, N, image) that leave the middle of a FluxTransformer2DModel."""

    def __init__(self, transformer: Any) -> None:
        self.hidden: torch.Tensor | None = None
        self._handle = transformer.single_transformer_blocks[_AFTER_BLOCK].register_forward_hook(self._keep)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tap:
        """That of a copied transformer: without tokens, which belong to a graph that cannot be copied."""
        copied = object.__new__(Tap)
        copied.hidden = None
        return copied

    def _keep(self, block: torch.nn.Module, given: Any, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.hidden = output[1]

    def close(self) -> None:
        self._handle.remove()
        self.hidden = None


def _cross_entropies(logits: torch.Tensor, classes: torch.Tensor, counts: tuple[int, ...]) -> torch.Tensor:
    """The mean over what is not _IGNORED for each kind of class, added up."""
    total = logits.new_zeros((), dtype=torch.float32)
    for part, labels in zip(logits.split(counts, -1), classes.unbind(-1), strict=True):
        losses = F.cross_entropy(part.flatten(0, 1).float(), labels.flatten(), ignore_index=_IGNORED, reduction="sum")
        total = total + losses / (labels != _IGNORED).sum().clamp(min=1)
    return total


def _nearest(rgb: torch.Tensor) -> torch.Tensor:
    """(..., 3) in [0, 1] -> number of the colour."""
    palette = torch.tensor([RGB[colour] for colour in COLOURS], device=rgb.device) / 255
    return torch.cdist(rgb.flatten(0, -2), palette).argmin(-1).view(rgb.shape[:-1])
