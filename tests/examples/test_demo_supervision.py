"""Beside the flow, the second stage is told what lies where; and T5 begins with the order of words."""

from __future__ import annotations

import copy
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from examples.demo_model import train
from examples.demo_model.data import make_scenes, token_ids
from examples.demo_model.layout import lay_out
from examples.demo_model.pipeline import PACKED_SIDE, build
from examples.demo_model.scenes import HARD_SHARES, TEXTURES, Backdrop, Group, Scene, sample_scene
from examples.demo_model.supervision import Labels, Reader, Tap
from examples.demo_model.vocabulary import COLOURS, SHAPES
from tests.conftest import ROOT
from tests.examples.test_demo_training import SIZES

WIDTHS = (128, 160)
DEMO_PIPELINE = ROOT / "workers" / "demo_pipeline"


@pytest.fixture(scope="module")
def pipe() -> Any:
    torch.manual_seed(0)
    return build()


def labels(*scenes: Scene) -> Labels:
    random = Random(0)
    return Labels(torch.from_numpy(np.stack([lay_out(scene, random)[0] for scene in scenes])), PACKED_SIDE)


def classes(group: Group) -> list[int]:
    kinds = SHAPES.index(group.shape), COLOURS.index(group.colour), TEXTURES.index(group.texture)
    return [*kinds, COLOURS.index(group.colour_2 or group.colour)]


def test_groups_are_labelled_as_the_scene_has_them() -> None:
    random = Random(1)
    scenes = [sample_scene(random, shares=HARD_SHARES) for _ in range(500)]
    scenes = [scene for scene in scenes if len(set(scene.groups)) == len({tuple(classes(g)) for g in scene.groups})]
    found, places = labels(*scenes).of_groups(torch.arange(len(scenes)))
    assert len(scenes) > 450
    for scene, rows, at in zip(scenes, found.tolist(), places.tolist(), strict=True):
        groups = scene.groups[::-1] if scene.relation == "inside" else scene.groups  # in drawing order
        if len(set(groups)) == len(groups):
            assert [row for row in rows if row[-1]] == [[*classes(group), group.count] for group in groups]
        if scene.relation == "above":
            assert at[0][1] < 0.5 < at[1][1]


def test_a_token_shows_the_object_on_top() -> None:
    outer, inner = Group("square", "red", size="large"), Group("star", "blue", size="small")
    scene = Scene((inner, outer), Backdrop("plain", ("white",)), relation="inside")
    tokens = labels(scene).of_tokens(torch.tensor([0])).view(PACKED_SIDE, PACKED_SIDE, -1)
    assert tokens[8, 8].tolist() == classes(inner)
    assert tokens[8, 3].tolist() == classes(outer)
    assert tokens[0, 0].tolist() == [len(SHAPES), len(COLOURS), len(TEXTURES), len(COLOURS)]  # nothing


def test_what_has_no_caption_says_nothing_of_the_text() -> None:
    torch.manual_seed(0)
    found, places = labels(*(sample_scene(Random(k)) for k in range(4))).of_groups(torch.arange(4))
    reader, features = Reader(*WIDTHS), torch.randn(4, 40, 128)
    captioned = torch.tensor([True, False, True, False])
    loss = reader.text_loss(features, found, places, captioned)
    those = reader.text_loss(features[captioned], found[captioned], places[captioned], captioned[captioned])
    assert loss.item() == pytest.approx(those.item())
    assert reader.text_loss(features, found, places, torch.zeros(4, dtype=torch.bool)) == 0


def test_t5_begins_with_the_order_of_words(pipe: Any) -> None:
    ids = token_ids(pipe.tokenizer_2, ["a red circle above a blue square", "a blue circle above a red square"])
    first, second = pipe.text_encoder_2(ids)[0]
    assert (first[2] - second[2]).norm() > 0.1 * first[2].norm(), "a circle knows its colour"


