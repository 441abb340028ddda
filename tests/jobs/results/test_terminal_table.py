"""Tables on terminals of any width, and in pipes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jobs.results.compare_tables import comparison_tables
from jobs.results.sides import comparisons_of
from jobs.results.terminal_table import print_tables
from jobs.results.text_table import TextTable
from tests.jobs.results.made_up import batch_times, write_run

Show = Callable[..., list[str]]
HEAD = ("model", "size", "a", "b", "b, s", "speed-up a / b", "95 % interval", "improvement", "verdict")


def table(rows: int, name: str = "flash4-compiled") -> TextTable:
    found = tuple(
        (
            "tiny:flux.1-dev",
            "64x64",
            "sdpa",
            f"{name}-{k}",
            f"0.0{k}976",
            "1.486",
            "1.272 to 2.182",
            f"+3{k}.7 %",
            "b [x]",
        )
        for k in range(rows)
    )
    texts = frozenset({"model", "size", "a", "b", "verdict"})
    return TextTable("Per step", HEAD, found, texts, about=("model", "size", "a"), spare=("improvement",))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Show:
    """What a terminal of some columns shows, or a pipe."""

    def show(width: int | None, *tables: TextTable) -> list[str]:
        stream = Terminal() if width else io.StringIO()
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(width or 40))
        monkeypatch.setattr("sys.stdout", stream)
        print_tables(tables)
        text = stream.getvalue()
        assert width or "\x1b" not in text
        return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]

    return show


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160])
@pytest.mark.parametrize("rows", [1, 3])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_broken(printed: Show, width: int, rows: int) -> None:
    lines = printed(width, table(rows))
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for k in range(rows):
        assert f"flash4-compiled-{k}" in text and f"0.0{k}976" in text
    assert text.count("1.272 to 2.182") == text.count("b [x]") == rows


def test_a_wide_terminal_and_a_pipe_show_every_column(printed: Show) -> None:
    for width in (140, None):
        lines = printed(width, table(2))
        assert re.split(r"\s{3,}", lines[1]) == list(HEAD) and len(lines) == 5
        assert "tiny:flux.1-dev" in lines[3] and "tiny:flux.1-dev" in lines[4]


def test_narrower_ones_tell_once_what_is_the_same_then_leave_out_what_can_be_spared(printed: Show) -> None:
    once = printed(95, table(3))
    assert once[1] == "model tiny:flux.1-dev · size 64x64 · a sdpa"
    assert "improvement" in once[3] and len(once) == 8 and once[2].split() == ["speed-up"]
    spared = printed(68, table(3))
    assert "improvement" not in spared[3] and "+31.7 %" not in "\n".join(spared)
    assert spared[-1] == "not shown here: improvement; a wider terminal or --json has it"


def test_where_that_is_not_enough_or_there_is_one_row_nothing_is_left_out(printed: Show) -> None:
    for width, rows in ((50, 3), (70, 1)):
        lines = printed(width, table(rows))
        assert lines[:2] == ["Per step", "model tiny:flux.1-dev · size 64x64 · a sdpa"]
        assert lines[3:6] == [f"{'b':14}   flash4-compiled-0", f"{'b, s':14}   0.00976", "speed-up a / b   1.486"]
        assert sum(line.startswith("improvement ") for line in lines) == rows


def test_what_differs_is_not_told_once(printed: Show) -> None:
    mixed = table(2)
    rows = (mixed.rows[0], ("other", *mixed.rows[1][1:]))
    once = TextTable(mixed.title, HEAD, rows, mixed.texts, mixed.about).told_once()
    assert once.subtitle == "size 64x64 · a sdpa" and once.head[:2] == ("model", "b") and once.rows[1][0] == "other"


def test_a_bench_of_usual_names_is_a_table_on_eighty_columns(printed: Show, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    names = ("sdpa-eager", "sdpa-math-compiled", "flash4-compiled", "auto-eager")
    runs = [write_run(tmp_path / name, [batch_times(rng)], round_of=range(1, 25), worker_ids=["w"]) for name in names]
    lines = printed(80, *comparison_tables(comparisons_of(runs, [], [])))
    assert "a sdpa-eager · a, s 0." in " ".join(lines[1:3]) and lines[-1].startswith("not shown here: improvement")
    assert sum(line.startswith(names[1:]) and "no difference shown" in line for line in lines) == 6
