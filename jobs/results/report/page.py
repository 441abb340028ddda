"""The report as one HTML page: page.html in the design that all pages share."""

from __future__ import annotations

from typing import Any

from jobs.results.quantities import duration, milliseconds, rate, share, significant, utc
from jobs.results.report.build import Report
from jobs.results.report.headline import spread
from jobs.results.webpage.render import render_webpage

_SECTIONS = {
    "time": "Time",
    "steps": "Steps",
    "over-time": "Workers",
    "shapes": "Shapes",
    "slowest": "Slowest",
    "errors": "Errors",
    "job": "Job",
    "gallery": "Gallery",
}


def render_page(report: Report) -> str:
    """The whole page."""
    return render_webpage(
        "jobs.results.report",
        "page",
        kind="report",
        heading=report.status.model,
        places=[report.uri],
        sections=_SECTIONS,
        filters=(duration, milliseconds, rate, share, significant, spread, utc),
        report=report,
        cards={card.key: card for card in report.pictures},
        gallery=_gallery_data(report),
    )


def _gallery_data(report: Report) -> list[dict[str, Any]]:
    """What the gallery's script filters, sorts and shows."""
    return [{"values": card.values, "facts": card.facts, "ms": card.ms, "text": card.text} for card in report.pictures]
