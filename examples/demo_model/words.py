"""The CLIP and T5 tokenizers, over the words that captions use.

Both are the genuine classes. Every caption word is one token (T5's with a capital too, since T5 keeps case); any other
word is spelt in letters (T5) or bytes (CLIP).
"""

from __future__ import annotations

import re
import string
from functools import cache
from itertools import pairwise
from random import Random
from typing import Any

from examples.demo_model.captions import caption
from examples.demo_model.scenes import sample_scene

MAX_TOKENS = 40
_SPECIAL = ("<|startoftext|>", "<|endoftext|>")


@cache
def caption_words() -> tuple[str, ...]:
    """Every word of 15,000 captions, lower case, sorted: all there are."""
    random = Random(0)
    texts = (caption(sample_scene(random), random) for _ in range(15_000))
    return tuple(sorted({word for text in texts for word in re.findall(r"[a-z0-9-]+", text.lower())}))


def t5_tokenizer(words: tuple[str, ...]) -> Any:
    from transformers import T5TokenizerFast

    whole = sorted({form for word in words for form in (word, word.capitalize())})
    letters = [letter for letter in string.printable if not letter.isspace()]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -9.0), *((letter, -9.0) for letter in letters)]
    pieces += [("\u2581" + word, -1.0) for word in whole]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=MAX_TOKENS)


def capitals(tokenizer: Any, words: tuple[str, ...]) -> dict[int, int]:
    """T5's token of each capitalised word -> that of the word itself."""
    pairs = {"\u2581" + word.capitalize(): "\u2581" + word for word in words if word.capitalize() != word}
    return {
        tokenizer.convert_tokens_to_ids(big): tokenizer.convert_tokens_to_ids(small) for big, small in pairs.items()
    }


def clip_tokenizer(words: tuple[str, ...]) -> Any:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    merges = _merges(sorted({part for word in words for part in re.findall(r"[a-z]+", word)}))
    joined = list(dict.fromkeys("".join(pair) for pair in merges))
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *joined, *_SPECIAL]
    vocab = {token: k for k, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte pair merges, most frequent pair first, until every word is one token."""
    spelt = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while True:
        pairs: dict[tuple[str, str], int] = {}
        for word in spelt:
            for pair in pairwise(word):
                pairs[pair] = pairs.get(pair, 0) + 1
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelt = [_join(word, best) for word in spelt]


def _join(word: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for token in word:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return joined
