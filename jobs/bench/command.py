"""`renderay bench`: its options, what it prints, how it exits."""

from __future__ import annotations

import sys
import tempfile

import click

from jobs.bench.plan import make_plan
from jobs.bench.run import run_bench
from jobs.bench.tables import write_tables
from jobs.results.text_table import print_tables
from manifests.storage import locate

_COMPILE = {"both": (False, True), "yes": (True,), "no": (False,)}


@click.command()
@click.option("--model", multiple=True, required=True, metavar="REF", help="as for render; repeatable")
@click.option(
    "--attention",
    multiple=True,
    metavar="NAME,...",
    help="backends, repeatable or with commas; the first is the baseline. all, the default: auto and every usable one",
)
@click.option("--compile", "compiled", type=click.Choice([*_COMPILE]), default="both", show_default=True,
              help="compile the model's repeated blocks, do not, or measure both")  # fmt: skip
@click.option("--size", multiple=True, metavar="WxH", help="in pixels, repeatable; the model's own by default")
@click.option("--batch-size", multiple=True, type=click.IntRange(1, 64), metavar="N", help="repeatable  [default: 1]")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="denoising steps; the model's own by default")
@click.option("--rounds", type=click.IntRange(min=2), default=5, show_default=True, metavar="N",
              help="turns of every configuration, beside the one that warms up")  # fmt: skip
@click.option(
    "--dtype", type=click.Choice(["auto", "bfloat16", "float16", "float32"]), default="auto", show_default=True
)
@click.option("--format", type=click.Choice(["png", "webp", "jpeg"]), default="png", show_default=True,
              help="file format of the pictures")  # fmt: skip
@click.option("--out", metavar="URI", help="output folder; a new one in the current folder by default")
@click.option("--json", "as_json", is_flag=True, help="print the figures as JSON instead of tables")
def bench(
    model: tuple[str, ...],
    attention: tuple[str, ...],
    compiled: str,
    size: tuple[str, ...],
    batch_size: tuple[int, ...],
    steps: int | None,
    rounds: int,
    dtype: str,
    format: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Measure attention backends side by side on this machine's first GPU, or its CPU.

    Every model is loaded once; its configurations take turns, a batch each, round by round, so that what drifts hits
    all alike. OUT gets a folder a configuration, which report and compare read, and the tables in bench.md.
    """
    plan = make_plan(
        model, attention, size, batch_size,
        compiles=_COMPILE[compiled], steps=steps, rounds=rounds, dtype=dtype, format=format,
    )  # fmt: skip
    folder = out or tempfile.mkdtemp(prefix="renderay-bench-", dir=".")
    location = locate(folder)
    try:
        file = run_bench(plan, folder, lambda line: click.echo(line, err=True))
    except KeyboardInterrupt:
        click.echo(f"renderay: interrupted; `renderay compare {location.uri}` shows what was measured", err=True)
        sys.exit(130)
    tables = write_tables(location, file)
    if as_json:
        click.echo((location / "bench-tables.json").read_bytes().decode(), nl=False)
    else:
        print_tables(tables)
        click.echo(location.uri)
    measured = [entry for entry in file.entries if entry.measured]
    sys.exit(2 if not measured else 3 if any(entry.failure for entry in file.entries) else 0)
