"""Small genuine tokenizers for pipelines that are built without a download: one token a character or byte."""

from __future__ import annotations

import string
from typing import Any


def clip_tokenizer() -> Any:
    """CLIP's tokenizer with the byte alphabet and no merges; 77 tokens at most."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: k for k, token in enumerate(tokens)}, merges=[], model_max_length=77)


def t5_tokenizer() -> Any:
    """T5's unigram tokenizer over printable ASCII; 512 tokens at most."""
    from transformers import T5TokenizerFast

    letters = [letter for letter in string.printable if not letter.isspace()]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *((letter, -3.0) for letter in letters)]
    return T5TokenizerFast(vocab=vocab, extra_ids=0, model_max_length=512)
