"""A job whose manifest and output are on an object store, spoken to over the S3 protocol."""

from __future__ import annotations

import json
import os

import pyarrow.dataset as ds

from manifests.storage import locate
from tests.conftest import run


def test_manifest_and_output_on_s3(s3: str) -> None:
    manifest = locate(f"{s3}/in/rows [1].jsonl")
    manifest.write_bytes(b"".join(json.dumps({"id": f"r{k}", "prompt": f"p {k}"}).encode() + b"\n" for k in range(12)))
    job = ["render", manifest.uri, "--model", "tiny:flux.1-dev", "--out", f"{s3}/run", "--steps", "2"]
    ended = run(*job, env=os.environ)
    assert ended.returncode == 0, ended.stderr

    tables = locate(f"{s3}/run")
    images = ds.dataset((tables / "images").path, filesystem=tables.fs).to_table(columns=["id", "sha256"])
    assert sorted(images["id"].to_pylist()) == sorted(f"r{k}" for k in range(12))
    assert ds.dataset((tables / "steps").path, filesystem=tables.fs).count_rows() == 24
    assert locate(f"{s3}/run/_staging").list() == []
    logs = [info.base_name for info in locate(f"{s3}/run/_logs").list()]
    assert any("-w" in name for name in logs)

    state = json.loads(run("status", f"{s3}/run", "--json", env=os.environ).stdout)
    assert (state["state"], state["done"]) == ("complete", 12)
    held = {info.path: info.mtime_ns for info in locate(f"{s3}/run").list(recursive=True)}
    again = run(*job, env=os.environ)
    assert again.returncode == 0 and "nothing left to render" in again.stdout
    assert {info.path: info.mtime_ns for info in locate(f"{s3}/run").list(recursive=True)} == held
