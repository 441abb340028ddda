"""A table of texts, laid out for a terminal, for Markdown and for HTML templates."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

_WIDE = 10_000  # columns off a terminal, where nothing wraps


@dataclass(frozen=True)
class TextTable:
    """`title` above, `head` over the columns; those of `texts` hold texts, the others figures."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[str]

    def markdown(self) -> str:
        """A pipe table under a heading."""
        rule = ["---" if name in self.texts else "---:" for name in self.head]
        lines = [self.head, tuple(rule), *self.rows]
        body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"## {self.title}\n\n{body}\n"


def print_tables(tables: Sequence[TextTable]) -> None:
    """Print tables on standard output: bold heads on a terminal, nothing wrapped, cut or painted elsewhere."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if terminal else _WIDE, no_color=not terminal)
    for number, each in enumerate(tables):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, title_justify="left")
        for name in each.head:
            table.add_column(Text(name), justify="left" if name in each.texts else "right", overflow="fold")
        for row in each.rows:
            table.add_row(*(Text(cell) for cell in row))
        if number:
            console.print()
        console.print(Text(each.title, "bold"))
        console.print(table)


def digits(value: float | None, places: int = 4) -> str:
    """A figure to so many significant digits, without an exponent; a dash where there is none."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    from math import floor, log10

    return f"{value:.{max(0, places - 1 - floor(log10(abs(value))))}f}"


def between(low: float | None, high: float | None, places: int = 4) -> str:
    """An interval."""
    return "-" if low is None or high is None else f"{digits(low, places)} to {digits(high, places)}"
