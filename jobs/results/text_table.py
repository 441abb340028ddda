"""A table of texts, laid out for a terminal, for Markdown and for HTML templates."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

_WIDE = 10_000  # columns off a terminal, where nothing wraps


@dataclass(frozen=True)
class TextTable:
    """`title` above, `head` over the columns; those of `texts` hold texts, the others figures.

    `about` are columns that say what was measured; where all rows agree in one, `told_once` moves it into `subtitle`.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[str]
    about: tuple[str, ...] = ()
    subtitle: str = ""

    def told_once(self) -> TextTable:
        """The table without the columns of `about` that are the same in every row; the subtitle has them."""
        same = [name for name in self.about if len({row[self.head.index(name)] for row in self.rows}) == 1]
        said = ", ".join(f"{name} {self.rows[0][self.head.index(name)]}" for name in same)
        return replace(self.without(same), subtitle=said)

    def without(self, names: Collection[str]) -> TextTable:
        """The table without these columns."""
        kept = [k for k, name in enumerate(self.head) if name not in names]
        rows = tuple(tuple(row[k] for k in kept) for row in self.rows)
        about = tuple(name for name in self.about if name not in names)
        return replace(self, head=tuple(self.head[k] for k in kept), rows=rows, about=about)

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
