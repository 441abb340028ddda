"""`renderay export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobs.export.names import DEFAULT, METADATA

if TYPE_CHECKING:
    from jobs.export.export import Exported


@click.command()
@click.argument("out")
@click.option(
    "--to", required=True, metavar="FOLDER", help="where to write, local or remote; new, empty, or of this export"
)
@click.option(
    "--name", metavar="TEMPLATE", default=DEFAULT, show_default=True, help="file name, from columns of the images table"
)
@click.option("--where", metavar="SQL", help="only pictures for which this condition on the images table is true")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="the first N pictures only")
@click.option(
    "--metadata",
    type=click.Choice(METADATA),
    default="jsonl",
    show_default=True,
    metavar="|".join(METADATA),
    help="format of the table beside the files",
)
@click.option("--webdataset", is_flag=True, help="write tar shards in place of files")
@click.option(
    "--shard-mb",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    metavar="N",
    help="megabytes of a shard, at most",
)
@click.option("--no-files", is_flag=True, help="write no picture files, only the contact sheet")
@click.option("--contact-sheet", is_flag=True, help="add pages of small pictures with captions")
@click.option("--group-by", metavar="COLUMN", help="contact sheet: pages of their own for each value")
@click.option(
    "--font", metavar="FILE", help="contact sheet: font file; an installed one that has the letters by default"
)
def export(out: str, to: str, webdataset: bool, no_files: bool, shard_mb: int, **options: Any) -> None:
    """Write a job's pictures as files, WebDataset or contact sheets.

    OUT is the --out of a render, finished or not. The same command again adds what is new.
    """
    from jobs.export.export import ExportOptions
    from jobs.export.export import export as export_pictures

    layout = "webdataset" if webdataset else "none" if no_files else "files"
    done = export_pictures(out, to, ExportOptions(layout=layout, shard_bytes=shard_mb * 1_000_000, **options))
    click.echo(_exported(done, layout))
    if done.left:
        click.echo(f"{done.left} rows of the job are still to be rendered; the same command adds them later", err=True)


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
