"""`renderay demo`."""

from __future__ import annotations

import tempfile

import click

from jobs.commands.render import finish


@click.command()
@click.option("--out", metavar="URI", help="output folder; a new one in the current folder by default")
def demo(out: str | None) -> None:
    """Render a small manifest with a tiny model: no GPU, no download.

    It takes about a minute and leaves an output folder like any other.
    """
    from jobs.demo import demo_spec

    spec = demo_spec(out or tempfile.mkdtemp(prefix="renderay-demo-", dir="."))
    click.echo(f"renderay render {' '.join(spec.manifest)} --model {spec.model} --out {spec.out}")
    finish(spec)
