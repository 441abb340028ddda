"""A comparison as one HTML page that opens offline: `compare.html` filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import log

from jobs.results.compare import Comparison, Line
from jobs.results.compare_tables import comparison_tables, notes
from jobs.results.picture_pairs import PicturePair

_NARROWEST = 1.02  # the chart reaches at least from 1 / 1.02 to 1.02


@dataclass(frozen=True)
class Whisker:
    """One line of the chart: positions in percent of its width; `strength` is the verdict as a class of the page."""

    label: str
    text: str
    at: float
    low: float | None
    high: float | None
    strength: str


def comparison_page(comparisons: Sequence[Comparison], pairs: Sequence[Sequence[PicturePair]]) -> str:
    """The page's HTML."""
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string((files("jobs.results") / "compare.html").read_text("utf-8"))
    first = comparisons[0]
    charts = {
        title: chart([(each, line) for each in comparisons for line in each.lines if line.metric == metric])
        for title, metric in (("Per step", "step_ms"), ("End to end", "picture_s"))
    }
    return template.render(
        title=f"{first.a.name} against {first.b.name}" if len(comparisons) == 1 else f"{len(comparisons)} comparisons",
        tables=comparison_tables(comparisons),
        charts=charts,
        notes=notes(comparisons),
        pairs=[pair for shown in pairs for pair in shown],
    )


def chart(lines: Sequence[tuple[Comparison, Line]]) -> list[Whisker]:
    """Speed-ups with their intervals on one logarithmic scale, 1 in the middle."""
    edges = [edge for _, line in lines for edge in (line.ratio.value, line.ratio.low, line.ratio.high) if edge]
    reach = max([log(_NARROWEST), *(abs(log(edge)) for edge in edges)]) * 1.05

    def position(value: float | None) -> float | None:
        return None if value is None else 50 + 50 * log(value) / reach

    strengths = {"a faster": "slower", "b faster": "faster"}
    return [
        Whisker(
            f"{line.group.get('model', '')} {each.b.name} against {each.a.name}",
            f"{line.ratio.value:.3f}, {line.note}",
            position(line.ratio.value) or 50,
            position(line.ratio.low),
            position(line.ratio.high),
            strengths.get(line.note, "open"),
        )
        for each, line in lines
    ]
