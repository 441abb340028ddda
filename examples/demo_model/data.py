"""An endless reproducible stream of batches: number k depends on the seed and k alone, whichever process makes it."""

from __future__ import annotations

import os
import string
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from examples.demo_model.captions import caption
from examples.demo_model.layout import lay_out
from examples.demo_model.scenes import sample_scene
from examples.demo_model.words import MAX_TOKENS

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # threads do not outlive the fork of a worker process

Batch = dict[str, torch.Tensor]  # objects, backdrops, and with captions clip_ids, t5_ids
_STRANGE_WORDS = 0.04  # of captions get one that means nothing, so that letters do no harm


class Scenes(Dataset[Batch]):
    """Item k is batch k of training scenes; with a pipeline's tokenizers it has their captions' token ids."""

    def __init__(self, batch_size: int, seed: int, batches: range, tokenizers: tuple[Any, Any] | None) -> None:
        self.batch_size, self.seed, self.batches, self.tokenizers = batch_size, seed, batches, tokenizers

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, k: int) -> Batch:
        if k >= len(self):
            raise IndexError(k)
        random = Random(f"{self.seed} {self.batches[k]}")
        scenes = [sample_scene(random) for _ in range(self.batch_size)]
        objects, backdrops = zip(*(lay_out(scene, random) for scene in scenes), strict=True)
        batch = {
            "objects": torch.from_numpy(np.stack(objects)),
            "backdrops": torch.from_numpy(np.stack(backdrops)),
        }
        if self.tokenizers is not None:
            texts = [_with_strange_word(caption(scene, random), random) for scene in scenes]
            batch["clip_ids"], batch["t5_ids"] = (token_ids(tokenizer, texts) for tokenizer in self.tokenizers)
        return batch


def token_ids(tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """(B, MAX_TOKENS) int32, padded as FluxPipeline pads."""
    ids = tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True).input_ids
    return torch.tensor(ids, dtype=torch.int32)


def stream(scenes: Scenes, device: str, workers: int) -> Iterator[Batch]:
    """The batches in order, on `device`, made ahead by `workers` processes (0: in this one)."""
    loader: DataLoader[Batch] = DataLoader(
        scenes,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        pin_memory=device == "cuda",
        worker_init_fn=_one_thread,
    )
    for batch in loader:
        yield {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def _with_strange_word(text: str, random: Random) -> str:
    if random.random() > _STRANGE_WORDS:
        return text
    strange = "".join(random.choices(string.ascii_lowercase, k=random.randint(2, 7)))
    words = text.split(" ")
    words.insert(random.randint(0, len(words)), strange)
    return " ".join(words)
