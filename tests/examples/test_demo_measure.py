"""The measurement itself is measured: on true pictures it is right, on wrong ones and on noise it says so."""

from __future__ import annotations

from random import Random

import numpy as np
import torch

from examples.demo_model.draw import Painter
from examples.demo_model.evaluate import accuracy, held_out_prompts
from examples.demo_model.examine import examine
from examples.demo_model.layout import lay_out
from examples.demo_model.measure import components, measure
from examples.demo_model.scenes import Scene


def drawn(scenes: list[Scene]) -> list[np.ndarray]:
    random = Random(0)
    objects, backdrops = zip(*(lay_out(scene, random) for scene in scenes), strict=True)
    pictures = Painter(128).draw(torch.from_numpy(np.stack(objects)), torch.from_numpy(np.stack(backdrops)))
    return list(((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())


def test_true_pictures_are_right_and_others_wrong() -> None:
    prompts = held_out_prompts(120, seed=9)
    scenes = [scene for _, scene, _ in prompts]
    assert all(scene.held_out() for scene in scenes)
    found = [measure(picture) for picture in drawn(scenes)]
    right = [examine(scene, picture) for scene, picture in zip(scenes, found, strict=True)]
    assert sum(verdict.everything for verdict in right) >= 0.99 * len(scenes) - 1
    assert accuracy(scenes, right)["all"]["pairs"] >= 0.98
    assert not any(
        examine(scene, picture).everything for scene, picture in zip(scenes, found[1:] + found[:1], strict=True)
    )


def test_noise_shows_nothing() -> None:
    scenes = [scene for _, scene, _ in held_out_prompts(5, seed=1)]
    for k, scene in enumerate(scenes):
        noise = np.random.default_rng(k).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        verdict = examine(scene, measure(noise))
        assert not verdict.pairs and not verdict.everything


def test_components_are_what_touches_by_a_side() -> None:
    mask = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 1], [1, 0, 0, 0]], bool)
    assert sorted(int(part.sum()) for part in components(mask, 1)) == [2, 2, 3]
    assert [int(part.sum()) for part in components(mask, 3)] == [3]
