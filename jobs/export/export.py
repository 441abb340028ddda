"""One export from beginning to end: plan the names, claim the folder, write.

Names are planned in a pass over the columns alone, before the first file: two pictures of one name, a wrong template or
condition leave nothing behind.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from jobs.export.contact_sheet import FOLDER, ContactSheet
from jobs.export.fonts import FontChooser
from jobs.export.image_folder import ImageFolder
from jobs.export.names import DEFAULT, NameTemplate
from jobs.export.shards import Shards
from jobs.export.target import Target
from jobs.results.opened import open_results
from jobs.results.pictures import Pictures
from jobs.status import read_status
from manifests.duplicates import DuplicateIndex
from manifests.errors import OutputError, SpecError

_MAX_GROUPS = 1000
_UNNAMEABLE = frozenset({"reference_images"})


@dataclass(frozen=True)
class ExportOptions:
    """What to write. `shard_bytes` is for WebDataset; `group_by` and `font` are for contact sheets.

    `layout` is files, webdataset or none; `metadata` jsonl, csv or parquet; `where` an SQL condition on the images
    table; `limit` the first so many pictures.
    """

    layout: str = "files"
    name: str = DEFAULT
    where: str | None = None
    limit: int | None = None
    metadata: str = "jsonl"
    shard_bytes: int = 500_000_000
    contact_sheet: bool = False
    group_by: str | None = None
    font: str | None = None

    def __post_init__(self) -> None:
        if self.group_by is not None and not self.contact_sheet:
            raise SpecError("--group-by: groups the pages of a contact sheet; add --contact-sheet")
        if self.layout == "none" and not self.contact_sheet:
            raise SpecError("--no-files: nothing is left to write; add --contact-sheet or --webdataset")

    def as_json(self, out: str, created_at: str) -> dict[str, Any]:
        """What must be the same for an export to go on in its folder; contact sheets are drawn anew every time."""
        kept: dict[str, Any] = {"job": out, "created_at": created_at, "layout": self.layout, "name": self.name}
        kept |= {"where": self.where, "limit": self.limit}
        if self.layout == "files":
            kept["metadata"] = self.metadata
        return kept | ({"shard_bytes": self.shard_bytes} if self.layout == "webdataset" else {})


@dataclass(frozen=True)
class Exported:
    """What an export left: `new` files were not there before; `left` manifest rows are still to be rendered."""

    to: str
    pictures: int
    new: int
    shards: int
    pages: int
    left: int


def export(out: str | os.PathLike[str], to: str | os.PathLike[str], options: ExportOptions) -> Exported:
    """Write the pictures of a job's output folder to the folder `to`, which is new, empty, or of the same export.

    Raises OutputError, OutputMismatch or SpecError before anything is written, JobStopped where writing fails.
    """
    results = open_results(out)
    left = read_status(results.uri).left
    chosen = results.pictures(options.where, options.limit)
    columns = [name for name in chosen.columns if name not in _UNNAMEABLE]
    template = NameTemplate(options.name, columns, results.job.spec["format"])
    if options.group_by is not None and options.group_by not in columns:
        raise SpecError(f"--group-by {options.group_by}: no column of the images table; known are {', '.join(columns)}")
    fonts = FontChooser(options.font)
    counts = _plan(chosen, template, options)
    target = Target(os.fspath(to), options.as_json(results.uri, results.job.created_at))
    target.claim()
    with ExitStack() as stack:
        folder = shards = sheet = None
        if options.layout == "files":
            folder = stack.enter_context(ImageFolder(target, chosen.schema, options.metadata))
        elif options.layout == "webdataset":
            shards = stack.enter_context(Shards(target, options.shard_bytes))
        if options.contact_sheet:
            sheet = ContactSheet(target, results.job.spec["model"], counts, fonts)
        writer = folder or shards
        for picture in chosen:
            if writer is not None:
                writer.add(picture, template.path(picture.record))
            if sheet is not None:
                sheet.add(picture, _group(picture.record, options.group_by))
        if sheet is not None:
            sheet.close()
    target.close()
    return Exported(
        target.uri,
        counts.total(),
        folder.new if folder else 0,
        shards.count if shards else 0,
        sheet.pages if sheet else 0,
        left,
    )


def _plan(chosen: Pictures, template: NameTemplate, options: ExportOptions) -> Counter[str]:
    """How many pictures every group has. SpecError where two have one name, or there is nothing to write."""
    counts: Counter[str] = Counter()
    try:
        with DuplicateIndex() as names:
            for record in chosen.records({*template.columns, *([options.group_by] if options.group_by else [])}):
                name = template.path(record)
                if names.add(name, "", record["ordinal"]):
                    raise SpecError(
                        f"--name {template.template}: more than one picture is called {name}, one of them "
                        f"{record['id']}-{record['image_index']}; put {{id}} and {{image_index}} into it"
                    )
                if options.contact_sheet and name.startswith(f"{FOLDER}/"):
                    raise SpecError(f"--name {template.template}: the folder {FOLDER} is for the contact sheet")
                counts[_group(record, options.group_by)] += 1
                if len(counts) > _MAX_GROUPS:
                    raise SpecError(
                        f"--group-by {options.group_by}: more than {_MAX_GROUPS} values; choose a column with fewer"
                    )
    except sqlite3.OperationalError as error:
        raise OutputError(
            f"the temporary folder cannot hold the names ({error}); set TMPDIR to a larger disk"
        ) from error
    if not counts:
        if options.where:
            raise SpecError(f"where {options.where}: no picture fits; ask for less, or leave --where out")
        raise SpecError("no picture to export; `renderay report` tells what is left and what failed")
    return counts


def _group(record: dict[str, Any], column: str | None) -> str:
    if column is None:
        return ""
    value = record[column]
    return "none" if value is None or value == "" else str(value)
