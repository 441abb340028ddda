"""The index of ids."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest

from manifests.duplicates import DuplicateIndex


def test_the_first_occurrence_is_named() -> None:
    with DuplicateIndex() as seen:
        assert seen.add("a", "x.jsonl", 1) is None
        assert seen.add("A", "x.jsonl", 2) is None
        assert seen.add("a ", "y.jsonl", 2) is None
        assert seen.add("1", "y.jsonl", 3) is None
        assert seen.add("01", "y.jsonl", 4) is None
        assert seen.add("a", "y.jsonl", 5) == "x.jsonl:1"
        assert seen.add("a", "z.jsonl", 6) == "x.jsonl:1"
        assert seen.add("01", "z.jsonl", 6) == "y.jsonl:4"


def test_it_agrees_with_a_dict_on_many_random_ids() -> None:
    draw, first = random.Random(0), dict[str, int]()
    with DuplicateIndex() as seen:
        for line in range(1, 50_001):
            id = f"{draw.randrange(40_000):x}"
            assert seen.add(id, "f", line) == (f"f:{first[id]}" if id in first else None)
            first.setdefault(id, line)
    assert len(first) < 50_000


def test_the_temporary_folder_goes_with_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyError), DuplicateIndex() as seen:
        seen.add("a", "f", 1)
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyError
    assert not list(tmp_path.iterdir())
