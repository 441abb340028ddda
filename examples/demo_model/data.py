"""Training scenes with captions, made once at the start: number k depends on the seed and k alone."""

from __future__ import annotations

import os
import string
from random import Random
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from examples.demo_model.captions import caption
from examples.demo_model.layout import lay_out
from examples.demo_model.scenes import HARD_SHARES, sample_scene
from examples.demo_model.words import MAX_TOKENS

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # threads do not outlive the fork of a worker process

Batch = dict[str, torch.Tensor]  # objects, backdrops, clip_ids, t5_ids
_STRANGE_WORDS = 0.04  # of captions get one that means nothing, so that letters do no harm
_CHUNK = 512


class Scenes(Dataset[Batch]):
    """Item k is scenes k `size` .. (k + 1) `size` - 1: their numbers to draw and their captions' token ids."""

    def __init__(self, size: int, seed: int, tokenizers: tuple[Any, Any]) -> None:
        self.size, self.seed, self.tokenizers = size, seed, tokenizers

    def __getitem__(self, k: int) -> Batch:
        random = Random(f"{self.seed} {k}")
        scenes = [sample_scene(random, shares=HARD_SHARES) for _ in range(self.size)]
        objects, backdrops = zip(*(lay_out(scene, random) for scene in scenes), strict=True)
        texts = [_with_strange_word(caption(scene, random), random) for scene in scenes]
        clip_ids, t5_ids = (token_ids(tokenizer, texts).to(torch.int16) for tokenizer in self.tokenizers)
        return {
            "objects": torch.from_numpy(np.stack(objects)),
            "backdrops": torch.from_numpy(np.stack(backdrops)),
            "clip_ids": clip_ids,
            "t5_ids": t5_ids,
        }


def make_scenes(count: int, seed: int, tokenizers: tuple[Any, Any], workers: int) -> Batch:
    """`count` scenes in order, made by `workers` processes (0: by this one); 452 bytes each."""
    size = min(count, _CHUNK)
    loader: DataLoader[Batch] = DataLoader(
        Scenes(size, seed, tokenizers),
        batch_size=None,
        sampler=range(-(-count // size)),
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        worker_init_fn=_one_thread,
    )
    chunks = [{name: tensor.clone() for name, tensor in chunk.items()} for chunk in loader]
    return {name: torch.cat([chunk[name] for chunk in chunks])[:count] for name in chunks[0]}


def token_ids(tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """(B, MAX_TOKENS) int64, padded as FluxPipeline pads."""
    return torch.tensor(
        tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True).input_ids, dtype=torch.int64
    )


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def _with_strange_word(text: str, random: Random) -> str:
    if random.random() > _STRANGE_WORDS:
        return text
    strange = "".join(random.choices(string.ascii_lowercase, k=random.randint(2, 7)))
    words = text.split(" ")
    words.insert(random.randint(0, len(words)), strange)
    return " ".join(words)
