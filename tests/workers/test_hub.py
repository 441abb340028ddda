"""Models of the hub without a network: an end in seconds, or what the cache has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError, RevisionNotFoundError

from manifests.errors import ModelError
from workers.hub import ask_hub
from workers.model import inspect_model, load_model
from workers.reference import parse_model


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the hub answer every question with an error."""

    def put(error: Exception) -> None:
        def model_info(*arguments: Any, **options: Any) -> None:
            raise error

        monkeypatch.setattr(huggingface_hub, "model_info", model_info)

    return put


@pytest.mark.parametrize("load", [inspect_model, lambda text: load_model(text, "cpu", "float32")])
def test_a_model_that_is_nowhere_is_one_line(load: Any, answer: Any) -> None:
    answer(OfflineModeIsEnabled("no network here"))
    with pytest.raises(ModelError, match=r"^model no/such: not in the cache here.*no network here\); give a folder"):
        load("no/such")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(RepositoryNotFoundError, "no such model; .*HF_TOKEN"), (RevisionNotFoundError, "no revision 'v9' of it")],
)
def test_what_the_hub_says_is_said(kind: Any, reason: str, answer: Any) -> None:
    answer(kind.__new__(kind))
    with pytest.raises(ModelError, match=reason):
        ask_hub(parse_model("no/such@v9"))


def test_a_cached_model_needs_no_network(answer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer(OfflineModeIsEnabled("no network here"))
    cached = tmp_path / "model_index.json"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(cached))
    assert ask_hub(parse_model("owner/model")) is False
