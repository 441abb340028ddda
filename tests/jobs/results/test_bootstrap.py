"""What the interval claims, on made-up runs: a known 5 % is found, and nothing is found where nothing is.

Seeds are fixed, so that a run of the tests is like any other; noise is that of real small runs: batches vary by 3 %,
workers by 2 %, a run drifts by 3 %, and equal runs' medians lay between 29.6 and 36.3 ms (7 %).
"""

from __future__ import annotations

import numpy as np
import pytest

from jobs.results import bootstrap
from jobs.results.bootstrap import Run, figure, interval, ratio

TRIES = 100
BETWEEN = 0.07  # the standard deviation of equal runs, on the log scale


def made_up_run(rng: np.random.Generator, level: float, workers: int = 2, batches: int = 20) -> Run:
    drift = np.linspace(0, 0.03, batches)
    return [30 * level * np.exp(rng.normal(0, 0.02) + drift + rng.normal(0, 0.03, batches)) for _ in range(workers)]


def side(rng: np.random.Generator, runs: int, between: float, effect: float = 1.0) -> list[Run]:
    return [made_up_run(rng, effect * np.exp(rng.normal(0, between))) for _ in range(runs)]


def rounds(rng: np.random.Generator, count: int, effect: float) -> tuple[list[Run], list[Run]]:
    """One batch a round and side; what lies between rounds, 7 %, hits both."""
    shared = np.exp(rng.normal(0, BETWEEN, count))
    own = [np.exp(rng.normal(0, 0.01, count)) for _ in range(2)]
    return [[np.array([effect * 30 * x])] for x in shared * own[0]], [[np.array([30 * x])] for x in shared * own[1]]


@pytest.mark.parametrize(("runs", "between"), [(2, BETWEEN), (3, BETWEEN), (6, BETWEEN), (6, 0.005)])
def test_equal_runs_are_told_apart_at_most_once_in_twenty(runs: int, between: float) -> None:
    rng = np.random.default_rng(1)
    claims = sum(ratio(side(rng, runs, between), side(rng, runs, between)).differs is True for _ in range(TRIES))
    assert claims <= TRIES / 20


@pytest.mark.parametrize("count", [3, 5, 10])
def test_equal_configurations_in_turns_are_told_apart_at_most_once_in_twenty(count: int) -> None:
    rng = np.random.default_rng(2)
    claims = sum(ratio(*rounds(rng, count, 1.0), paired=True).differs is True for _ in range(4 * TRIES))
    assert claims <= 4 * TRIES / 20


def test_five_percent_is_found_between_several_runs() -> None:
    rng = np.random.default_rng(3)
    found = [ratio(side(rng, 6, 0.01, 1.05), side(rng, 6, 0.01)) for _ in range(TRIES)]
    assert np.mean([each.differs is True and each.value > 1 for each in found]) >= 0.8
    assert np.median([each.value for each in found]) == pytest.approx(1.05, abs=0.01)


def test_five_percent_is_found_in_turns_under_noise_that_hides_it_between_runs() -> None:
    rng = np.random.default_rng(4)
    found = [ratio(*rounds(rng, 6, 1.05), paired=True) for _ in range(TRIES)]
    assert np.mean([each.differs is True and each.value > 1 for each in found]) >= 0.95
    hidden = [ratio(*rounds(rng, 6, 1.05)) for _ in range(TRIES)]
    assert np.mean([each.differs is True for each in hidden]) < 0.2


def test_intervals_hold_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(5)
    found = [ratio(*rounds(rng, 5, 1.05), paired=True) for _ in range(2 * TRIES)]
    covered = np.mean([each.low <= 1.05 <= each.high for each in found if each.low and each.high])
    assert 0.9 <= covered <= 0.99


def test_one_run_a_side_gives_the_noise_within_it_and_no_verdict() -> None:
    rng = np.random.default_rng(6)
    found = ratio(side(rng, 1, 0, 1.5), side(rng, 1, 0))
    assert found.differs is None and found.low is not None and found.high is not None
    assert 1 < found.low < found.value < found.high
    alone = ratio([[np.array([30.0])]], [[np.array([20.0])]])
    assert alone.value == pytest.approx(1.5) and (alone.low, alone.high, alone.differs) == (None, None, None)


def test_large_runs_have_the_noise_of_the_same_run_resampled_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    run = [rng.lognormal(3, 0.1, 900), rng.lognormal(3.1, 0.05, 1000)]
    slow = np.std(np.log(bootstrap._medians(run, rng)))
    monkeypatch.setattr(bootstrap, "_RESAMPLED", 10)
    fast = np.std(np.log(bootstrap._medians(run, rng)))
    assert fast == pytest.approx(slow, rel=0.15)


def test_a_side_is_the_geometric_mean_of_its_runs_medians() -> None:
    runs = [[np.array([10.0, 20.0, 30.0])], [np.array([80.0])]]
    assert figure(runs) == pytest.approx(40)
    low, high = interval(runs) or (0, 0)
    assert low < 40 < high
