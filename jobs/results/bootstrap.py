"""How sure a ratio of two runs' medians is: bootstrap by run, by batch within worker.

A run's figure is the median over its batches; several runs of a side are averaged on the log scale. What is resampled
is what varies on its own: runs, and inside a run the batches of each worker. Pictures and steps of a batch share a time
and are never resampled by themselves.

    one run a side     batches within workers: says nothing about the noise between runs, so no verdict
    several a side     runs, then their batches; Student's t for so few runs (Welch)
    rounds in turns    pairs of rounds: what drifts hits both sides of a pair and cancels

Shapes: R replicates, N runs, n batches of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Run = Sequence[Floats]  # the batch times of each worker

CONFIDENCE = 0.95
VERDICT_CONFIDENCE = 0.99  # a comparison has many rows: at 95 % one in twenty would be told apart by chance
REPLICATES = 2000
_SEED = 0  # the same tables give the same interval
_RESAMPLED = 2000  # batches; of a larger run the median's noise comes from its binomial counts


@dataclass(frozen=True)
class Ratio:
    """a / b of two sides with its 95 % interval, None where nothing tells it.

    `differs`: whether the sides are told apart, even at 99 %; None where the noise between runs is unknown.
    """

    value: float
    low: float | None
    high: float | None
    differs: bool | None


def ratio(a: Sequence[Run], b: Sequence[Run], paired: bool = False) -> Ratio:
    """a / b. `paired`: run k of both sides was one round, taken in turns."""
    centre = _centre(a) - _centre(b)
    rng = np.random.default_rng(_SEED)
    if paired and len(a) == len(b) and len(a) > 1:
        replicates = _resample([x - y for x, y in zip(_log_medians(a, rng), _log_medians(b, rng), strict=True)], rng)
        error, freedom = _standard_error(replicates, len(a)), float(len(a) - 1)
    elif not paired and min(len(a), len(b)) > 1:
        errors = [_standard_error(_resample(_log_medians(side, rng), rng), len(side)) for side in (a, b)]
        error, freedom = float(np.hypot(errors[0], errors[1])), _welch(errors, [len(a) - 1, len(b) - 1])
    else:
        low, high = _within(a, b, rng)
        return Ratio(float(np.exp(centre)), low, high, differs=None)
    half = _t(freedom, CONFIDENCE) * error
    low, high = float(np.exp(centre - half)), float(np.exp(centre + half))
    return Ratio(float(np.exp(centre)), low, high, differs=abs(centre) > _t(freedom, VERDICT_CONFIDENCE) * error)


def figure(runs: Sequence[Run]) -> float:
    """The figure of a side: the geometric mean of its runs' medians."""
    return float(np.exp(_centre(runs)))


def interval(runs: Sequence[Run]) -> tuple[float, float] | None:
    """The 95 % interval of `figure`, None where one batch is all there is."""
    rng = np.random.default_rng(_SEED)
    replicates = _log_medians(runs, rng)
    if len(runs) > 1:
        half = _t(len(runs) - 1, CONFIDENCE) * _standard_error(_resample(replicates, rng), len(runs))
        return figure(runs) * float(np.exp(-half)), figure(runs) * float(np.exp(half))
    if sum(map(len, runs[0])) < 2:
        return None
    low, high = np.exp(np.quantile(replicates[0], _tails()))
    return float(low), float(high)


def _centre(runs: Sequence[Run]) -> float:
    return float(np.mean([np.log(np.median(np.concatenate(run))) for run in runs]))


def _within(a: Sequence[Run], b: Sequence[Run], rng: np.random.Generator) -> tuple[float | None, float | None]:
    if any(sum(map(len, run)) < 2 for run in (*a, *b)):
        return None, None
    sides = [np.mean(_log_medians(side, rng), axis=0) for side in (a, b)]
    low, high = np.exp(np.quantile(sides[0] - sides[1], _tails()))
    return float(low), float(high)


def _log_medians(runs: Sequence[Run], rng: np.random.Generator) -> list[Floats]:
    """For each run (R,) logs of the median of its batches, resampled within each worker."""
    return [np.log(_medians(run, rng)) for run in runs]


def _medians(run: Run, rng: np.random.Generator) -> Floats:
    everything = np.concatenate(run)
    if len(everything) == 1:
        return np.repeat(everything, REPLICATES)
    if len(everything) <= _RESAMPLED:
        drawn = [times[rng.integers(0, len(times), (REPLICATES, len(times)))] for times in run]
        return np.median(np.concatenate(drawn, axis=1), axis=1)
    # How many of a worker's resampled batches lie below the run's median is binomial, and how far that count is from
    # half tells which quantile of the run the replicate's median is (Bahadur's representation of quantiles).
    median = np.median(everything)
    below = sum(rng.binomial(len(times), np.mean(times <= median), REPLICATES) for times in run)
    return np.quantile(everything, np.clip(1 - below / len(everything), 0, 1))


def _resample(replicates: Sequence[Floats], rng: np.random.Generator) -> Floats:
    """(R,) means over N runs drawn with replacement from N, each at a replicate of its own."""
    table = np.stack(replicates)
    runs = rng.integers(0, len(table), (REPLICATES, len(table)))
    columns = rng.integers(0, table.shape[1], runs.shape)
    return table[runs, columns].mean(axis=1)


def _standard_error(replicates: Floats, runs: int) -> float:
    """A bootstrap over N runs sees (N - 1) / N of their variance."""
    return float(np.std(replicates) * np.sqrt(runs / (runs - 1)))


def _welch(errors: Sequence[float], freedoms: Sequence[int]) -> float:
    """Degrees of freedom of a difference of two means (Welch and Satterthwaite)."""
    variances = np.square(errors)
    parts = float((variances**2 / np.array(freedoms)).sum())
    return float(variances.sum() ** 2 / parts) if parts else float(min(freedoms))


def _t(freedom: float, confidence: float) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + confidence / 2, freedom))


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
