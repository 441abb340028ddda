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
from examples.demo_model.supervision import Labels, Reader, Tap
from examples.demo_model.words import MAX_TOKENS

_PEAK_RATE = 1e-3
_WITHOUT_CAPTION = 0.1  # share that learns the unconditional flow, which guidance needs
_UNIFORM = 0.25  # share of noise levels drawn evenly
_TOWARDS_NOISE = 0.6  # logarithm of a factor: 26 % of the others above a noise level of 0.85, not 11 %


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
        return self.of_text(clip_ids, self.features(t5_ids), x, sigma, guidance)

    def features(self, t5_ids: torch.Tensor) -> torch.Tensor:
        """(B, T, joint_attention_dim) of T5."""
        found: torch.Tensor = self.parts["text_encoder_2"](t5_ids, attention_mask=self.everything)[0]
        return found

    def of_text(
        self,
        clip_ids: torch.Tensor,
        text: torch.Tensor,
        x: torch.Tensor,
        sigma: torch.Tensor,
        guidance: torch.Tensor,
    ) -> torch.Tensor:
        """The same from T5's features."""
        pooled = self.parts["text_encoder"](clip_ids, attention_mask=self.causal).pooler_output
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
    """What is trained, as one function for both stages, so that it is compiled once."""

    def __init__(self, run: Any) -> None:
        self.parts = trained_parts(run.pipe)
        self.velocity = Velocity(self.parts, run)


class Supervised:
    """The student in the second stage: beside the flow it says what it draws (supervision.py)."""

    def __init__(self, student: Student, run: Any) -> None:
        self.student, self.weight, pool = student, run.options.auxiliary, run.once(Pool)
        self.no_t5 = pool.no_t5
        config = run.pipe.transformer.config
        width = config.num_attention_heads * config.attention_head_dim
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.options.seed)  # the same heads in all processes
            reader = Reader(config.joint_attention_dim, width).to(run.device)
        self.labels = Labels(pool.scenes["objects"], PACKED_SIDE)
        self.module = torch.nn.ModuleDict({**student.parts, "reader": reader})
        self.tap = Tap(student.parts["transformer"])

    def loss(
        self,
        clip_ids: torch.Tensor,
        t5_ids: torch.Tensor,
        x: torch.Tensor,
        sigma: torch.Tensor,
        flow: torch.Tensor,
        share: torch.Tensor,
        of_groups: torch.Tensor,
        places: torch.Tensor,
        of_tokens: torch.Tensor,
    ) -> torch.Tensor:
        """`share`, a scalar, is what is left of the auxiliary losses' weight."""
        velocity, reader = self.student.velocity, self.module["reader"]
        text = velocity.features(t5_ids)
        loss = F.mse_loss(velocity.of_text(clip_ids, text, x, sigma, torch.ones_like(sigma)), flow)
        captioned = (t5_ids != self.no_t5).any(1)
        assert self.tap.hidden is not None
        seen = reader.image_loss(self.tap.hidden, of_tokens)
        return loss + self.weight * share * (seen + reader.text_loss(text, of_groups, places, captioned))


def noisy(run: Any, which: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x, sigma and the flow to learn, of some of the pool's scenes: (B, N, D), (B,), (B, N, D)."""
    latents = run.once(Pool).latents()[which].float()
    noise = torch.randn(latents.shape, generator=random, device=latents.device)
    sigma = _sigmas(run, latents, random)
    return torch.lerp(latents, noise, sigma[:, None, None]), sigma, noise - latents


def _sigmas(run: Any, latents: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Logit-normal, shifted towards noise, where it is settled what is drawn where; some uniform, shifted as the
    scheduler shifts them for N tokens, so that no step of a rendering is rare."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    count, tokens, _ = latents.shape
    normal = torch.randn(count, generator=random, device=latents.device).sigmoid()
    even = torch.rand(count, generator=random, device=latents.device)
    which = torch.rand(count, generator=random, device=latents.device) < _UNIFORM
    shift, time_shift = calculate_shift(tokens), run.pipe.scheduler.time_shift
    return torch.where(which, time_shift(shift, 1.0, even), time_shift(shift + _TOWARDS_NOISE, 1.0, normal))


def train_flow(run: Any) -> None:
    """Train for run.budget("flow") and leave the averaged weights in place."""
    student, pool = run.once(Student), run.once(Pool)
    pool.latents()
    supervised = Supervised(student, run)
    rate = run.options.rate * _PEAK_RATE
    descent = Descent(supervised.module.train(), rate, supervised.loss, run.options.graph, run.team)
    for step, share, random in run.steps("flow", descent, warm_up=500):
        which = pool.some(run.team.share(run.options.batch_size), random)
        x, sigma, flow = noisy(run, which, random)
        ids = pool.ids(which, _WITHOUT_CAPTION, random)
        labels = *supervised.labels.of_groups(which), supervised.labels.of_tokens(which)
        descent.step(step, share, *ids, x, sigma, flow, sigma.new_full((), share), *labels)
    supervised.tap.close()
    student.parts.eval()
