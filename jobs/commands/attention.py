"""`renderay attention`."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
@click.option("--all", "every", is_flag=True, help="a line for every backend, those for other devices too")
def attention(as_json: bool, every: bool) -> None:
    """Try every attention backend on this machine.

    Prints which work, which do not and why, and the line that installs them.
    """
    from jobs.attention_table import survey_backends

    found = survey_backends()
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else found.text(every))
