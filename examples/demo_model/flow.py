"""Second stage: text encoders and transformer together, by flow matching on the autoencoder's latents.

Rectified flow: x = (1 - sigma) latents + sigma noise, and the model learns noise - latents.
Tensor shapes: B batch, N image tokens (256), D their channels, T text tokens.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from examples.demo_model.descent import Descent
from examples.demo_model.pipeline import PACKED_SIDE, trained_parts
from examples.demo_model.pool import Pool
from examples.demo_model.words import MAX_TOKENS

_PEAK_RATE = 1e-3
_WITHOUT_CAPTION = 0.1  # share that learns the unconditional flow, which guidance needs
_UNIFORM = 0.15  # share of noise levels drawn evenly, so that neither end is rare


class Velocity:
    """The trained parts as one function: token ids, noisy latents, sigma, guidance -> (B, N, D).

    Text encoders work in float32: they are small, and T5's learned position bias is where half precision hurts.
    """

    def __init__(self, parts: torch.nn.ModuleDict, run: Any) -> None:
        from diffusers import FluxPipeline

        self.parts, self.run = parts, run
        device = torch.device(run.device)
        self.image_ids = FluxPipeline._prepare_latent_image_ids(1, PACKED_SIDE, PACKED_SIDE, device, torch.float32)
        # transformers makes masks of its own from numbers on the CPU, which a CUDA graph cannot hold
        self.everything = torch.zeros(1, 1, MAX_TOKENS, MAX_TOKENS, device=device)
        later = torch.full_like(self.everything[0, 0], torch.finfo(torch.float32).min)
        self.causal = self.everything + later.triu(1)
        if run.options.compile:
            parts["transformer"].compile_repeated_blocks(dynamic=False)

    def __call__(
        self,
        clip_ids: torch.Tensor,
        t5_ids: torch.Tensor,
        x: torch.Tensor,
        sigma: torch.Tensor,
        guidance: torch.Tensor,
    ) -> torch.Tensor:
        pooled = self.parts["text_encoder"](clip_ids, attention_mask=self.causal).pooler_output
        text = self.parts["text_encoder_2"](t5_ids, attention_mask=self.everything)[0]
        with self.run.autocast():
            flow = self.parts["transformer"](
                hidden_states=x,
                encoder_hidden_states=text,
                pooled_projections=pooled,
                timestep=sigma,
                guidance=guidance,
                img_ids=self.image_ids,
                txt_ids=self.image_ids.new_zeros(text.shape[1], 3),
                return_dict=False,
            )[0]
        return flow.float()


class Student:
    """What is trained, and its loss: one for both stages, so that it is compiled once."""

    def __init__(self, run: Any) -> None:
        self.parts = trained_parts(run.pipe)
        self.velocity = Velocity(self.parts, run)

    def loss(
        self,
        clip_ids: torch.Tensor,
        t5_ids: torch.Tensor,
        x: torch.Tensor,
        sigma: torch.Tensor,
        guidance: torch.Tensor,
        flow: torch.Tensor,
    ) -> torch.Tensor:
        return F.mse_loss(self.velocity(clip_ids, t5_ids, x, sigma, guidance), flow)


def noisy(run: Any, which: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x, sigma and the flow to learn, of some of the pool's scenes: (B, N, D), (B,), (B, N, D)."""
    latents = run.once(Pool).latents()[which].float()
    noise = torch.randn(latents.shape, generator=random, device=latents.device)
    sigma = _sigmas(run, latents, random)
    return torch.lerp(latents, noise, sigma[:, None, None]), sigma, noise - latents


def _sigmas(run: Any, latents: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Logit-normal, and some uniform, shifted as the scheduler shifts them for N tokens."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    count, tokens, _ = latents.shape
    normal = torch.randn(count, generator=random, device=latents.device).sigmoid()
    even = torch.rand(count, generator=random, device=latents.device)
    which = torch.rand(count, generator=random, device=latents.device) < _UNIFORM
    return run.pipe.scheduler.time_shift(calculate_shift(tokens), 1.0, torch.where(which, even, normal))


def train_flow(run: Any) -> None:
    """Train for run.budget("flow") and leave the averaged weights in place."""
    student, pool = run.once(Student), run.once(Pool)
    pool.latents()
    descent = Descent(student.parts.train(), run.options.rate * _PEAK_RATE, student.loss, run.options.graph, run.team)
    for step, share, random in run.steps("flow", descent, warm_up=500):
        which = pool.some(run.team.share(run.options.batch_size), random)
        x, sigma, flow = noisy(run, which, random)
        ids = pool.ids(which, _WITHOUT_CAPTION, random)
        descent.step(step, share, *ids, x, sigma, torch.ones_like(sigma), flow)
    student.parts.eval()
