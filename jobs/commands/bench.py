"""`renderay bench`: its options, what it prints, how it exits."""

from __future__ import annotations

import sys
import tempfile

import click

_DTYPES = ("auto", "bfloat16", "float16", "float32")
_FORMATS = ("png", "webp", "jpeg")
_COMPILE = {"both": (False, True), "yes": (True,), "no": (False,)}


@click.command()
@click.option(
    "--model",
    multiple=True,
    required=True,
    metavar="REF",
    help="hub id[@revision], folder, demo, tiny: or random:FAMILY; repeatable",
)
@click.option(
    "--attention",
    multiple=True,
    metavar="NAME,...",
    help="backends, the first is the baseline; repeatable; all, the default, is auto and every usable exact one",
)
@click.option("--compile", "compiled", type=click.Choice([*_COMPILE]), default="both", show_default=True,
              metavar="both|yes|no", help="compile the model's repeated blocks, do not, or measure both")  # fmt: skip
@click.option("--size", multiple=True, metavar="WxH", help="pixels; repeatable; the model's own by default")
@click.option(
    "--batch-size",
    multiple=True,
    type=click.IntRange(1, 64),
    metavar="N",
    help="pictures in one pipeline call; repeatable; 1 by default",
)
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="denoising steps; the model's own by default")
@click.option("--rounds", type=click.IntRange(min=2), default=5, show_default=True, metavar="N",
              help="turns of every configuration, besides the one that warms up")  # fmt: skip
@click.option(
    "--dtype",
    type=click.Choice(_DTYPES),
    default="auto",
    show_default=True,
    metavar="|".join(_DTYPES),
    help="type of the weights; auto is bfloat16 on GPUs and float32 on CPUs",
)
@click.option("--format", type=click.Choice(_FORMATS), default="png", show_default=True, metavar="|".join(_FORMATS),
              help="file format of the pictures")  # fmt: skip
@click.option("--out", metavar="URI", help="output folder; a new one in the current folder by default")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
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
    """Measure attention backends in turns on this machine.

    It runs on the first GPU, or the CPU. Every model is loaded once; its configurations take turns, a batch each,
    round by round, so that what drifts hits all alike. OUT gets a folder a configuration, which report and compare
    read, and the tables in bench.md.
    """
    from jobs.bench.plan import make_plan
    from jobs.bench.run import run_bench
    from jobs.bench.tables import write_tables
    from jobs.results.terminal_table import print_tables
    from manifests.storage import locate

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
