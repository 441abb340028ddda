"""A comparison as one HTML page that opens offline: compare.html in the design that all pages share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from jobs.results.compare import Comparison, Line
from jobs.results.compare_tables import comparison_tables, notes
from jobs.results.picture_pairs import PicturePair
from jobs.results.quantities import milliseconds
from jobs.results.webpage.plot import Tick
from jobs.results.webpage.render import render_webpage

_NARROWEST = 1.02  # the chart reaches at least from 1 / 1.02 to 1.02
_TICKS = (1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100)
_METRICS = {"step_ms": "Per step", "picture_s": "End to end"}
_MS = {"step_ms": 1.0, "picture_s": 1e3}
_PLACES = 4  # run folders in the head
_WARNING = "warning: "


@dataclass(frozen=True)
class Whisker:
    """One line of the chart: positions in percent of its width; `strength` is the verdict as a class of the page."""

    label: str
    text: str
    at: float
    low: float | None
    high: float | None
    strength: str


@dataclass(frozen=True)
class RatioChart:
    """Speed-ups of one metric on one scale."""

    title: str
    whiskers: list[Whisker]
    ticks: list[Tick]


@dataclass(frozen=True)
class Headline:
    """One figure at the top; a `lead` is larger."""

    term: str
    value: str
    note: str
    lead: bool


def comparison_page(comparisons: Sequence[Comparison], pairs: Sequence[Sequence[PicturePair]]) -> str:
    """The page's HTML."""
    first = comparisons[0]
    said = notes(comparisons)
    shown = [pair for each in pairs for pair in each]
    sections = {"speed-up": "Speed-up", "figures": "Figures", "runs": "Runs"}
    return render_webpage(
        "jobs.results",
        "compare",
        kind="compare",
        heading=f"{first.a.name} against {first.b.name}"
        if len(comparisons) == 1
        else f"{len(comparisons)} comparisons",
        places=_places(comparisons),
        sections=sections | ({"pictures": "Pictures"} if shown else {}),
        warnings=[line.removeprefix(_WARNING) for line in said if line.startswith(_WARNING)],
        notes=[line for line in said if not line.startswith(_WARNING)],
        headline=_headline(comparisons),
        charts=[_chart(metric, comparisons) for metric in _METRICS],
        tables=[table.told_once() for table in comparison_tables(comparisons)],
        pairs=shown,
    )


def _places(comparisons: Sequence[Comparison]) -> list[str]:
    found = list(dict.fromkeys(run.uri for each in comparisons for side in (each.a, each.b) for run in side.runs))
    left_out = len(found) - _PLACES
    return found if left_out <= 0 else [*found[:_PLACES], f"and {left_out} more"]


def _headline(comparisons: Sequence[Comparison]) -> list[Headline]:
    """The speed-ups and what each side took; nothing where there is more than one line a metric to choose from."""
    lines = {line.metric: line for each in comparisons for line in each.lines}
    if len(lines) < sum(len(each.lines) for each in comparisons):
        return []
    a, b = comparisons[0].a.name, comparisons[0].b.name
    found = [
        Headline(f"Speed-up, {noun}", f"{lines[metric].ratio.value:.3f} ×", _sureness(lines[metric]), True)
        for metric, noun in (("step_ms", "a step"), ("picture_s", "a picture"))
    ]
    for metric, noun in (("step_ms", "A step"), ("picture_s", "A picture")):
        for name, side in ((a, lines[metric].a), (b, lines[metric].b)):
            runs = f", {side.runs} runs" if side.runs > 1 else ""
            note = f"median of {side.batches} batch{'es' if side.batches != 1 else ''}{runs}"
            found.append(Headline(f"{noun} on {name}", milliseconds(side.value * _MS[metric]), note, False))
    return found


def _sureness(line: Line) -> str:
    interval = "" if line.ratio.low is None else f"95 % from {line.ratio.low:.3f} to {line.ratio.high:.3f}; "
    return f"{interval}{line.note}"


def _chart(metric: str, comparisons: Sequence[Comparison]) -> RatioChart:
    """Speed-ups with their intervals on one logarithmic scale, 1 in the middle."""
    lines = [(each, line) for each in comparisons for line in each.lines if line.metric == metric]
    edges = [edge for _, line in lines for edge in (line.ratio.value, line.ratio.low, line.ratio.high) if edge]
    reach = max([log(_NARROWEST), *(abs(log(edge)) for edge in edges)]) * 1.05
    whiskers = [
        Whisker(
            f"{line.group.get('model', '')} {each.b.name} against {each.a.name}".strip(),
            f"{line.ratio.value:.3f}, {line.note}",
            _position(line.ratio.value, reach),
            None if line.ratio.low is None else _position(line.ratio.low, reach),
            None if line.ratio.high is None else _position(line.ratio.high, reach),
            {"a faster": "slower", "b faster": "faster"}.get(line.note, "open"),
        )
        for each, line in lines
    ]
    return RatioChart(_METRICS[metric], whiskers, _ticks(reach))


def _position(ratio: float, reach: float) -> float:
    return 50 + 50 * log(ratio) / reach


def _ticks(reach: float) -> list[Tick]:
    """1 in the middle and as far to either side as a round factor goes."""
    factor = max((each for each in _TICKS if each <= exp(reach)), default=_TICKS[0])
    return [Tick(_position(each, reach) / 100, f"{each:.3g}") for each in (1 / factor, 1.0, factor)]
