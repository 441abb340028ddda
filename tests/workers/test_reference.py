"""What --model may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.errors import ModelError
from workers import demo
from workers.reference import ModelReference, parse_model


@pytest.mark.parametrize(
    ("text", "kind", "name", "revision"),
    [
        ("demo", "demo", str(demo.FOLDER), None),
        ("tiny:flux.1-dev", "tiny", "flux.1-dev", None),
        ("random:flux.1-dev", "random", "flux.1-dev", None),
        ("black-forest-labs/FLUX.1-dev", "hub", "black-forest-labs/FLUX.1-dev", None),
        ("a/b@v1.0", "hub", "a/b", "v1.0"),
        ("a/b@refs/pr/3", "hub", "a/b", "refs/pr/3"),
    ],
)
def test_the_kinds_are_told_apart(text: str, kind: str, name: str, revision: str | None) -> None:
    assert parse_model(text) == ModelReference(text, kind, name, revision)  # type: ignore[arg-type]


def test_a_folder_wins_over_a_hub_id_of_the_same_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "owner" / "model"
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert parse_model("owner/model") == ModelReference("owner/model", "folder", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_model("~/owner/model").name == str(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tiny:flux.1-dew", "no family 'flux.1-dew'; known: "),
        ("random:flux", "no family 'flux'"),
        ("tiny:", "no family ''"),
        ("huge:flux.1-dev", "neither a folder here, nor a hub id"),
        ("gpt", "neither a folder here, nor a hub id"),
        ("a/b/c", "neither a folder here, nor a hub id"),
        ("./nofolder", "neither a folder here, nor a hub id"),
        ("../model", "neither a folder here, nor a hub id"),
        ("a/b@", "neither a folder here, nor a hub id"),
        ("https://host/a/b", "neither a folder here, nor a hub id"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ModelError) as refused:
        parse_model(text)
    assert str(refused.value).startswith(f"model {text}: {reason}") and "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["Demo", "dmeo"])
def test_demo_is_guessed(text: str) -> None:
    with pytest.raises(ModelError, match=r"did you mean demo\?"):
        parse_model(text)


def test_a_folder_that_diffusers_did_not_save_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no model_index\.json"):
        parse_model(str(tmp_path))
