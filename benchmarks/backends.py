"""Attention on this GPU, told short: which backends work, what `auto` chooses for each model and why, what then ran.

Needs a GPU with the memory of an H200 for the default models; random weights, nothing is downloaded. For every model:
the table of `auto`, and for every backend in it the kernels counted in a forward of the denoiser, eager and (for those
that were compiled) compiled, beside the names of the device's own attention kernels, which no operator can hide.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from typing import Any

from _report import print_json
from PIL import Image

from attention import KernelCount, use_backend
from jobs.attention_table import survey_backends
from manifests.row import ImageRef, Row
from workers.backend_choice import FirstForward, measure_backends
from workers.compile import compile_blocks, uncompile_blocks
from workers.decide import Trial
from workers.encode import PromptEncoder
from workers.model import LoadedModel, load_model
from workers.references import ReferenceFetcher
from workers.settings import WorkerState
from workers.timing import clock_for

MODELS = ["random:flux.1-dev", "random:flux.2-dev", "random:qwen-image", "random:qwen-image-edit-2511"]
_KERNEL_WORDS = ("flash", "fmha", "attn", "attention", "softmax", "cudnn_generated", "sdpa")


def sample_row(model: LoadedModel) -> Row:
    """A row at the authors' defaults, with a picture where the pipeline wants one."""
    defaults, images = model.facts.defaults, ()
    if model.facts.min_images:
        picture = io.BytesIO()
        Image.linear_gradient("L").resize((1024, 768)).convert("RGB").save(picture, "png")
        images = (ImageRef(None, picture.getvalue()),)
    return Row(
        "r0", 0, "none", 1, "a red fox in the snow, photograph", defaults.negative_prompt, images, defaults.width,
        defaults.height, defaults.steps, defaults.guidance_scale, defaults.true_cfg_scale, 0, 1, {}, {},
    )  # fmt: skip


def counted(forward: FirstForward, backend: str) -> dict[str, int]:
    """How often each backend's kernel ran in one forward."""
    use_backend(forward.denoiser, backend)
    with KernelCount(forward.denoiser) as count:
        forward.run()
    return dict(count.names)


def device_kernels(forward: FirstForward) -> str:
    """The attention kernels of the device in one forward, by the profiler's record of the device."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as profiler:
        forward.run()
    found: Counter[str] = Counter()
    for event in profiler.events():
        if any(word in event.name.lower() for word in _KERNEL_WORDS):
            found[event.name[:70]] += 1
    return "; ".join(f"{count} x {name}" for name, count in found.most_common(2)) or "none by name"


def check_model(name: str) -> None:
    """Load, choose, count."""
    import torch

    began = time.perf_counter()
    model = load_model(name, "cuda", "bfloat16")
    encoder = PromptEncoder(model, clock_for("cuda"))
    trial = Trial(model, encoder, ReferenceFetcher(), WorkerState(), sample_row(model))
    forward = trial.first_forward("sdpa", 1)
    loaded = time.perf_counter()
    gpu = torch.cuda.get_device_name()
    choice, _ = measure_backends(model, forward, True, gpu)
    chosen = time.perf_counter()
    _, known = measure_backends(model, forward, True, gpu)
    print(f"{name}: loaded in {loaded - began:.1f} s, auto took {chosen - loaded:.1f} s", flush=True)
    print(f"auto chose {choice.backend}; remembered: {known}\n{choice.table()}", flush=True)
    ran: dict[str, Any] = {}
    for backend in choice.alone:
        ran[backend] = {"eager": counted(forward, backend)}
        kernels = device_kernels(forward)
        if backend in choice.inside:
            compile_blocks(forward.denoiser)
            ran[backend]["compiled"] = counted(forward, backend)
            uncompile_blocks(forward.denoiser)
        print(f"  {backend:15} {ran[backend]}  device: {kernels}", flush=True)
    print_json("backends", model=name, choice=choice.backend, alone=choice.alone, inside=choice.inside, ran=ran)


def main() -> None:
    """The table of backends, then each model in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS, help="random:FAMILY, tiny:FAMILY, hub id or folder")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        check_model(options.models[0])
        return
    print(survey_backends().text(), flush=True)
    import torch

    if not torch.cuda.is_available():
        print("backends: needs an NVIDIA GPU for the rest; nothing measured")
        return
    with tempfile.TemporaryDirectory() as cache:  # measured here and now, not remembered
        for model in options.models:
            command = [sys.executable, __file__, "--one", model]
            subprocess.run(command, env=os.environ | {"XDG_CACHE_HOME": cache}, check=False)


if __name__ == "__main__":
    main()
