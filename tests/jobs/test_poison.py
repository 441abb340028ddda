"""A row that raises, hangs, exhausts memory or kills its process costs itself and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, assert_exact, read_table, write_jsonl

POISON = {7: "RAISE", 21: "MEMORY", 33: "KILL", 50: "HANG"}


def test_poison_rows_end_in_errors_and_all_others_are_rendered(tmp_path: Path) -> None:
    rows = [{"id": f"r{k}", "prompt": f"{POISON.get(k, 'fine')} {k}"} for k in range(64)]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    out = tmp_path / "out"
    script = Path(__file__).with_name("poison.py")
    ended = subprocess.run(
        [sys.executable, script, manifest, out],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    failed = {f"r{k}" for k in POISON}
    assert_exact(out, {row["id"]: 1 for row in rows if row["id"] not in failed}, failed)
    errors = {row["id"]: row for row in read_table(out, "errors")}
    assert errors["r7"]["error_type"] == "ValueError" and "this prompt raises" in errors["r7"]["traceback"]
    assert errors["r21"]["error_type"] == "MemoryError"
    assert (errors["r33"]["stage"], errors["r33"]["attempts"]) == ("crash", 3)
    assert errors["r50"]["stage"] == "crash" and "no progress for 15 s" in errors["r50"]["message"]
    assert all(row["source_line"] == int(name[1:]) + 1 for name, row in errors.items())
