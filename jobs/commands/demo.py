"""`renderay demo`."""

from __future__ import annotations

import shlex
import sys

import click

from jobs.commands.render import run


@click.command()
@click.option("--out", default="renderay-demo", show_default=True, metavar="URI", help="output folder")
def demo(out: str) -> None:
    """Render thirty prompts with the model that ships inside.

    No GPU, no download. It takes about a minute and leaves an output folder like any other, with a report and a contact
    sheet.
    """
    from jobs.demo import demo_spec, draw_demo_sheet, write_demo_report

    spec = demo_spec(out)
    click.echo(shlex.join(["renderay", "render", *spec.manifest, "--model", spec.model, "--out", spec.out]))
    summary = run(spec)
    click.echo(f"report    {write_demo_report(summary.out)}")
    if summary.pictures:
        click.echo(f"pictures  {draw_demo_sheet(summary.out)}")
    sys.exit(summary.exit_code)
