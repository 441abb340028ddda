"""Small genuine tokenizers for pipelines that are built without a download.

CLIP's and T5's have one token a character or byte. Those of the language models have bytes, and whole words for what
the pipelines' templates say: Qwen-Image drops as many leading tokens as its template has in the published tokenizer.
"""

from __future__ import annotations

import string
from typing import Any

_QWEN_TEMPLATES = (
    "system\nuser\nassistant\n",
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of the"
    " objects and background:",
    "Describe the key features of the input image (color, shape, size, texture, objects, background), then explain how"
    " the user's text instruction should alter or modify the image. Generate a new image that meets the user's"
    " requirements while maintaining consistency with the original input where appropriate.",
)
_QWEN_SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_MISTRAL_SPECIAL = {
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "additional_special_tokens": ["[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[IMG]"],
}
_MISTRAL_CHAT = """\
{{- bos_token }}
{%- for message in messages %}
    {%- set tag = "SYSTEM_PROMPT" if message.role == "system" else "INST" %}
    {{- "[" + tag + "]" }}
    {%- for part in message.content %}{{- "[IMG]" if part.type == "image" else part.text }}{%- endfor %}
    {{- "[/" + tag + "]" }}
{%- endfor %}"""


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


def qwen2_tokenizer() -> Any:
    """Qwen2's byte-level BPE; knows the words of the Qwen-Image and Qwen-Image-Edit templates (34 and 64 tokens)."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    alphabet = {letter: k for k, letter in enumerate(sorted(ByteLevel.alphabet()))}
    return Qwen2Tokenizer(vocab=alphabet, merges=[]).train_new_from_iterator(
        _QWEN_TEMPLATES * 2, vocab_size=1000, new_special_tokens=list(_QWEN_SPECIAL), show_progress=False
    )


def mistral_tokenizer(corpus: str) -> Any:
    """A byte-level BPE with the words of `corpus`, and Mistral's special tokens and chat template.

    FLUX.2 publishes a PixtralProcessor around its tokenizer. That one refuses to load without torchvision, and encoding
    a prompt needs no more than the chat template, so this is the tokenizer alone.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    *single, several = _MISTRAL_SPECIAL.values()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=[*single, *several],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([corpus] * 2, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=_MISTRAL_CHAT, **_MISTRAL_SPECIAL)
