"""The column map."""

from __future__ import annotations

import pytest

from manifests.columns import CANONICAL, ColumnMap, output_name
from manifests.errors import SpecError


def test_without_options_only_namesakes_are_canonical() -> None:
    known, extra = ColumnMap().split({"prompt": "a", "Prompt": "b", "seed": None, "note": None, "tag": 0})
    assert known == {"prompt": "a"} and extra == {"Prompt": "b", "tag": 0}
    assert ColumnMap().sources == set(CANONICAL)


def test_a_mapped_name_wins_and_its_namesake_becomes_the_manifests_own() -> None:
    columns = ColumnMap(["prompt=Prompt", "id=a=b"])
    known, extra = columns.split({"prompt": "mine", "Prompt": "theirs", "a=b": 3, "id": 4})
    assert known == {"prompt": "theirs", "id": 3} and extra == {"prompt": "mine", "id": 4}
    assert "prompt" not in columns.sources and "Prompt" in columns.sources


def test_one_canonical_name_may_be_read_from_another() -> None:
    known, extra = ColumnMap(["prompt=negative_prompt"]).split({"prompt": "p", "negative_prompt": "n"})
    assert known == {"prompt": "n"} and extra == {"prompt": "p"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["prompt"], "CANONICAL=NAME"),
        (["=x"], "CANONICAL=NAME"),
        (["prompt="], "CANONICAL=NAME"),
        (["promt=x"], "did you mean prompt"),
        (["zzz=x"], "known are id, prompt"),
        (["prompt=a", "prompt=b"], "already read from a"),
        (["prompt=a", "id=a"], "already used"),
    ],
)
def test_a_wrong_option_is_refused(options: list[str], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        ColumnMap(options)


@pytest.mark.parametrize(
    ("options", "values", "hint"),
    [
        ([], {"Prompt": "a", "text": "b"}, "--column prompt=Prompt"),
        ([], {"text": "b", "Caption": "c"}, "--column prompt=Caption"),
        ([], {"My": "a", " Text ": "b"}, '"prompt= Text "'),
        ([], {"text": 5}, "every row needs one"),
        (["prompt=Promt"], {"Prompt": "a"}, "--column prompt=Promt finds no such column"),
    ],
)
def test_the_hint_names_the_likely_column(options: list[str], values: dict[str, object], hint: str) -> None:
    assert hint in ColumnMap(options).prompt_hint(values)


def test_output_names_never_collide() -> None:
    taken = {"prompt", "steps", "manifest_steps"}
    assert [output_name(name, taken) for name in ("tag", "prompt", "steps")] == [
        "tag", "manifest_prompt", "manifest_manifest_steps",
    ]  # fmt: skip
