"""`renderay compare`: what is printed and saved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from manifests.errors import OutputError, one_line

if TYPE_CHECKING:
    from jobs.results.compare import Comparison
    from jobs.results.picture_pairs import PicturePair


@click.command()
@click.argument("run", nargs=-1)
@click.option("--a", "a", multiple=True, metavar="RUN", help="a run of side a; repeatable")
@click.option("--b", "b", multiple=True, metavar="RUN", help="a run of side b; repeatable")
@click.option("--json", "as_json", is_flag=True, help="print a list of objects, one a model and metric")
@click.option("--markdown", metavar="FILE", help="save the tables as Markdown")
@click.option("--html", metavar="FILE", help="save the tables as a page that opens offline, with pairs of pictures")
@click.option("--pictures", type=click.IntRange(min=0), metavar="N", default=None,
              help="compare N pairs of pictures by PSNR and SSIM  [default: 12 with --html, or else 0]")  # fmt: skip
def compare(
    run: tuple[str, ...],
    a: tuple[str, ...],
    b: tuple[str, ...],
    as_json: bool,
    markdown: str | None,
    html: str | None,
    pictures: int | None,
) -> None:
    """Compare runs by what a picture and a step cost.

    RUN is an output folder; give two, or more to compare each with the first, or the output of `renderay bench`.
    One run a side says nothing about the noise between runs, so no verdict is given; several a side (--a, --b), or
    a bench, give one.
    """
    from jobs.results.compare_html import comparison_page
    from jobs.results.compare_tables import comparison_tables, notes
    from jobs.results.picture_pairs import pair_pictures, pair_tables
    from jobs.results.sides import comparisons_of
    from jobs.results.terminal_table import print_tables

    comparisons = comparisons_of(run, a, b)
    wanted = pictures if pictures is not None else 12 if html else 0
    pairs = [pair_pictures(each, wanted) if wanted else [] for each in comparisons]
    if markdown:
        _save(markdown, _markdown(comparisons, pairs))
    if html:
        _save(html, comparison_page(comparisons, pairs))
    if as_json:
        found = [
            entry | {"pictures": [pair.as_json() for pair in shown]}
            for each, shown in zip(comparisons, pairs, strict=True)
            for entry in each.as_json()
        ]
        click.echo(json.dumps(found, indent=2))
        return
    print_tables(comparison_tables(comparisons) + pair_tables(pairs))
    click.echo("\n" + "\n".join(notes(comparisons)))


def _markdown(comparisons: Sequence[Comparison], pairs: Sequence[Sequence[PicturePair]]) -> str:
    from jobs.results.compare_tables import comparison_tables, notes
    from jobs.results.picture_pairs import pair_tables

    tables = comparison_tables(comparisons) + pair_tables(pairs)
    lines = [f"- {line}" for line in notes(comparisons)]
    return "# Comparison\n\n" + "\n".join(table.markdown() for table in tables) + "\n" + "\n".join(lines) + "\n"


def _save(path: str, text: str) -> None:
    from manifests.storage import locate

    target = locate(path)
    try:
        target.write_bytes(text.encode())
    except OSError as error:
        reason = one_line(error, 300)
        raise OutputError(f"{target.uri}: cannot be written: {reason}; give another file") from error