def test_captions_alone_teach_which_colour_is_whose(pipe: Any) -> None:
    """Whoever knows the words but not their order can only guess among the colours named."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # beside other tests more are slower
    scenes = make_scenes(6144, 0, (pipe.tokenizer, pipe.tokenizer_2), workers=0)
    labels_of, reader, t5 = Labels(scenes["objects"], PACKED_SIDE), Reader(*WIDTHS), pipe.text_encoder_2
    descent = torch.optim.AdamW([*reader.parameters(), *t5.parameters()], lr=2e-3, betas=(0.9, 0.99))
    random, everyone = torch.Generator().manual_seed(0), torch.ones(48, dtype=torch.bool)
    for _ in range(150):
        which = torch.randint(5632, (48,), generator=random)
        loss = reader.text_loss(t5(scenes["t5_ids"][which].long())[0], *labels_of.of_groups(which), everyone)
        descent.zero_grad()
        loss.backward()
        descent.step()
    others = torch.arange(5632, 6144)
    with torch.no_grad():
        read = reader.of_text(t5(scenes["t5_ids"][others].long())[0])
    found, _ = labels_of.of_groups(others)
    there = found[..., -1] > 0
    colours = read[..., len(SHAPES) + 1 :][..., : len(COLOURS)].argmax(-1)
    assert (colours == found[..., 1])[there].float().mean() > 0.55


def test_a_transformer_is_copied_while_its_tokens_are_kept(pipe: Any) -> None:
    """As every examination of a model in training does."""
    transformer = pipe.transformer
    tap = Tap(transformer)
    side = torch.zeros(4, 3)
    transformer(
        torch.zeros(1, 4, 16), torch.zeros(1, 2, 128), torch.zeros(1, 48), torch.ones(1), side, side[:2], torch.ones(1)
    )
    assert tap.hidden is not None and tap.hidden.shape == (1, 4, 160) and tap.hidden.requires_grad
    copied = copy.deepcopy(transformer)
    assert all(torch.equal(a, b) for a, b in zip(copied.parameters(), transformer.parameters(), strict=True))
    kept = tap.hidden
    copied(
        torch.ones(1, 4, 16), torch.zeros(1, 2, 128), torch.zeros(1, 48), torch.ones(1), side, side[:2], torch.ones(1)
    )
    assert tap.hidden is kept, "a copy's tokens are its own"
    tap.close()


def test_one_component_begins_anew(tmp_path: Path) -> None:
    shipped = DEMO_PIPELINE
    options = train.arguments(
        ["--out", str(tmp_path), "--start-from", str(shipped), "--renew", "text_encoder_2", "--device", "cpu"]
    )
    renewed, kept = (
        train.start(options),
        train.start(train.arguments(["--out", str(tmp_path), "--start-from", str(shipped), "--device", "cpu"])),
    )

    def same(name: str) -> bool:
        pairs = zip(getattr(renewed, name).parameters(), getattr(kept, name).parameters(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    assert same("transformer") and same("vae") and same("text_encoder") and not same("text_encoder_2")
    with pytest.raises(SystemExit, match="--renew scheduler: not one of"):
        train.start(train.arguments(["--out", str(tmp_path), "--start-from", str(shipped), "--renew", "scheduler"]))


def test_the_auxiliary_losses_have_their_weight(tmp_path: Path) -> None:
    given = ["--vae-steps", "1", "--flow-steps", "1", "--guidance-minutes", "0", *SIZES, "--checkpoint-seconds", "0"]
    given += ["--examine-seconds", "0", "--device", "cpu", "--no-compile"]
    for weight in ("0", "1"):
        train.main(["--out", str(tmp_path / weight), *given, "--auxiliary", weight])
    one, other = ((tmp_path / weight / "pipeline" / "text_encoder_2" / "model.safetensors") for weight in ("0", "1"))
    assert one.read_bytes() != other.read_bytes()
