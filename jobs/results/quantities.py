"""Numbers as people read them: three significant digits, the unit beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def significant(value: float, digits: int = 3) -> str:
    """A number with that many significant digits, thousands grouped, never in exponents: 0.0123, 12.3, 12,300."""
    if value == 0 or value != value:
        return "0" if value == 0 else "–"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # of the rounded value: 9.996 is 10.0
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def milliseconds(ms: float | None) -> str:
    """A short time: in ms below a second, in s below two minutes, then as `duration`."""
    if ms is None:
        return "–"
    if abs(ms) < 1e3:
        return f"{significant(ms)} ms"
    return f"{significant(ms / 1e3)} s" if abs(ms) < 120e3 else duration(ms / 1e3)


def duration(seconds: float | None) -> str:
    """A time in its two largest units: 4.2 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return "–"
    if abs(seconds) < 59.5:
        return milliseconds(seconds * 1e3)
    whole = round(seconds)
    for (large, name), (small, below) in pairwise(_UNITS):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large:,} {name}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def rate(per_second: float) -> tuple[str, str]:
    """A rate and its unit: pictures a second, a minute or an hour, whichever reads as at least one."""
    for seconds, unit in ((1, "pictures/s"), (60, "pictures/min"), (3600, "pictures/h")):
        if per_second * seconds >= 1:
            return significant(per_second * seconds), unit
    return significant(per_second * 86400), "pictures/day"


def share(part: float, whole: float) -> str:
    """A percentage; what is more than nothing never reads as 0, what is less than all never as 100."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %" if 0 < percent < 100 else f"{percent:.0f} %"


def utc(instant: str) -> str:
    """An ISO 8601 instant as date and time of day in UTC."""
    return f"{datetime.fromisoformat(instant).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
