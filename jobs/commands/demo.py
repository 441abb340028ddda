"""`renderay demo`."""

from __future__ import annotations

import sys
import tempfile

import click

from jobs.commands.render import run


@click.command()
@click.option("--out", metavar="URI", help="output folder; a new one in the current folder by default")
def demo(out: str | None) -> None:
    """Render thirty prompts with the model that ships inside: no GPU, no download.

    It takes about a minute and leaves an output folder like any other, with a report and a contact sheet.
    """
    from jobs.demo import demo_spec, show

    spec = demo_spec(out or tempfile.mkdtemp(prefix="renderay-demo-", dir="."))
    click.echo(f"renderay render {' '.join(spec.manifest)} --model {spec.model} --out {spec.out}")
    summary = run(spec)
    if summary.pictures:
        shown = show(summary.out)
        click.echo(f"report    {shown.report}\npictures  {shown.contact_sheet}")
    sys.exit(summary.exit_code)
