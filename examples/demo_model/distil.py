"""Third stage: classifier-free guidance becomes an input, as in FLUX.1-dev, so that one forward a step is enough.

The teacher is the model itself as flow matching left it, run with and without the caption; the student learns
uncaptioned + guidance (captioned - uncaptioned) for guidance drawn from a range.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from examples.demo_model.flow import Examples, Student, Velocity, descend, optimizer_of
from examples.demo_model.schedule import Average, Schedule, set_rate

_PEAK_RATE = 4e-4
_GUIDANCE = (1.0, 5.0)


def distil(run: Any) -> None:
    """Train for run.budget("guidance") and leave the averaged weights in place."""
    student, examples = run.once(Student), run.once(Examples)
    parts = student.parts
    teacher = run.compiled(Velocity(copy.deepcopy(parts).eval().requires_grad_(False), 8, run.device).__call__)
    parts.train()
    optimizer, average = optimizer_of(parts, _PEAK_RATE), Average(parts)
    done = run.resumed("guidance", parts, optimizer, average)
    schedule = Schedule(*run.budget("guidance"), warm_up=100, done=done)
    for step, batch in enumerate(run.batches(run.batch_size, done), done):
        if not schedule.goes_on(step):
            break
        set_rate(optimizer, run.options.rate * _PEAK_RATE * schedule.rate(step))
        random = run.generator(step)
        x, sigma, _ = examples.noisy(batch, random)
        ids = examples.ids(batch, random, without=0.0)
        bare = tuple(none.long().expand(len(x), -1) for none in (examples.no_clip, examples.no_t5))
        low, high = _GUIDANCE
        guidance = low + (high - low) * torch.rand(len(x), generator=random, device=run.device)
        with run.autocast():
            with torch.no_grad():
                ones = torch.ones_like(sigma)
                captioned, without = teacher(*ids, x, sigma, ones), teacher(*bare, x, sigma, ones)
                flow = torch.lerp(without, captioned, guidance[:, None, None])
            loss = student.loss(ids, x, sigma, guidance, flow)
        descend(loss, parts, optimizer, average, step)
        run.tell("guidance", step, schedule, loss)
        run.keep("guidance", step + 1, schedule, parts, optimizer, average)
    average.to_module()
    run.finished("guidance", schedule)
    run.milestone()
    parts.eval()
