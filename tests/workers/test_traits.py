"""What a reference tells of a model is what a look at the model tells."""

from __future__ import annotations

from dataclasses import fields

import pytest

from workers.families import FAMILIES
from workers.model import inspect_model
from workers.reference import parse_model
from workers.traits import ModelTraits, foreseen_traits


@pytest.mark.parametrize("text", [f"{kind}:{name}" for kind in ("tiny", "random") for name in FAMILIES] + ["demo"])
def test_what_is_foreseen_comes_true(text: str) -> None:
    foreseen, found = foreseen_traits(parse_model(text)), inspect_model(text)
    known = [field.name for field in fields(ModelTraits) if field.name != "parameters"]
    if text == "demo":
        known.remove("size_multiple")  # its sizes say more
    assert {name: getattr(foreseen, name) for name in known} == {name: getattr(found, name) for name in known}


def test_a_saved_model_must_be_looked_at() -> None:
    assert foreseen_traits(parse_model("black-forest-labs/FLUX.1-dev")) is None
