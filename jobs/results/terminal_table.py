"""Tables on standard output: on a terminal in its width, elsewhere whole, with nothing wrapped, cut or painted.

What a terminal is too narrow for is first told once above the table, then left out and named, or put line by line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from jobs.results.text_table import TextTable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDE = 10_000  # columns off a terminal, where nothing wraps


def print_tables(tables: Sequence[TextTable]) -> None:
    """Print tables, an empty line between them."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if terminal else _WIDE, no_color=not terminal)
    for number, table in enumerate(tables):
        if number:
            console.print()
        _print_table(console, table)


def _print_table(console: Console, table: TextTable) -> None:
    from rich.text import Text

    shown, body = _fitting(console, table)
    left_out = [name for name in table.spare if name not in shown.head]
    console.print(Text(shown.title, "bold"))
    if shown.subtitle:
        console.print(Text(shown.subtitle))
    console.print(body)
    if left_out:
        console.print(Text(f"not shown here: {', '.join(left_out)}; a wider terminal or --json has it", "dim"))


def _fitting(console: Console, table: TextTable) -> tuple[TextTable, Table]:
    """The fullest form of a table that the console has room for."""
    from rich.measure import Measurement

    unlimited = console.options.update(max_width=_WIDE)
    for shown in _narrower(table):
        body = _side_by_side(shown, narrow=shown is not table)
        if Measurement.get(console, unlimited, body).maximum <= console.width:
            return shown, body
    shown = table.told_once()
    return shown, _line_by_line(shown)


def _narrower(table: TextTable) -> Iterator[TextTable]:
    """The table, then ever narrower ones; a single row loses nothing, put line by line it is short."""
    yield table
    once = table.told_once()
    yield once
    if len(table.rows) > 1:
        for count in range(1, len(table.spare) + 1):
            yield once.without(table.spare[:count])


def _side_by_side(table: TextTable, narrow: bool) -> Table:
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    found = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=narrow)
    for k, name in enumerate(table.head):
        # a head longer than its cells takes more lines, not more width
        width = max(map(cell_len, [*name.split(), *(row[k] for row in table.rows)])) if narrow else len(name)
        head = "\n".join(wrap(name, width, break_on_hyphens=False))
        found.add_column(Text(head), justify="left" if name in table.texts else "right", overflow="fold")
    for row in table.rows:
        found.add_row(*map(Text, row))
    return found


def _line_by_line(table: TextTable) -> Table:
    from rich.table import Table
    from rich.text import Text

    found = Table.grid(padding=(0, 3))
    found.add_column(no_wrap=True)
    found.add_column(overflow="fold")
    for row in table.rows:
        found.add_row("", "")
        for name, cell in zip(table.head, row, strict=True):
            found.add_row(Text(name), Text(cell))
    return found
