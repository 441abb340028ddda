"""Second stage: text encoders and transformer together, by flow matching on the autoencoder's latents.

Rectified flow: x = (1 - sigma) latents + sigma noise, and the model learns noise - latents.
Tensor shapes: B batch, N image tokens (64), D their channels, T text tokens.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from examples.demo_model.data import Batch, token_ids
from examples.demo_model.draw import Painter
from examples.demo_model.pipeline import PIXELS, trained_parts
from examples.demo_model.schedule import Average, Schedule, set_rate

_PEAK_RATE = 1.5e-3
_WITHOUT_CAPTION = 0.1  # share that learns the unconditional flow, which guidance needs
_UNIFORM = 0.15  # share of noise levels drawn evenly, so that neither end is rare


class Velocity:
    """The trained parts as one function: token ids, noisy latents, sigma, guidance -> (B, N, D)."""

    def __init__(self, parts: torch.nn.ModuleDict, side: int, device: str) -> None:
        from diffusers import FluxPipeline

        self.parts = parts
        self.image_ids = FluxPipeline._prepare_latent_image_ids(1, side, side, torch.device(device), torch.float32)

    def __call__(
        self,
        clip_ids: torch.Tensor,
        t5_ids: torch.Tensor,
        x: torch.Tensor,
        sigma: torch.Tensor,
        guidance: torch.Tensor,
    ) -> torch.Tensor:
        pooled = self.parts["text_encoder"](clip_ids).pooler_output
        text = self.parts["text_encoder_2"](t5_ids)[0]
        return self.parts["transformer"](
            hidden_states=x,
            encoder_hidden_states=text,
            pooled_projections=pooled,
            timestep=sigma,
            guidance=guidance,
            img_ids=self.image_ids,
            txt_ids=self.image_ids.new_zeros(text.shape[1], 3),
            return_dict=False,
        )[0].float()


class Examples:
    """Batches of scenes -> what a step of training takes."""

    def __init__(self, run: Any) -> None:
        self.run, self.vae = run, run.pipe.vae
        self.painter = Painter(PIXELS, run.device)
        tokenizers = (run.pipe.tokenizer, run.pipe.tokenizer_2)
        self.no_clip, self.no_t5 = (token_ids(tokenizer, [""]).to(run.device) for tokenizer in tokenizers)
        self.encode = run.compiled(self._latents)

    def _latents(self, pictures: torch.Tensor) -> torch.Tensor:
        found = self.vae.encoder(pictures).float().chunk(2, 1)[0]
        return (found - self.vae.config.shift_factor) * self.vae.config.scaling_factor

    @torch.no_grad()
    def noisy(self, batch: Batch, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x, sigma and the flow to learn: (B, N, D), (B,), (B, N, D)."""
        pictures = self.painter.draw(batch["objects"], batch["backdrops"])
        with self.run.autocast():
            latents = self.encode(pictures)
        latents = self.run.pipe._pack_latents(latents, *latents.shape)
        noise = torch.randn(latents.shape, generator=random, device=latents.device)
        sigma = self._sigmas(len(latents), random)
        return torch.lerp(latents, noise, sigma[:, None, None]), sigma, noise - latents

    def _sigmas(self, count: int, random: torch.Generator) -> torch.Tensor:
        """Logit-normal, and some uniform, shifted as the scheduler shifts them for 64 tokens."""
        device = self.run.device
        normal = torch.randn(count, generator=random, device=device).sigmoid()
        even = torch.rand(count, generator=random, device=device)
        which = torch.rand(count, generator=random, device=device) < _UNIFORM
        return self.run.pipe.scheduler.time_shift(_shift_of_64_tokens(), 1.0, torch.where(which, even, normal))

    def ids(self, batch: Batch, random: torch.Generator, without: float) -> tuple[torch.Tensor, torch.Tensor]:
        """CLIP's and T5's, a share `without` a caption."""
        bare = torch.rand(len(batch["t5_ids"]), generator=random, device=self.run.device)[:, None] < without
        return tuple(
            torch.where(bare, none, ids).long()
            for none, ids in ((self.no_clip, batch["clip_ids"]), (self.no_t5, batch["t5_ids"]))
        )


def _shift_of_64_tokens() -> float:
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    return calculate_shift(64)


class Student:
    """What is trained, and its loss: one for both stages, so that it is compiled once."""

    def __init__(self, run: Any) -> None:
        self.parts = trained_parts(run.pipe)
        self.velocity = Velocity(self.parts, 8, run.device)
        self.loss = run.compiled(self._loss)

    def _loss(
        self,
        ids: tuple[torch.Tensor, torch.Tensor],
        x: torch.Tensor,
        sigma: torch.Tensor,
        guidance: torch.Tensor,
        flow: torch.Tensor,
    ) -> torch.Tensor:
        return F.mse_loss(self.velocity(*ids, x, sigma, guidance), flow)


def train_flow(run: Any) -> None:
    """Train for run.budget("flow") and leave the averaged weights in place."""
    student, examples = run.once(Student), run.once(Examples)
    parts = student.parts.train()
    optimizer = optimizer_of(parts, _PEAK_RATE)
    average = Average(parts)
    done = run.resumed("flow", parts, optimizer, average)
    schedule = Schedule(*run.budget("flow"), done=done)
    for step, batch in enumerate(run.batches(run.batch_size, done), done):
        if not schedule.goes_on(step):
            break
        set_rate(optimizer, run.options.rate * _PEAK_RATE * schedule.rate(step))
        random = run.generator(step)
        x, sigma, flow = examples.noisy(batch, random)
        ids = examples.ids(batch, random, _WITHOUT_CAPTION)
        with run.autocast():
            loss = student.loss(ids, x, sigma, torch.ones_like(sigma), flow)
        descend(loss, parts, optimizer, average, step)
        run.tell("flow", step, schedule, loss)
        run.keep("flow", step + 1, schedule, parts, optimizer, average)
    average.to_module()
    run.finished("flow", schedule)
    run.milestone()
    parts.eval()


def optimizer_of(parts: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW; matrices decay, norms, biases and embeddings' tables do not."""
    matrices = [p for name, p in parts.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in parts.named_parameters() if not (p.ndim == 2 and "embed" not in name)]
    groups = [{"params": matrices, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
    device = next(parts.parameters()).device.type
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=device == "cuda")


def descend(
    loss: torch.Tensor, parts: torch.nn.Module, optimizer: torch.optim.Optimizer, average: Average, step: int
) -> None:
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    average.update(step)
