"""What a step of each stage costs on this GPU: eager, as a CUDA graph, compiled; and whether its loss stays finite.

    python3 -m examples.demo_model.speed --out FOLDER --seconds 95

The first trial is a short training; the others go on from its weights. A trial that fails is told and passed over; none
begins after `--seconds`. Read the last line of each stage: its speed is after compilation and capture.
"""

from __future__ import annotations

import argparse
import time
import traceback
from pathlib import Path

import torch

from examples.demo_model import train

_SHORT = "--vae-steps {vae} --flow-steps {flow} --guidance-steps 0 --scenes 4096 --examine-seconds 0"
TRIALS = {  # the most telling first; the first makes the weights that the others go on from
    "compiled graph": _SHORT.format(vae=250, flow=250),
    "graph": _SHORT.format(vae=120, flow=120) + " --no-compile",
    "eager": _SHORT.format(vae=60, flow=60) + " --no-graph --no-compile",
    "compiled graph, contiguous autoencoder": _SHORT.format(vae=120, flow=0) + " --no-channels-last",
    "graph, cuDNN's attention": _SHORT.format(vae=0, flow=120) + " --no-compile --cudnn-attention",
    "compiled": _SHORT.format(vae=0, flow=60) + " --no-graph",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=95.0, help="after which no trial begins")
    options = parser.parse_args()
    began = time.monotonic()
    first = options.out / "0" / "pipeline"
    for number, (name, given) in enumerate(TRIALS.items()):
        if time.monotonic() - began > options.seconds:
            print(f"== {name}: no time left", flush=True)
            continue
        print(f"== {name}, after {time.monotonic() - began:.1f} s", flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        more = ["--start-from", str(first)] if number and first.is_dir() else []
        try:
            train.main(["--out", str(options.out / str(number)), *more, *given.split()])
        except SystemExit as error:
            print(f"== {name}: {error}", flush=True)
        except Exception:  # what one trial cannot do must not hide the others
            traceback.print_exc()
            torch.cuda.empty_cache()
    print(f"== {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
