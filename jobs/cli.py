"""The command line: parse, call, print, exit. Every command's work is done elsewhere.

Exit status: 0 all rendered; 1 stopped before the end (130 by Ctrl-C); 2 nothing could be rendered as asked;
3 finished, some rows are in the errors table.
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import click

from jobs.attention_table import survey_backends
from jobs.bench.command import bench
from jobs.check import check_manifest
from jobs.demo import demo_spec
from jobs.dry_run import describe
from jobs.export.export import Exported, ExportOptions
from jobs.export.export import export as export_pictures
from jobs.export.image_folder import METADATA
from jobs.export.names import DEFAULT as DEFAULT_NAME
from jobs.options import merge_config, spec_options
from jobs.progress import display_for
from jobs.results.compare_command import compare_command
from jobs.results.report import PICTURES
from jobs.run import Summary
from jobs.run import render as run_job
from jobs.spec import JobSpec, make_spec
from jobs.status import read_status
from manifests.columns import ColumnMap
from manifests.errors import RenderayError

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


@click.group(context_settings=_CONTEXT)
@click.version_option(package_name="renderay", prog_name="renderay")
def cli() -> None:
    """Render manifests of prompts on every GPU of a Ray cluster; leaves Parquet: pictures, and what each step cost."""


@cli.command()
@click.argument("manifest", nargs=-1)
@spec_options()
@click.option("--config", metavar="FILE.yaml", help="options by name, one a line; the command line wins")
@click.option("--dry-run", is_flag=True, help="look at everything, load no model, write nothing")
def render(manifest: tuple[str, ...], config: str | None, dry_run: bool, **options: Any) -> None:
    """Render MANIFEST... into --out; the same command again resumes, and renders only what is missing."""
    spec = make_spec(**merge_config(config, {"manifest": manifest, **options}))
    if dry_run:
        click.echo(describe(spec))
        return
    _finish(spec)


@cli.command()
@click.argument("manifest", nargs=-1, required=True)
@click.option("--model", metavar="REF", help="check sizes and arguments against this model too")
@click.option("--column", multiple=True, metavar="CANONICAL=NAME", help="read a canonical column from another")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="look at the first N rows only")
def check(manifest: tuple[str, ...], model: str | None, column: tuple[str, ...], limit: int | None) -> None:
    """Print every bad row of MANIFEST... as file:line: field: reason; renders nothing."""
    rows = bad = 0
    for row, fault in check_manifest(manifest, ColumnMap(column), model, limit):
        rows = row
        if fault is not None:
            bad += 1
            click.echo(fault)
    click.echo(f"{rows} rows, {bad} bad", err=True)
    sys.exit(3 if bad else 0)


@cli.command()
@click.argument("out")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def status(out: str, as_json: bool) -> None:
    """Show what is done, failed and left of the job in OUT, while it runs or after."""
    found = read_status(out)
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else found.text())


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def attention(as_json: bool) -> None:
    """Try every attention backend on this machine: which work, which do not and why, and what installs them."""
    found = survey_backends()
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else found.text())


@cli.command()
@click.argument("out")
@click.option("--to", metavar="FILE", help="where to write the page; OUT/report.html by default")
@click.option(
    "--pictures", type=click.IntRange(min=0), default=PICTURES, show_default=True, help="at most so many in the gallery"
)
def report(out: str, to: str | None, pictures: int) -> None:
    """Write one HTML page about the job in OUT, finished or not, and print a summary."""
    from jobs.results.report.write import write_report

    click.echo(write_report(out, to, pictures))


@cli.command()
@click.argument("out")
@click.option(
    "--to", required=True, metavar="FOLDER", help="where to write, local or remote; new, empty, or of this export"
)
@click.option("--name", metavar="TEMPLATE", default=DEFAULT_NAME, show_default=True, help="file name from columns")
@click.option("--where", metavar="SQL", help="only pictures of which this DuckDB condition on the images table is true")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="the first N pictures only")
@click.option("--metadata", type=click.Choice(METADATA), default="jsonl", show_default=True, help="beside the files")
@click.option("--webdataset", is_flag=True, help="write tar shards in place of files")
@click.option("--shard-mb", type=click.IntRange(1), default=500, show_default=True, metavar="N", help="size of a shard")
@click.option("--no-files", is_flag=True, help="write no files, only what else is asked for")
@click.option("--contact-sheet", is_flag=True, help="add pages of small pictures with captions")
@click.option("--group-by", metavar="COLUMN", help="pages of the contact sheet by a column")
@click.option("--font", metavar="FILE", help="font of the contact sheet; one that has the letters by default")
def export(out: str, to: str, webdataset: bool, no_files: bool, shard_mb: int, **options: Any) -> None:
    """Write the pictures in OUT as files named by a template, with metadata; as WebDataset; as contact sheets."""
    layout = "webdataset" if webdataset else "none" if no_files else "files"
    done = export_pictures(out, to, ExportOptions(layout=layout, shard_bytes=shard_mb * 1_000_000, **options))
    click.echo(_exported(done, layout))
    if done.left:
        click.echo(f"{done.left} rows of the job are still to be rendered; the same command adds them later", err=True)


@cli.command()
@click.option("--out", metavar="URI", help="output folder; a new one in the current folder by default")
def demo(out: str | None) -> None:
    """Render a small manifest with a tiny model on this machine: no GPU, no download, about a minute."""
    spec = demo_spec(out or tempfile.mkdtemp(prefix="renderay-demo-", dir="."))
    click.echo(f"renderay render {' '.join(spec.manifest)} --model {spec.model} --out {spec.out}")
    _finish(spec)


cli.add_command(bench)
cli.add_command(compare_command)


def _finish(spec: JobSpec) -> None:
    summary = run_job(spec, display_for())
    click.echo(_ending(summary))
    sys.exit(summary.exit_code)


def _ending(summary: Summary) -> str:
    failed = f"; {summary.failed} failed, see {summary.out}/errors" if summary.failed else ""
    new = "nothing left to render" if summary.was_complete else f"{summary.rendered} rendered now"
    return (
        f"{summary.done} of {summary.rows} rows done, {summary.pictures} pictures, {new} "
        f"in {summary.seconds:.1f} s{failed}\n{summary.out}"
    )


def _exported(done: Exported, layout: str) -> str:
    parts = [_counted(done.pictures, "picture")]
    if layout == "files":
        parts.append(f"{done.new} of them new")
    elif layout == "webdataset":
        parts.append(_counted(done.shards, "shard"))
    if done.pages:
        parts.append(_counted(done.pages, "contact sheet page"))
    return f"{', '.join(parts)}\n{done.to}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def main() -> None:
    """The `renderay` command: a RenderayError is one line on standard error, anything else a bug with a traceback."""
    try:
        cli.main(prog_name="renderay", standalone_mode=False)
    except RenderayError as error:
        click.echo(f"renderay: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("renderay: interrupted; the same command resumes", err=True)
        sys.exit(130)
