"""`random:FAMILY` is as large as what its authors published, component by component."""

from __future__ import annotations

import pytest
import torch

from workers.families import FAMILIES

QWEN = {"transformer": 20_430_401_088, "text_encoder": 8_292_166_656, "vae": 126_892_531}
PARAMETERS = {
    "flux.1-dev": {
        "transformer": 11_901_408_320,
        "text_encoder": 123_060_480,
        "text_encoder_2": 4_762_310_656,
        "vae": 83_819_683,
    },
    "flux.2-dev": {"transformer": 32_223_281_152, "text_encoder": 24_011_361_280, "vae": 84_046_115},
    "qwen-image": QWEN,
    "qwen-image-edit-2511": QWEN,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_full_size_is_the_published_one(name: str) -> None:
    with torch.device("meta"):
        full = FAMILIES[name].build("full")
    modules = {name: part for name, part in full.components.items() if isinstance(part, torch.nn.Module)}
    counts = {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in modules.items()}
    assert counts == PARAMETERS[name]
    assert all(parameter.is_meta for parameter in full.transformer.parameters())
    assert FAMILIES[name].size_multiple(full) == 16
    assert bool(full.transformer.config.get("zero_cond_t")) == (name == "qwen-image-edit-2511")
    assert bool(full.transformer.config.get("guidance_embeds")) == name.startswith("flux")
