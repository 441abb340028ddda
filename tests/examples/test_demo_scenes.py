"""The demo model's data: reproducible, split by content, in words that the tokenizers know."""

from __future__ import annotations

from random import Random

import numpy as np
import torch

from examples.demo_model.captions import caption
from examples.demo_model.data import Scenes, make_scenes
from examples.demo_model.draw import Painter
from examples.demo_model.layout import MAX_OBJECTS, lay_out
from examples.demo_model.scenes import Group, Scene, sample_scene, unsaid_backdrop
from examples.demo_model.vocabulary import RGB, SIZE_WORDS
from examples.demo_model.words import MAX_TOKENS, caption_words, clip_tokenizer, t5_tokenizer


def test_a_seed_names_scenes_captions_and_layouts() -> None:
    def made(seed: int) -> tuple[list[Scene], list[str], list[bytes]]:
        random = Random(seed)
        scenes = [sample_scene(random) for _ in range(50)]
        return scenes, [caption(s, random) for s in scenes], [lay_out(s, random)[0].tobytes() for s in scenes]

    assert made(3) == made(3)
    assert made(3)[0] != made(4)[0]


def test_no_scene_is_on_both_sides_of_the_split() -> None:
    random = Random(0)
    training = [sample_scene(random) for _ in range(500)]
    held_out = [sample_scene(random, held_out=True) for _ in range(100)]
    assert not any(scene.held_out() for scene in training)
    assert all(scene.held_out() for scene in held_out)
    assert not set(training) & set(held_out)


def test_an_unsaid_backdrop_never_hides_an_object() -> None:
    random = Random(1)
    for scene in (sample_scene(random) for _ in range(500)):
        seen = {colour for group in scene.groups for colour in (group.colour, group.colour_2)}
        assert not seen & set(scene.backdrop.colours)


def test_one_shape_alone_is_centred_and_large_is_at_least_six_tenths() -> None:
    groups = (Group("star", "red", size="large"),)
    scene = Scene(groups, unsaid_backdrop(groups))
    for seed in range(50):
        objects, _ = lay_out(scene, Random(seed))
        assert abs(objects[0, 1] - 0.5) < 0.02 and abs(objects[0, 2] - 0.5) < 0.02
        assert objects[0, 3] >= 0.6
        assert (objects[1:, 0] == -1).all() and len(objects) == MAX_OBJECTS
        assert any(word in caption(scene, Random(seed)).lower().split() for word in SIZE_WORDS["large"])


def test_a_picture_has_the_colours_of_its_scene() -> None:
    groups = (Group("square", "red", size="large"),)
    objects, backdrop = lay_out(Scene(groups, unsaid_backdrop(groups)), Random(0))
    picture = Painter(64).draw(torch.from_numpy(objects)[None], torch.from_numpy(backdrop)[None])[0]
    pixels = ((picture + 1) * 127.5).permute(1, 2, 0).numpy()
    assert np.abs(pixels[32, 32] - RGB["red"]).max() < 6
    assert np.abs(pixels[2, 2] - RGB["white"]).max() < 6


def test_every_caption_fits_and_is_whole_words() -> None:
    words = caption_words()
    clip, t5 = clip_tokenizer(words), t5_tokenizer(words)
    random = Random(5)
    texts = [caption(sample_scene(random), random) for _ in range(1000)]
    for tokenizer in (clip, t5):
        assert max(len(ids) for ids in tokenizer(texts).input_ids) <= MAX_TOKENS
    spelt = [text for text in texts if "\u2581" in t5.tokenize(text)]
    assert not spelt, "T5 spells a word of these in letters"
    assert t5.convert_ids_to_tokens(t5("Two small red circles, on green.").input_ids) == [
        *("\u2581Two", "\u2581small", "\u2581red", "\u2581circles", ",", "\u2581on", "\u2581green", ".", "</s>")
    ]
    assert t5.unk_token_id not in t5("an umbrella (open)!").input_ids


def test_a_scene_depends_on_its_number_alone() -> None:
    words = caption_words()
    tokenizers = (clip_tokenizer(words), t5_tokenizer(words))
    once, again = Scenes(8, 7, tokenizers), Scenes(8, 7, tokenizers)
    later = again[5]
    for name, tensor in [once[k] for k in range(6)][5].items():
        assert torch.equal(tensor, later[name])
    assert not torch.equal(once[5]["t5_ids"], once[6]["t5_ids"])
    made = make_scenes(600, 7, tokenizers, workers=0)
    assert {len(tensor) for tensor in made.values()} == {600}
    assert torch.equal(made["objects"][:512], Scenes(512, 7, tokenizers)[0]["objects"])
