"""Embeddings are kept for prompts that come again, within a limit."""

from __future__ import annotations

import pytest

from tests.rows import make_row
from workers import encode
from workers.encode import PromptEncoder
from workers.model import LoadedModel
from workers.timing import clock_for


def test_what_is_kept_takes_bounded_memory(tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = PromptEncoder(tiny, clock_for("cpu"))
    rows = [make_row(prompt=prompt) for prompt in ("a fox", "a bird", "a boat")]
    size = sum(t.numel() * t.element_size() for t in encoder.encode(rows[0], []).embeddings.values())
    monkeypatch.setattr(encode, "_CACHED_BYTES", 2 * size)
    encoder.encode(rows[1], [])
    encoder.encode(rows[0], [])  # now the latest
    encoder.encode(rows[2], [])
    assert [encoder.knows(row, []) for row in rows] == [True, False, True]
    monkeypatch.setattr(encode, "_CACHED_BYTES", size // 2)
    encoder.encode(rows[1], [])
    assert [encoder.knows(row, []) for row in rows] == [False, True, False], "the one in use stays"
