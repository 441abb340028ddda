"""What a worker was rendering when it died."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.storage import locate
from workers.breadcrumb import breadcrumb_location, drop_breadcrumb, read_breadcrumb


def test_the_last_batch_begun_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "_staging").mkdir()
    crumb = breadcrumb_location(locate(tmp_path), "run-w0")
    assert read_breadcrumb(crumb) is None
    drop_breadcrumb(crumb, "run-000001", list(range(1000)))
    drop_breadcrumb(crumb, "run-000002", [7, 8])
    assert read_breadcrumb(crumb) == ("run-000002", (7, 8))
    assert read_breadcrumb(breadcrumb_location(locate(tmp_path), "run-w1")) is None


@pytest.mark.parametrize("data", [b"", b'{"lease_id": "a", "ord', b"[]", b'{"lease_id": "a"}', b"\xff"])
def test_one_torn_by_the_death_it_tells_of_is_none(tmp_path: Path, data: bytes) -> None:
    crumb = breadcrumb_location(locate(tmp_path), "run-w0")
    crumb.write_bytes(data)
    assert read_breadcrumb(crumb) is None
