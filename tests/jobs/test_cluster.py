"""Joining a cluster that does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.cluster import connected
from jobs.spec import make_spec
from manifests.errors import SpecError


def test_another_ray_or_python_than_the_clusters_is_one_line_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray._private.utils import check_version_info

    def init(**options: Any) -> None:
        check_version_info({"ray_version": "2.41.0", "python_version": "3.12.1"}, "This process")  # Ray's own words

    monkeypatch.setattr(ray, "init", init)
    spec = make_spec(manifest=("m.jsonl",), model="tiny:flux.1-dev", out="o", address="auto")
    with pytest.raises(SpecError) as refused, connected(spec):
        pass
    said = str(refused.value)
    assert said.startswith("Ray auto: cannot be reached: Version mismatch: ") and "\n" not in said
    assert "2.41.0" in said and "3.12.1" in said and ray.__version__ in said
    assert said.endswith("; use the Ray and Python that the cluster has, or `renderay submit`")


def test_a_cluster_that_does_not_let_us_in_may_want_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def init(**options: Any) -> None:
        raise ConnectionError("Failed to connect to Ray cluster at 192.0.2.2:6379")  # as for a missing token

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    spec = make_spec(manifest=("m.jsonl",), model="tiny:flux.1-dev", out="o", address="auto")
    with (
        pytest.raises(SpecError, match=r"; if the cluster asks for a token, set RAY_AUTH_MODE=token$"),
        connected(spec),
    ):
        pass
