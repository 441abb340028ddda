"""Third stage: classifier-free guidance becomes an input, as in FLUX.1-dev, so that one forward a step is enough.

The teacher is the model itself as flow matching left it, run with and without the caption; the student learns
uncaptioned + guidance (captioned - uncaptioned) for guidance drawn from a range.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F

from examples.demo_model.descent import Descent
from examples.demo_model.flow import Student, Velocity, noisy
from examples.demo_model.pool import Pool

_PEAK_RATE = 4e-4
_GUIDANCE = (1.0, 5.0)


def distil(run: Any) -> None:
    """Train for run.budget("guidance") and leave the averaged weights in place."""
    student, pool = run.once(Student), run.once(Pool)
    teacher = Velocity(copy.deepcopy(student.parts).eval().requires_grad_(False), run)
    pool.latents()

    def loss(
        clip_ids: torch.Tensor, t5_ids: torch.Tensor, x: torch.Tensor, sigma: torch.Tensor, guidance: torch.Tensor
    ) -> torch.Tensor:
        with torch.no_grad():
            ones = torch.ones_like(sigma)
            captioned = teacher(clip_ids, t5_ids, x, sigma, ones)
            bare = (none.expand(len(x), -1) for none in (pool.no_clip, pool.no_t5))
            flow = torch.lerp(teacher(*bare, x, sigma, ones), captioned, guidance[:, None, None])
        return F.mse_loss(student.velocity(clip_ids, t5_ids, x, sigma, guidance), flow)

    descent = Descent(student.parts.train(), run.options.rate * _PEAK_RATE, loss, run.options.graph, run.team)
    low, high = _GUIDANCE
    for step, share, random in run.steps("guidance", descent, warm_up=100):
        which = pool.some(run.team.share(run.options.batch_size), random)
        x, sigma, _ = noisy(run, which, random)
        ids = pool.ids(which, 0.0, random)
        guidance = low + (high - low) * torch.rand(len(x), generator=random, device=run.device)
        descent.step(step, share, *ids, x, sigma, guidance)
    student.parts.eval()
