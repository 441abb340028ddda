"""Pictures to examine: by a pipeline from prompts, by its autoencoder from true pictures. (P, P, 3) uint8 each."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import torch

from examples.demo_model.draw import Painter
from examples.demo_model.layout import lay_out
from examples.demo_model.scenes import Scene


def rendered(pipe: Any, prompts: list[str], steps: int, batch_size: int, **guidance: Any) -> Iterator[np.ndarray]:
    """Picture k from seed k, drawn on the CPU. ValueError where the pipeline returns values that are not finite."""
    pipe.set_progress_bar_config(disable=True)
    side = pipe.vae.config.sample_size
    for first in range(0, len(prompts), batch_size):
        some = prompts[first : first + batch_size]
        pictures = pipe(
            some,
            height=side,
            width=side,
            num_inference_steps=steps,
            max_sequence_length=pipe.tokenizer_2.model_max_length,
            generator=[torch.Generator("cpu").manual_seed(first + k) for k in range(len(some))],
            output_type="np",
            **guidance,
        ).images
        if not np.isfinite(pictures).all():
            raise ValueError("the pipeline returns pixels that are not finite; its training diverged")
        yield from (pictures * 255).round().astype(np.uint8)


@torch.no_grad()
def reconstructed(vae: Any, scenes: list[Scene]) -> Iterator[np.ndarray]:
    """The true pictures, as the autoencoder gives them back."""
    painter, random = Painter(vae.config.sample_size), Random(0)
    for scene in scenes:
        objects, backdrop = (torch.from_numpy(part)[None] for part in lay_out(scene, random))
        picture = painter.draw(objects, backdrop).to(vae.device)
        again = vae.decode(vae.encode(picture).latent_dist.mode()).sample
        yield ((again[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
