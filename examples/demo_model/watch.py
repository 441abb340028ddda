"""A look at the model while it trains: some held-out prompts, rendered with the averaged weights and examined."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from examples.demo_model.evaluate import accuracy, held_out_prompts
from examples.demo_model.examine import examine
from examples.demo_model.measure import measure
from examples.demo_model.pictures import reconstructed, rendered
from examples.demo_model.pipeline import copy_of, trained_parts
from examples.demo_model.schedule import Average
from examples.demo_model.sheet import contact_sheet

if TYPE_CHECKING:
    from examples.demo_model.run import Run

_PROMPTS, _STEPS, _GUIDANCE = 50, 12, 2.0
_SEED = 1_000_003  # not the final examination's prompts
_TOLD = ("colour", "shape", "pairs", "everything")


def examine_now(run: Run, stage: str, average: Average) -> float:
    """Render, examine, tell, and leave RUN/latest.png; the seconds that it took."""
    began = time.monotonic()
    pipe = copy_of(run.pipe, run.device, torch.bfloat16 if run.device == "cuda" else torch.float32)
    average.to_module(trained_parts(pipe))
    _, scenes, prompts = (list(part) for part in zip(*held_out_prompts(_PROMPTS, _SEED), strict=True))
    by_input = stage == "guidance"  # before that stage guidance takes a second forward
    pictures = list(rendered(pipe, prompts, _STEPS, _PROMPTS, **guidance(by_input)))
    right = _tell(run, stage, scenes, pictures)
    contact_sheet(pictures, prompts, right).save(run.out / "latest.png")
    return time.monotonic() - began


def guidance(by_input: bool) -> dict[str, Any]:
    """FluxPipeline's arguments: guidance as an input, or by a second forward without the caption."""
    if by_input:
        return {"guidance_scale": _GUIDANCE}
    return {"guidance_scale": 1.0, "true_cfg_scale": _GUIDANCE, "negative_prompt": ""}


def examine_autoencoder(run: Run) -> None:
    """True held-out pictures through the VAE alone: no model can be measured better than this."""
    _, scenes, _ = (list(part) for part in zip(*held_out_prompts(_PROMPTS, _SEED), strict=True))
    _tell(run, "true pictures through the vae", scenes, list(reconstructed(run.pipe.vae, scenes)))


def _tell(run: Run, what: str, scenes: list[Any], pictures: list[Any]) -> list[bool]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # pictures are small: many threads took 25 times as long
    try:
        verdicts = [examine(scene, measure(picture)) for scene, picture in zip(scenes, pictures, strict=True)]
    finally:
        torch.set_num_threads(threads)
    table = accuracy(scenes, verdicts)["all"]
    run.say(f"{what}: {len(scenes)} held-out: " + ", ".join(f"{name} {table[name]:.0%}" for name in _TOLD))
    return [verdict.everything for verdict in verdicts]
