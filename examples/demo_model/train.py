"""Train the demo model: autoencoder, then text encoders and transformer by flow matching, then guidance distillation.

    python3 -m examples.demo_model.train --out RUN            as many steps as fit in the minutes given
    python3 -m examples.demo_model.train --out RUN            again: goes on where it stopped
    python3 -m examples.demo_model.train --out NEXT --start-from RUN/pipeline    more training, from finished weights
    torchrun --nproc-per-node 2 -m examples.demo_model.train --out RUN           on two GPUs, half a batch each

RUN/pipeline is the FluxPipeline folder, RUN/training.json how it came about, RUN/checkpoint.pt where it stands.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import torch

from examples.demo_model.descent import Diverged
from examples.demo_model.distil import distil
from examples.demo_model.flow import train_flow
from examples.demo_model.pipeline import build, save, trained_parts
from examples.demo_model.run import Run
from examples.demo_model.team import Team
from examples.demo_model.train_vae import train_vae

_VAE_MINUTES = 2.8
_STAGES = {"vae": train_vae, "flow": train_flow, "guidance": distil}


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    parser.add_argument("--start-from", type=Path, help="pipeline folder whose weights come first")
    parser.add_argument(
        "--renew", action="append", default=[], metavar="COMPONENT", help="begin this one of --start-from anew"
    )
    for stage, minutes in (("vae", None), ("flow", 10.0), ("guidance", 1.2)):
        parser.add_argument(
            f"--{stage}-minutes", type=float, default=minutes, help="without examinations; 0 leaves the stage out"
        )
        parser.add_argument(f"--{stage}-steps", type=int, help="exactly so many, whatever the time")
    parser.add_argument(
        "--scenes", type=int, default=300_000, help="to train on, made at the start and kept on the device"
    )
    parser.add_argument("--batch-size", type=int, default=256, help="pictures a step of flow and guidance, on all GPUs")
    parser.add_argument("--vae-batch-size", type=int, default=64, help="pictures a step of the autoencoder, likewise")
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the peak learning rates")
    parser.add_argument(
        "--auxiliary", type=float, default=0.1, help="weight of the auxiliary losses of flow at the start"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    workers = max((os.cpu_count() or 1) - 1, 0)
    parser.add_argument("--workers", type=int, default=workers, help="processes that draw up scenes")
    parser.add_argument(
        "--examine-seconds", type=float, default=60.0, help="between two looks at held-out prompts; 0: none"
    )
    parser.add_argument("--checkpoint-seconds", type=float, default=60.0, help="time between two checkpoints")
    for name, default, what in (
        ("compile", torch.cuda.is_available(), "compile the transformer's blocks"),
        ("graph", torch.cuda.is_available(), "replay each step as one CUDA graph"),
        ("channels-last", torch.cuda.is_available(), "memory layout of the autoencoder"),
        ("cudnn-attention", False, "let torch choose cuDNN's attention, whose gradients can be NaN on Hopper"),
    ):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=default, help=what)
    options = parser.parse_args(given)
    if options.start_from and options.vae_steps is None and options.vae_minutes is None:
        options.vae_minutes = 0.0  # another autoencoder would make the transformer's latents meaningless
    elif options.vae_minutes is None:
        options.vae_minutes = _VAE_MINUTES
    return options


def start(options: argparse.Namespace) -> Any:
    """The pipeline to train, and torch's settings for it."""
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.enable_cudnn_sdp(options.cudnn_attention)  # see pytorch issue 196678
    if options.start_from:
        from diffusers import FluxPipeline

        pipe = FluxPipeline.from_pretrained(options.start_from, dtype=torch.float32)
        if unknown := set(options.renew) - set(trained_parts(pipe)):
            sys.exit(f"--renew {', '.join(sorted(unknown))}: not one of {', '.join(trained_parts(pipe))}")
        if options.renew:
            fresh = build()
            pipe.register_modules(**{name: getattr(fresh, name) for name in options.renew})
    else:
        pipe = build()
    for encoder in (pipe.text_encoder, pipe.text_encoder_2):
        encoder.set_attn_implementation("eager")  # a fused kernel gains nothing at 40 tokens
    return pipe.to(options.device)


def main(given: list[str] | None = None) -> None:
    options = arguments(given)
    team = Team(options.device)
    try:
        train_all(Run(start(options), options, team))
    except BaseException as error:
        if team.size == 1:
            raise
        if isinstance(error, SystemExit):
            print(error.code, file=sys.stderr, flush=True)
        else:
            traceback.print_exc()
        os._exit(1)  # at once, for torchrun to end the others, who wait for this one
    team.end()


def train_all(run: Run) -> None:
    """Stage after stage, those that are not finished yet."""
    for stage, train in _STAGES.items():
        if run.wanted(stage):
            try:
                train(run)
            except Diverged as error:
                sys.exit(f"{stage}: {error}")
            run.milestone()
            if run.team.leads:
                size = save(run.pipe, run.out / "pipeline")
                run.say(f"{stage}: {run.out / 'pipeline'}, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
