"""Rows of numbers (layout.py) -> pictures, in torch, on CPU or GPU; thousands a second on a GPU.

Tensor shapes: B batch, K objects, P pixels of a side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from examples.demo_model.shapes import REACH, atlas

_STRIPES = 3.5  # periods of a texture along the object
_BACKDROP_PERIODS = 6


class Painter:
    """Draws on `device`; holds the atlas there."""

    def __init__(self, pixels: int, device: str | torch.device = "cpu") -> None:
        self.pixels = pixels
        self.atlas = torch.from_numpy(atlas()).to(device)[:, None]
        middles = (torch.arange(pixels, device=device) + 0.5) / pixels
        self.y, self.x = torch.meshgrid(middles, middles, indexing="ij")

    def draw(self, objects: torch.Tensor, backdrops: torch.Tensor) -> torch.Tensor:
        """(B, K, OBJECT_FIELDS), (B, BACKDROP_FIELDS) -> (B, 3, P, P) in [-1, 1]; later objects lie on top."""
        picture = self._backdrop(backdrops)
        for k in range(objects.shape[1]):
            alpha, colour = self._object(objects[:, k])
            picture = torch.lerp(picture, colour, alpha)
        return picture * 2 - 1

    def _object(self, fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 1, P, P) coverage and (B, 3, P, P) or (B, 3, 1, 1) colour of one object a picture."""
        shape, x0, y0, extent, texture = (v[:, None, None] for v in fields[:, :5].unbind(1))
        half = (extent / 2).clamp(min=0.02)
        u, v = (self.x - x0) / half, (self.y - y0) / half  # [-1, 1] inside the object's box
        grid = torch.stack((u, v), -1) / REACH
        known = self.atlas[shape[:, 0, 0].long().clamp(min=0)]
        distance = F.grid_sample(known, grid, padding_mode="border", align_corners=False)
        alpha = (0.5 - distance * half[:, None] * self.pixels).clamp(0, 1) * (shape >= 0)[:, None]
        share = self._texture(u, v, texture, half)[:, None]
        first, second = fields[:, 5:8, None, None], fields[:, 8:11, None, None]
        return alpha, torch.lerp(first, second, share)

    def _texture(self, u: torch.Tensor, v: torch.Tensor, texture: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
        """(B, P, P) share of the second colour, softened over a pixel."""
        soft = half * self.pixels * 2 / _STRIPES / 2  # pixels a half period
        a, b = _wave(u * _STRIPES / 2 + 0.25), _wave(v * _STRIPES / 2 + 0.25)
        striped = (b * soft + 0.5).clamp(0, 1)
        checkered = ((a * b).sign() * torch.minimum(a.abs(), b.abs()) * soft + 0.5).clamp(0, 1)
        near = torch.hypot(*(((w * _STRIPES / 2 + 0.5) % 1 - 0.5) for w in (u, v)))
        dotted = ((0.27 - near) * soft * 2 + 0.5).clamp(0, 1)
        zero = torch.zeros_like(striped)
        return torch.where(
            texture == 1, striped, torch.where(texture == 2, dotted, torch.where(texture == 3, checkered, zero))
        )

    def _backdrop(self, fields: torch.Tensor) -> torch.Tensor:
        pattern = fields[:, 0, None, None]
        soft = self.pixels / _BACKDROP_PERIODS / 2
        x, y = (_wave(w * _BACKDROP_PERIODS / 2) for w in (self.x, self.y))
        ramp = self.y.expand(len(fields), -1, -1)
        horizon = ((self.y - 0.58) * self.pixels + 0.5).clamp(0, 1)
        stripes = (_wave(self.y * _BACKDROP_PERIODS / 2) * soft + 0.5).clamp(0, 1)
        checks = ((x * y).sign() * torch.minimum(x.abs(), y.abs()) * soft + 0.5).clamp(0, 1)
        share = torch.zeros_like(ramp)
        for number, found in ((1, ramp), (2, horizon), (3, stripes), (4, checks), (5, ramp)):
            share = torch.where(pattern == number, found, share)
        picture = torch.lerp(fields[:, 1:4, None, None], fields[:, 4:7, None, None], share[:, None])
        return torch.where((pattern == 5)[:, None], torch.maximum(picture, self._stars()), picture)

    def _stars(self) -> torch.Tensor:
        """(P, P) brightness of a fixed sky."""
        sky = torch.zeros_like(self.x)
        for k in range(28):
            x, y = (k * 0.754877666 + 0.13) % 1, (k * 0.569840291 + 0.41) % 1  # spread evenly, no grid
            away = torch.hypot(self.x - x, self.y - y) * self.pixels
            sky = torch.maximum(sky, (1.1 + 0.5 * (k % 3) - away).clamp(0, 1))
        return sky


def _wave(phase: torch.Tensor) -> torch.Tensor:
    """A triangle wave of period 1 in [-1, 1], 0 at 0 and 0.5."""
    return 1 - 2 * (2 * ((phase + 0.25) % 1) - 1).abs()
