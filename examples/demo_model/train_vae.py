"""First stage: an autoencoder that is nearly lossless on flat shapes, and whose latents have mean 0 and deviation 1.

Tensor shapes: B batch, P pixels of a side, C latent channels, h = 16 latents of a side.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from examples.demo_model.draw import Painter
from examples.demo_model.pipeline import PIXELS
from examples.demo_model.schedule import Average, Schedule, set_rate

_PEAK_RATE = 2e-3
_KL_WEIGHT = 2e-4  # enough to keep latents smooth; the picture comes first
_BATCH = 256


def loss_of(vae: torch.nn.Module, pictures: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Absolute error of pixels and of their differences (edges), and a little KL divergence."""
    mean, log_variance = vae.encoder(pictures).float().chunk(2, 1)
    log_variance = log_variance.clamp(-20, 10)
    latents = mean + noise * (0.5 * log_variance).exp()
    again = vae.decoder(latents).float()
    across = F.l1_loss(again.diff(dim=3), pictures.diff(dim=3))
    down = F.l1_loss(again.diff(dim=2), pictures.diff(dim=2))
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
    return F.l1_loss(again, pictures) + 0.5 * (across + down) + _KL_WEIGHT * divergence


def train_vae(run: Any) -> None:
    """Train run.pipe.vae for run.budget("vae"), leave its averaged weights and the latents' scale in place."""
    vae = run.pipe.vae.train().to(memory_format=torch.channels_last)
    painter = Painter(PIXELS, run.device)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=_PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    average = Average(vae)
    loss_now = run.compiled(loss_of)
    done = run.resumed("vae", vae, optimizer, average)
    schedule = Schedule(*run.budget("vae"), warm_up=100, done=done)
    for step, batch in enumerate(run.batches(min(_BATCH, run.batch_size), done, captions=False), done):
        if not schedule.goes_on(step):
            break
        set_rate(optimizer, _PEAK_RATE * schedule.rate(step))
        with torch.no_grad():
            pictures = painter.draw(batch["objects"], batch["backdrops"])
            pictures = pictures.contiguous(memory_format=torch.channels_last)
            random = run.generator(step)
            shape = (len(pictures), vae.config.latent_channels, 16, 16)
            noise = torch.randn(shape, generator=random, device=run.device)
        with run.autocast():
            loss = loss_now(vae, pictures, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(step)
        run.tell("vae", step, schedule, loss)
        run.keep("vae", step + 1, schedule, vae, optimizer, average)
    average.to_module()
    run.finished("vae", schedule)
    vae.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)
    _measure_latents(run, painter)


@torch.no_grad()
def _measure_latents(run: Any, painter: Painter) -> None:
    """Set the VAE's shift and scale from pictures that no step used, and say how near it comes to them."""
    vae = run.pipe.vae
    batch = next(iter(run.batches(min(512, run.batch_size), 10**9, captions=False)))
    pictures = painter.draw(batch["objects"], batch["backdrops"])
    latents = vae.encode(pictures).latent_dist.mode()
    vae.register_to_config(shift_factor=latents.mean().item(), scaling_factor=1 / latents.std().item())
    error = F.mse_loss(vae.decode(latents).sample.clamp(-1, 1), pictures) / 4  # of a range of 1
    run.say(f"vae: PSNR {-10 * error.log10().item():.2f} dB on {len(pictures)} new pictures")
