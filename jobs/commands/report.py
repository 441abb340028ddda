"""`renderay report`."""

from __future__ import annotations

import click

from jobs.results.report import PICTURES


@click.command()
@click.argument("out")
@click.option("--to", metavar="FILE", help="file or URI of the page; OUT/report.html by default")
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    default=PICTURES,
    show_default=True,
    metavar="N",
    help="show at most N in the gallery",
)
def report(out: str, to: str | None, pictures: int) -> None:
    """Write one HTML page about a job, and print a summary.

    OUT is the --out of a render, finished or not.
    """
    from jobs.results.report.write import write_report

    click.echo(write_report(out, to, pictures))
