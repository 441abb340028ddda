"""First stage: an autoencoder that is nearly lossless on flat shapes, and whose latents have mean 0 and deviation 1.

Tensor shapes: B batch, P pixels of a side, C latent channels, h = P / 4 latents of a side.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from examples.demo_model.data import make_scenes
from examples.demo_model.descent import Descent
from examples.demo_model.pipeline import LATENT_SIDE
from examples.demo_model.pool import Pool
from examples.demo_model.watch import examine_autoencoder

_PEAK_RATE = 2e-3
_KL_WEIGHT = 2e-4  # enough to keep latents smooth; the picture comes first


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
    vae, pool = run.pipe.vae.train(), run.once(Pool)
    layout = torch.channels_last if run.options.channels_last else torch.contiguous_format
    vae.to(memory_format=layout)

    def loss(objects: torch.Tensor, backdrops: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        pictures = pool.draw(objects, backdrops).contiguous(memory_format=layout)
        with run.autocast():
            return loss_of(vae, pictures, noise)

    descent = Descent(vae, run.options.rate * _PEAK_RATE, loss, run.options.graph, run.team)
    for step, share, random in run.steps("vae", descent, warm_up=200):
        which = pool.some(run.team.share(run.options.vae_batch_size), random)
        shape = (len(which), vae.config.latent_channels, LATENT_SIDE, LATENT_SIDE)
        noise = torch.randn(shape, generator=random, device=run.device)
        descent.step(step, share, pool.scenes["objects"][which], pool.scenes["backdrops"][which], noise)
    vae.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)
    _measure_latents(run)
    if run.options.examine_seconds > 0 and run.team.leads:
        examine_autoencoder(run)


@torch.no_grad()
def _measure_latents(run: Any) -> None:
    """Set the VAE's shift and scale, and say how near it comes to pictures."""
    vae, pool = run.pipe.vae, run.once(Pool)
    seed = run.scenes_seed() + 1_000_000  # scenes that no step used
    scenes = make_scenes(min(512, len(pool)), seed, (run.pipe.tokenizer, run.pipe.tokenizer_2), workers=0)
    pictures = pool.draw(scenes["objects"].to(run.device), scenes["backdrops"].to(run.device))
    latents = vae.encode(pictures).latent_dist.mode()
    shift, deviation = (run.team.agree(value.item()) for value in (latents.mean(), latents.std()))
    vae.register_to_config(shift_factor=shift, scaling_factor=1 / deviation)
    error = F.mse_loss(vae.decode(latents).sample.clamp(-1, 1), pictures) / 4  # of a range of 1
    run.say(f"vae: PSNR {-10 * error.log10().item():.2f} dB on {len(pictures)} new pictures")
