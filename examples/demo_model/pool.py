"""The training scenes and their latents, on the training device: a step draws its batch here and waits for nothing.

Tensor shapes: S scenes, B batch, N image tokens, D their channels, T text tokens.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from examples.demo_model.data import Batch, make_scenes, token_ids
from examples.demo_model.draw import Painter
from examples.demo_model.pipeline import PIXELS

_ENCODED_AT_ONCE = 512


class Pool:
    """`run.options.scenes` scenes; the same seed makes the same ones."""

    def __init__(self, run: Any) -> None:
        began = time.monotonic()
        tokenizers = (run.pipe.tokenizer, run.pipe.tokenizer_2)
        workers = max(run.options.workers // run.team.size, 1) if run.options.workers else 0
        made = make_scenes(run.options.scenes, run.scenes_seed(), tokenizers, workers)
        self.device, self.painter = run.device, Painter(PIXELS, run.device)
        self.scenes: Batch = {name: tensor.to(run.device) for name, tensor in made.items()}
        self.no_clip, self.no_t5 = (token_ids(tokenizer, [""]).to(run.device) for tokenizer in tokenizers)
        self._latents: torch.Tensor | None = None
        self._run = run
        run.say(f"{len(self)} scenes in {time.monotonic() - began:.1f} s")

    def __len__(self) -> int:
        return len(self.scenes["objects"])

    def draw(self, objects: torch.Tensor, backdrops: torch.Tensor) -> torch.Tensor:
        """(B, 3, PIXELS, PIXELS) in [-1, 1]."""
        with torch.no_grad():
            return self.painter.draw(objects, backdrops)

    def some(self, count: int, random: torch.Generator) -> torch.Tensor:
        """(B,) numbers of scenes."""
        return torch.randint(len(self), (count,), generator=random, device=self.device)

    def ids(self, which: torch.Tensor, without: float, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """CLIP's and T5's, (B, T) each; a share `without` a caption."""
        bare = torch.rand(len(which), generator=random, device=self.device)[:, None] < without
        clip_ids, t5_ids = (self.scenes[name][which].long() for name in ("clip_ids", "t5_ids"))
        return torch.where(bare, self.no_clip, clip_ids), torch.where(bare, self.no_t5, t5_ids)

    @torch.no_grad()
    def latents(self) -> torch.Tensor:
        """(S, N, D) float16, packed as the transformer takes them; encoded at the first call."""
        if self._latents is None:
            began, pipe = time.monotonic(), self._run.pipe
            shift, scale = pipe.vae.config.shift_factor, pipe.vae.config.scaling_factor
            parts = []
            for first in range(0, len(self), _ENCODED_AT_ONCE):
                some = slice(first, first + _ENCODED_AT_ONCE)
                pictures = self.draw(self.scenes["objects"][some], self.scenes["backdrops"][some])
                found = (pipe.vae.encode(pictures).latent_dist.mode() - shift) * scale
                parts.append(pipe._pack_latents(found, *found.shape).half())
            self._latents = torch.cat(parts)
            deviation = self._latents[:_ENCODED_AT_ONCE].float().std()
            self._run.say(
                f"{len(self)} scenes encoded in {time.monotonic() - began:.1f} s,"
                f" {self._latents.nbytes / 2**30:.2f} GiB, deviation {deviation:.3f}"
            )
        return self._latents
