"""The report in a few lines, for the terminal."""

from __future__ import annotations

from jobs.results.quantities import duration, milliseconds, rate, share
from jobs.results.report.build import Report
from jobs.results.report.headline import spread

_CAUSES = 3


def summary(report: Report, page: str) -> str:
    """What matters most, and where the page is."""
    status, totals = report.status, report.totals
    lines = [
        f"{report.uri}: {status.state}",
        f"model      {status.model}",
        f"rows       {status.done} done, {status.failed} failed, {status.left} left of {status.rows}",
        f"pictures   {totals.pictures}, {totals.warmup} of them warm-up",
    ]
    apart = "warm-up only" if totals.only_warmup else "warm-up apart"
    if totals.step_ms and totals.picture_ms:
        lines += [
            f"step       {milliseconds(totals.step_ms[1])} median, {spread(totals.step_ms)} (5 to 95 %, {apart})",
            f"picture    {milliseconds(totals.picture_ms[1])} median, {spread(totals.picture_ms)}",
        ]
    if report.per_second:
        lines.append(f"rate       {' '.join(rate(report.per_second))} over {duration(report.window_s)}")
        lines.append(f"workers    {len(report.workers)}, idle {share(report.idle_s, report.idle_s + report.busy_s)}")
    for cause in report.failures.causes[:_CAUSES]:
        field = f"{cause.field}: " if cause.field else ""
        lines.append(f"failed     {cause.count} × {cause.stage}: {cause.error_type}: {field}{cause.message[:160]}")
    if len(report.failures.causes) > _CAUSES:
        lines.append(f"failed     {len(report.failures.causes) - _CAUSES} more causes, on the page")
    return "\n".join([*lines, f"page       {page}"])
