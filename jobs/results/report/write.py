"""`renderay report`: the page written beside the tables, or wherever it is wanted, and the summary."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from jobs.results.opened import open_results
from jobs.results.report import PICTURES
from jobs.results.report.build import build
from jobs.results.report.page import render_page
from jobs.results.report.terminal import summary
from jobs.results.views import unreadable
from manifests.errors import OutputError, one_line
from manifests.storage import locate

NAME = "report.html"


def write_report(out: str, to: str | None = None, pictures: int = PICTURES) -> str:
    """Write the report of the job in `out` to OUT/report.html, or to the file `to`; returns the terminal summary.

    OutputError where no job is in `out`, a table is damaged or the page cannot be written.
    """
    results = open_results(out)
    target = locate(to) if to else results.location / NAME
    try:
        report = build(results, pictures)
    except (pa.ArrowException, duckdb.Error, OSError) as error:
        raise unreadable(results.uri, error) from error
    try:
        target.write_bytes(render_page(report).encode())
    except OSError as error:
        reason = one_line(error, 300)
        raise OutputError(f"{target.uri}: cannot be written: {reason}; give another --to") from error
    return summary(report, target.uri)
