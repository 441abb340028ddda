"""`renderay render`, and how a job that was rendered is told of."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from jobs.options import merge_config, spec_options
from jobs.spec import JobSpec, make_spec

if TYPE_CHECKING:
    from jobs.run import Summary


@click.command()
@click.argument("manifest", nargs=-1)
@spec_options()
@click.option("--config", metavar="FILE.yaml", help="these options by name, one a line; the command line wins")
@click.option(
    "--dry-run", is_flag=True, help="look at manifest, model and output, then stop; nothing is rendered or written"
)
def render(manifest: tuple[str, ...], config: str | None, dry_run: bool, **options: Any) -> None:
    """Render manifests into an output folder, or resume one.

    MANIFEST is a file, a folder or a glob, local or remote. The same command again renders only what is missing.
    """
    spec = make_spec(**merge_config(config, {"manifest": manifest, **options}))
    if dry_run:
        from jobs.dry_run import describe
        from jobs.progress import PlainDisplay

        click.echo(describe(spec, PlainDisplay().warn))
        return
    sys.exit(run(spec).exit_code)


def run(spec: JobSpec) -> Summary:
    """Render, and say what came of it."""
    from jobs.progress import display_for
    from jobs.run import render as run_job

    summary = run_job(spec, display_for())
    click.echo(_ending(summary))
    return summary


def _ending(summary: Summary) -> str:
    failed = f"; {summary.failed} failed, see {summary.out}/errors" if summary.failed else ""
    new = "nothing left to render" if summary.was_complete else f"{summary.rendered} rendered now"
    return (
        f"{summary.done} of {summary.rows} rows done, {summary.pictures} pictures, {new} "
        f"in {summary.seconds:.1f} s{failed}\n{summary.out}"
    )
