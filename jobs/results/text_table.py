"""A table of texts, laid out for Markdown; terminal_table.py prints it and HTML templates take it as it is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TextTable:
    """`title` above, `head` over the columns; those of `texts` hold texts, the others figures.

    `about` are columns that say what was measured; where all rows agree in one, `told_once` moves it into `subtitle`.
    `spare` are those that a narrow terminal can do without, the first to go first.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[str]
    about: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    subtitle: str = ""

    def told_once(self) -> TextTable:
        """The table without the columns of `about` that are the same in every row; the subtitle has them."""
        same = [name for name in self.about if len({row[self.head.index(name)] for row in self.rows}) == 1]
        said = " · ".join(f"{name} {self.rows[0][self.head.index(name)]}" for name in same)
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
