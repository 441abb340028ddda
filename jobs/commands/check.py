"""`renderay check`."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("manifest", nargs=-1, required=True)
@click.option("--model", metavar="REF", help="check sizes and arguments against this model too")
@click.option(
    "--column", multiple=True, metavar="CANONICAL=NAME", help="read a canonical column from another; repeatable"
)
@click.option("--width", type=int, metavar="N", help="width in pixels of rows that name none")
@click.option("--height", type=int, metavar="N", help="height in pixels of rows that name none")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="check the first N rows only")
def check(
    manifest: tuple[str, ...], model: str | None, column: tuple[str, ...], limit: int | None, **sizes: int | None
) -> None:
    """Print every bad row of manifests; render nothing.

    One line a row, as file:line: field: reason. Exit status 3 if there is one; 2 where the model takes no such --width.
    """
    from jobs.check import check_manifest
    from jobs.progress import PlainDisplay
    from manifests.columns import ColumnMap

    given = {name: value for name, value in sizes.items() if value is not None}
    rows = bad = 0
    for row, fault in check_manifest(manifest, ColumnMap(column), model, limit, given, PlainDisplay().warn):
        rows = row
        if fault is not None:
            bad += 1
            click.echo(fault)
    click.echo(f"{rows} rows, {bad} bad", err=True)
    sys.exit(3 if bad else 0)
