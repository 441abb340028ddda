"""The model that ships inside as `demo`: a small FluxPipeline that draws shapes, trained by examples/demo_model."""

from __future__ import annotations

from pathlib import Path

from workers.families.base import Defaults

NAME = "demo"  # what --model calls it
FOLDER = Path(__file__).parent / "demo_pipeline"
SIZES = ((128, 128),)  # (width, height) in pixels: what it was trained at; any other gives cut or empty pictures
DEFAULTS = Defaults(width=128, height=128, steps=20, guidance_scale=2.0)
LICENCE = "apache-2.0"  # the repository's own, by the hub's name for it: code and data of its training lie in there
