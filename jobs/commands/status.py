"""`renderay status`."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("out")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def status(out: str, as_json: bool) -> None:
    """Show what is done, failed and left of a job.

    OUT is the --out of a render, while it runs or after.
    """
    from jobs.status import read_status

    found = read_status(out)
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else found.text())
