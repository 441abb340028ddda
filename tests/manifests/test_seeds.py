"""Seeds are a promise: the same job draws the same pictures with any later version."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from manifests.seeds import derived_seed, picture_seed


@pytest.mark.parametrize(
    ("job_seed", "row_id", "index", "seed"),
    [
        (0, "row-000000000", 0, 7947747393229263),
        (0, "row-000000000", 1, 3190317827401669),
        (1, "row-000000000", 0, 3358538361870575),
        (9223372036854775807, "r/ö 雪", 1023, 4653924947066179),
    ],
)
def test_derived_seeds_never_change(job_seed: int, row_id: str, index: int, seed: int) -> None:
    assert derived_seed(job_seed, row_id, index) == seed
    key = f"{job_seed}\0{row_id}\0{index}".encode()
    assert seed == int(blake2b(key, digest_size=8).hexdigest(), 16) // 2**11


def test_derived_seeds_are_53_bits_wide_and_do_not_meet() -> None:
    seeds = {derived_seed(job, f"r{row}", k) for job in range(3) for row in range(3000) for k in range(2)}
    assert len(seeds) == 18_000
    assert 2**52 < max(seeds) < 2**53 and min(seeds) >= 0
    assert all(int(float(seed)) == seed for seed in seeds)


def test_the_parts_of_the_key_cannot_be_confused() -> None:
    assert derived_seed(1, "1", 1) != derived_seed(11, "", 1) != derived_seed(1, "", 11)


def test_a_rows_own_seed_counts_up_over_its_pictures() -> None:
    assert [picture_seed(7, 99, "r", k) for k in range(3)] == [7, 8, 9]
    assert picture_seed(0, 99, "r", 0) == 0
    assert picture_seed(None, 99, "r", 2) == derived_seed(99, "r", 2)
