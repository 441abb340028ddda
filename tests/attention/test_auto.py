"""`auto` keeps the fastest exact backend, and remembers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from attention import BACKENDS
from attention.auto import Choice, choose_fastest, contenders, heaviest
from attention.counting import Call
from attention.memory import recall, remember

USABLE = ["sdpa", "sdpa-cudnn", "flash", "flash4"]


class Times:
    """Milliseconds from a table; counts how often each was asked for. A text is what is raised."""

    def __init__(self, table: dict[str, float | str]) -> None:
        self.table, self.asked, self.order = table, Counter[str](), list[str]()

    def __call__(self, name: str) -> float:
        self.asked[name] += 1
        self.order.append(name)
        found = self.table[name]
        if isinstance(found, str):
            raise RuntimeError(found)
        return found


def test_the_fastest_inside_the_model_wins_not_the_fastest_alone() -> None:
    alone = Times({"sdpa": 1.0, "sdpa-cudnn": 0.9, "flash": 1.3, "flash4": 1.1})
    inside = Times({"sdpa": 133.0, "sdpa-cudnn": 140.0, "flash": 150.0, "flash4": 130.0})
    choice = choose_fastest(USABLE, {"flash3": "package flash_attn_3 is not installed"}, alone, inside)
    assert choice.backend == "flash4"
    assert choice.inside == inside.table and choice.alone == alone.table
    assert choice.reason() == (
        "ms a forward of the denoiser: flash4 130.0, sdpa 133.0, sdpa-cudnn 140.0, flash 150.0; not usable here: flash3"
    )
    assert [line.split()[0] for line in choice.table().splitlines()] == ["backend", *USABLE, "flash3"]
    assert next(line for line in choice.table().splitlines() if line.endswith("chosen")).startswith("flash4 ")


def test_backends_take_turns_and_the_first_forward_of_each_does_not_count() -> None:
    alone, inside = Times(dict.fromkeys(USABLE, 1.0)), Times(dict.fromkeys(USABLE, 100.0))
    choose_fastest(USABLE, {}, alone, inside)
    rounds = inside.asked["sdpa"]
    assert rounds >= 5 and inside.order == USABLE * rounds


def test_what_is_far_too_slow_alone_is_not_compiled() -> None:
    alone = Times({"sdpa": 1.0, "sdpa-cudnn": 1.0, "flash": 1.8, "flash4": 1.2})
    inside = Times(dict.fromkeys(USABLE, 100.0))
    choice = choose_fastest(USABLE, {}, alone, inside)
    assert inside.asked["flash"] == 0 and choice.left_out == {"flash": "alone 1.8 times the fastest's time"}


def test_a_backend_that_fails_in_the_model_is_left_out_and_the_job_goes_on() -> None:
    alone = Times({"sdpa": 1.0, "sdpa-cudnn": "cuDNN\nerror", "flash": 1.2, "flash4": 0.9})
    inside = Times({"sdpa": 100.0, "flash": 101.0, "flash4": "takes no mask"})
    choice = choose_fastest(USABLE, {}, alone, inside)
    assert choice.backend == "sdpa"
    assert choice.left_out == {"sdpa-cudnn": "RuntimeError: cuDNN error", "flash4": "RuntimeError: takes no mask"}
    with pytest.raises(RuntimeError, match="no attention backend runs"):
        choose_fastest(["sdpa"], {}, Times({"sdpa": "broken"}), inside)


def test_of_equals_the_first_in_the_catalogue_is_taken() -> None:
    alone = Times(dict.fromkeys(USABLE, 1.0))
    inside = Times({"sdpa": 100.05, "sdpa-cudnn": 100.0, "flash": 101.0, "flash4": 100.02})
    assert choose_fastest(USABLE, {}, alone, inside).backend == "sdpa"
    inside.table["sdpa"] = 100.2
    assert choose_fastest(USABLE, {}, alone, inside).backend == "sdpa-cudnn"


def test_contenders_are_exact_and_tried_on_this_device(library: Callable[..., str]) -> None:
    def wrong(query, key, value, mask, scale):  # type: ignore[no-untyped-def]
        return query * 0

    names = [
        library("contends_wrongly", wrong, contends=True),
        library("from_the_hub", wrong, contends=True, hub=True),
        library("approximate", wrong, exact=False),
    ]
    usable, unusable = contenders("cpu", "float32", {16, 64})
    assert usable == ["sdpa", "sdpa-flash"]
    assert "it computes wrongly here" in unusable[names[0]] and "only by name" in unusable[names[1]]
    assert names[2] not in unusable and unusable["sdpa-cudnn"] == "it runs on CUDA GPUs only and none is used here"
    assert set(usable) | set(unusable) == {name for name, backend in BACKENDS.items() if backend.contends}


def test_the_heaviest_shape_is_the_one_most_work_is_in() -> None:
    joint = Call("sdpa-cudnn", "blocks.0", (1, 24, 4608, 128), (1, 24, 4608, 128))
    cross = Call("sdpa-cudnn", "blocks.0", (1, 24, 4608, 128), (1, 24, 77, 128))
    found = heaviest([cross] * 50 + [joint] * 2)
    assert (found.query, found.key) == (joint.query, joint.key)
    assert heaviest([cross] * 200 + [joint] * 2).key == cross.key
    scores = Call("sdpa-math", "blocks.0", (1, 24, 4608, 4608), (1, 24, 4608, 4608))
    assert heaviest([cross, scores]).key == cross.key
    for nothing in ([], [scores]):
        with pytest.raises(ValueError, match="no attention kernel"):
            heaviest(nothing)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "renderay" / "attention"


KEY = {"gpu": "H200", "versions": {"torch": "2.13"}, "shapes": [[1, 4608, 64]], "compiled": True}


def test_what_was_measured_is_remembered_for_equal_keys_only(cache: Path) -> None:
    choice = {"backend": "flash4", "alone": {"sdpa": 1.0}, "inside": {}, "left_out": {}, "unusable": {}}
    assert recall(KEY) is None
    remember(KEY, choice)
    assert recall(KEY) == choice and Choice(**recall(KEY)).backend == "flash4"  # type: ignore[arg-type]
    assert recall(json.loads(json.dumps(KEY | {"shapes": [(1, 4608, 64)]}))) == choice
    for change in ({"gpu": "H100"}, {"compiled": False}, {"shapes": [[1, 4608, 65]]}, {"versions": {"torch": "2.14"}}):
        assert recall(KEY | change) is None
    assert len(list(cache.iterdir())) == 1, "written whole, nothing left beside it"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"value": {}}', '{"key": {}, "value": {}}'])
def test_a_damaged_memory_is_no_memory(cache: Path, content: str) -> None:
    remember(KEY, {})
    next(cache.iterdir()).write_text(content)
    assert recall(KEY) is None


def test_a_folder_that_cannot_be_written_costs_the_memory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember(KEY, {})
    assert recall(KEY) is None
