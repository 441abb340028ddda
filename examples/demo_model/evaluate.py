"""Held-out prompts -> accuracy, measured on pixels, and a contact sheet.

    python3 -m examples.demo_model.evaluate --model RUN/pipeline              renders by FluxPipeline itself
    python3 -m examples.demo_model.evaluate --reconstruct RUN/pipeline        the true pictures through its VAE alone
    python3 -m examples.demo_model.evaluate --write-manifest held_out.jsonl   then: renderay render held_out.jsonl ...
    python3 -m examples.demo_model.evaluate --rendered OUT                    examines what renderay rendered

The prompts follow from --count and --seed alone. Only scenes on a plain ground are measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from examples.demo_model.captions import caption
from examples.demo_model.examine import Verdict, examine, measurable
from examples.demo_model.measure import measure
from examples.demo_model.pictures import reconstructed, rendered
from examples.demo_model.scenes import Scene, sample_scene
from examples.demo_model.sheet import contact_sheet

CLAIMS = (*(field.name for field in fields(Verdict)), "everything")


def held_out_prompts(count: int, seed: int) -> list[tuple[str, Scene, str]]:
    """(id, scene, caption)."""
    random = Random(f"held out {seed}")
    found: list[tuple[str, Scene, str]] = []
    while len(found) < count:
        scene = sample_scene(random, held_out=True)
        if measurable(scene):
            found.append((f"held-out-{len(found):04d}", scene, caption(scene, random)))
    return found


def kind_of(scene: Scene) -> str:
    if scene.relation is None:
        return "one object" if scene.groups[0].count == 1 else "several equal"
    return {"above": "above", "left": "left of", "inside": "inside", "row": "three kinds"}[scene.relation]


def accuracy(scenes: list[Scene], verdicts: list[Verdict]) -> dict[str, dict[str, float]]:
    """Kind of scene, and "all" -> claim -> share that is right, of those that make the claim; and their `number`."""
    kinds = [kind_of(scene) for scene in scenes]
    table = {}
    for kind in ("all", *sorted(set(kinds))):
        chosen = [verdict for verdict, own in zip(verdicts, kinds, strict=True) if kind in ("all", own)]
        row: dict[str, float] = {"number": len(chosen)}
        for claim in CLAIMS:
            made = [value for verdict in chosen if (value := getattr(verdict, claim)) is not None]
            if made:
                row[claim] = sum(made) / len(made)
        table[kind] = row
    return table


def rendered_by_pipeline(options: argparse.Namespace, prompts: list[str]) -> Iterator[np.ndarray]:
    """On --device, with the guidance scale as an input."""
    import torch
    from diffusers import FluxPipeline

    pipe = FluxPipeline.from_pretrained(options.model, dtype=getattr(torch, options.dtype)).to(options.device)
    return rendered(pipe, prompts, options.steps, options.batch_size, guidance_scale=options.guidance)


def rendered_by_autoencoder(options: argparse.Namespace, scenes: list[Scene]) -> Iterator[np.ndarray]:
    """No model can be measured better than this."""
    from diffusers import AutoencoderKL

    return reconstructed(AutoencoderKL.from_pretrained(options.reconstruct, subfolder="vae").to(options.device), scenes)


def rendered_by_renderay(out: str, ids: list[str]) -> Iterator[np.ndarray]:
    """From the images table of a finished job; KeyError where a prompt has no picture."""
    import renderay

    found = {picture.id: np.asarray(picture.image.convert("RGB")) for picture in renderay.open(out).pictures()}
    for name in ids:
        yield found[name]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", help="pipeline folder")
    what.add_argument("--reconstruct", metavar="MODEL", help="its autoencoder alone, on the true pictures")
    what.add_argument("--rendered", metavar="OUT", help="a renderay job's output")
    what.add_argument("--write-manifest", type=Path, metavar="FILE", help="the prompts as JSON Lines; nothing else")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the first 60 here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    ids, scenes, prompts = (list(part) for part in zip(*held_out_prompts(options.count, options.seed), strict=True))
    if options.write_manifest:
        rows = [{"id": name, "prompt": prompt} for name, prompt in zip(ids, prompts, strict=True)]
        options.write_manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    began = time.perf_counter()
    if options.rendered:
        pictures = list(rendered_by_renderay(options.rendered, ids))
    elif options.reconstruct:
        pictures = list(rendered_by_autoencoder(options, scenes))
    else:
        pictures = list(rendered_by_pipeline(options, prompts))
    seconds = time.perf_counter() - began
    verdicts = [examine(scene, measure(picture)) for scene, picture in zip(scenes, pictures, strict=True)]
    figures: dict[str, Any] = {"accuracy": accuracy(scenes, verdicts)}
    if options.model:
        figures["seconds_per_picture"] = seconds / len(pictures)
        print(f"{figures['seconds_per_picture']:.3f} s a picture, loading included", flush=True)
    print_table(figures["accuracy"])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.sheet:
        right = [verdict.everything for verdict in verdicts]
        contact_sheet(pictures[:60], prompts[:60], right[:60]).save(options.sheet)


def print_table(table: dict[str, dict[str, float]]) -> None:
    print(f"{'':14}{'number':>8}" + "".join(f"{claim:>12}" for claim in CLAIMS))
    for kind, row in table.items():
        cells = (f"{row[claim]:12.1%}" if claim in row else f"{'-':>12}" for claim in CLAIMS)
        print(f"{kind:14}{row['number']:8.0f}" + "".join(cells))


if __name__ == "__main__":
    main()
