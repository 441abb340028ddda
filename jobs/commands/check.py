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
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="check the first N rows only")
def check(manifest: tuple[str, ...], model: str | None, column: tuple[str, ...], limit: int | None) -> None:
    """Print every bad row of manifests; render nothing.

    One line a row, as file:line: field: reason. Exit status 3 if there is one.
    """
    from jobs.check import check_manifest
    from manifests.columns import ColumnMap

    rows = bad = 0
    for row, fault in check_manifest(manifest, ColumnMap(column), model, limit):
        rows = row
        if fault is not None:
            bad += 1
            click.echo(fault)
    click.echo(f"{rows} rows, {bad} bad", err=True)
    sys.exit(3 if bad else 0)
