"""The report as one HTML page: Jinja2 with autoescape, styles and script inlined, nothing fetched from anywhere.

The page forbids itself every request and every script but its own (Content-Security-Policy), so that text from a
manifest stays text even if an escape were forgotten.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from jobs.results.report.build import Report
from jobs.results.report.headline import spread
from jobs.results.report.quantities import duration, milliseconds, rate, share, significant, utc


def render_page(report: Report) -> str:
    """The whole page."""
    environment = Environment(
        loader=PackageLoader("jobs.results", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    shown = (duration, milliseconds, rate, share, significant, spread, utc)
    environment.filters.update({function.__name__: function for function in shown})
    script = _source("page.js")
    return environment.get_template("page.html").render(
        report=report,
        cards={card.key: card for card in report.pictures},
        gallery=_gallery_data(report),
        style=_source("page.css"),
        script=script,
        script_hash="sha256-" + b64encode(sha256(script.encode()).digest()).decode(),
    )


def _source(name: str) -> str:
    return (files("jobs.results.report") / name).read_text(encoding="utf-8")


def _gallery_data(report: Report) -> list[dict[str, Any]]:
    """What the gallery's script filters, sorts and shows."""
    return [{"values": card.values, "facts": card.facts, "ms": card.ms, "text": card.text} for card in report.pictures]
