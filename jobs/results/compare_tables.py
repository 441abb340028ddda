"""Comparisons as tables: end to end in seconds a picture, and per step in seconds a step."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.results.compare import GROUP, Comparison, Line, Side
from jobs.results.text_table import TextTable, between, digits

_TITLES = {"picture_s": "End to end, seconds a picture", "step_ms": "Per step, seconds a step"}
_HEAD = (
    *("model", "size", "steps", "batch", "a", "b", "a, s", "b, s"),
    *("speed-up a / b", "95 % interval", "improvement", "verdict"),
)
_TEXTS = frozenset({"model", "size", "a", "b", "verdict"})
_ABOUT = ("model", "size", "steps", "batch", "a")
_SPARE = ("improvement",)  # the speed-up says the same
_SCALE = {"picture_s": 1.0, "step_ms": 1e-3}  # to seconds


def comparison_tables(comparisons: Sequence[Comparison]) -> list[TextTable]:
    """One table a metric, one row a comparison and group of like batches."""
    return [_metric_table(metric, comparisons) for metric in _TITLES]


def _metric_table(metric: str, comparisons: Sequence[Comparison]) -> TextTable:
    rows = tuple(
        (*_place(line), each.a.name, each.b.name, *_figures(line, _SCALE[metric]))
        for each in comparisons
        for line in each.lines
        if line.metric == metric
    )
    about = (*_ABOUT, "a, s") if len(rows) > 1 else _ABOUT  # a baseline's figure, where it is one for all
    return TextTable(_TITLES[metric], _HEAD, rows, _TEXTS, about, _SPARE)


def _place(line: Line) -> tuple[str, str, str, str]:
    model, width, height, steps, batch = (str(line.group.get(name, "several")) for name in GROUP)
    return model, "several" if "several" in (width, height) else f"{width}x{height}", steps, batch


def _figures(line: Line, scale: float) -> tuple[str, ...]:
    return (
        digits(line.a.value * scale),
        digits(line.b.value * scale),
        f"{line.ratio.value:.3f}",
        "-" if line.ratio.low is None or line.ratio.high is None else f"{line.ratio.low:.3f} to {line.ratio.high:.3f}",
        f"{line.improvement:+.1f} %",
        line.note,
    )


def notes(comparisons: Sequence[Comparison]) -> list[str]:
    """What the tables do not say: what ran on each side, what warmed up, and what makes sides hard to compare."""
    found = [text for each in comparisons for text in (_ran(each, each.a, 0), _ran(each, each.b, 1))]
    if any(line.ratio.differs is None for each in comparisons for line in each.lines):
        found.append(
            "between-run noise unknown: the intervals hold the noise within runs only, so nothing is said of which is "
            "faster; give several runs a side (--a A1 --a A2 --b B1 --b B2), or use `renderay bench`"
        )
    for each in comparisons:
        found += [f"warning: {each.a.name} against {each.b.name}: {text}" for text in each.warnings]
    return list(dict.fromkeys(found))


def _ran(comparison: Comparison, side: Side, which: int) -> str:
    figures = [(line.a, line.b)[which] for line in comparison.lines if line.metric == "step_ms"]
    batches, runs = sum(figure.batches for figure in figures), max((figure.runs for figure in figures), default=0)
    count, seconds = side.warmup()
    model = comparison.lines[0].group.get("model") if comparison.lines else None
    apart = f"{_count(count, 'warm-up batch')} apart" + (f" ({digits(seconds)} s a picture)" if count else "")
    timed = f"{_count(batches, 'batch')} in {_count(runs, 'round' if comparison.paired else 'run')}"
    return f"{f'{model}, ' if model else ''}{side.name}: {side.ran}; {timed}; {apart}"


def _count(number: int, noun: str) -> str:
    plural = "es" if noun.endswith("ch") else "s"
    return f"{number} {noun if number == 1 else noun + plural}"


def figure_text(value: float | None, low: float | None, high: float | None, scale: float = 1.0) -> tuple[str, str]:
    """A figure and its interval in seconds."""
    scaled = [None if each is None else each * scale for each in (value, low, high)]
    return digits(scaled[0]), between(scaled[1], scaled[2])
