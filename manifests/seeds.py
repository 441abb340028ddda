"""The seed of every picture: the row's own, or one drawn from the job's seed and the row's id.

A derived seed depends on nothing but (job seed, row id, image index), so order, worker and resume do not matter.
53 bits, so that a seed survives JSON and spreadsheets, which hold numbers as doubles.
"""

from __future__ import annotations

from hashlib import blake2b

SEED_BITS = 53


def derived_seed(job_seed: int, row_id: str, image_index: int) -> int:
    """The seed of picture `image_index` of a row that names none; 0 <= seed < 2**53."""
    key = f"{job_seed}\0{row_id}\0{image_index}".encode()
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") >> (64 - SEED_BITS)


def picture_seed(row_seed: int | None, job_seed: int, row_id: str, image_index: int) -> int:
    """The seed of one picture: `row_seed + image_index` where the row has a seed, else the derived one."""
    if row_seed is not None:
        return row_seed + image_index
    return derived_seed(job_seed, row_id, image_index)
