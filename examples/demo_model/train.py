"""Train the demo model: autoencoder, then text encoders and transformer by flow matching, then guidance distillation.

    python3 -m examples.demo_model.train --out RUN            as many steps as fit in the minutes given
    python3 -m examples.demo_model.train --out RUN            again: goes on where it stopped
    python3 -m examples.demo_model.train --out NEXT --start-from RUN/pipeline    more training, from finished weights

RUN/pipeline is the FluxPipeline folder, RUN/training.json how it came about, RUN/checkpoint.pt where it stands.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from examples.demo_model.distil import distil
from examples.demo_model.flow import train_flow
from examples.demo_model.pipeline import build, save
from examples.demo_model.run import Run
from examples.demo_model.train_vae import train_vae

_VAE_MINUTES = 2.0
_STAGES = {"vae": train_vae, "flow": train_flow, "guidance": distil}


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    parser.add_argument("--start-from", type=Path, help="pipeline folder whose weights come first")
    for stage, minutes in (("vae", None), ("flow", 4.8), ("guidance", 1.6)):
        parser.add_argument(
            f"--{stage}-minutes", type=float, default=minutes, help="with compilation; 0 leaves the stage out"
        )
        parser.add_argument(f"--{stage}-steps", type=int, help="exactly so many, whatever the time")
    parser.add_argument("--batch-size", type=int, default=768, help="pictures a step")
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the peak learning rates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    workers = max((os.cpu_count() or 1) - 1, 0)
    parser.add_argument("--workers", type=int, default=workers, help="processes that draw up scenes")
    parser.add_argument("--checkpoint-seconds", type=float, default=60.0, help="time between two checkpoints")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available())
    options = parser.parse_args(given)
    if options.start_from and options.vae_steps is None and options.vae_minutes is None:
        options.vae_minutes = 0.0  # another autoencoder would make the transformer's latents meaningless
    elif options.vae_minutes is None:
        options.vae_minutes = _VAE_MINUTES
    return options


def main(given: list[str] | None = None) -> None:
    options = arguments(given)
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    if options.start_from:
        from diffusers import FluxPipeline

        pipe = FluxPipeline.from_pretrained(options.start_from, dtype=torch.float32)
    else:
        pipe = build()
    run = Run(pipe.to(options.device), options)
    for stage, train in _STAGES.items():
        if run.wanted(stage):
            train(run)
            size = save(pipe, options.out / "pipeline")
            run.say(f"{stage}: {options.out / 'pipeline'}, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
