"""A disk that is full stops the job at once and costs no row: a real one, of a few hundred kilobytes."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, assert_exact, command, write_jsonl

_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]  # mounting needs no rights in one's own


def can_mount(folder: Path) -> bool:
    mount = f"mount -t tmpfs -o size=1m tmpfs {shlex.quote(str(folder))}"
    try:
        return subprocess.run([*_NAMESPACE, "sh", "-c", mount], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_a_full_disk_stops_the_job_and_the_same_command_resumes(tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    if not can_mount(disk):
        pytest.skip("no file system can be mounted here")
    rows = [{"id": f"r{k}", "prompt": f"fox {k}", "num_images": 4} for k in range(24)]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    options = ["--model", "tiny:flux.1-dev", "--steps", "1", "--workers", "1", "--lease-seconds", "0"]
    render = shlex.join(command("render", manifest, "--out", disk / "out", *options))
    script = f"""
        mount -t tmpfs -o size=700k tmpfs {shlex.quote(str(disk))} || exit 99
        {render} 2>first.txt; echo $? >>first.txt
        cp -r {shlex.quote(str(disk))}/out first
        mount -o remount,size=50m {shlex.quote(str(disk))}
        {render} 2>second.txt; echo $? >>second.txt
        cp -r {shlex.quote(str(disk))}/out kept
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([*_NAMESPACE, "sh", "-c", script], cwd=tmp_path, env=environment, check=True, timeout=300)
    message, status = (tmp_path / "first.txt").read_text().strip().splitlines()[-2:]
    assert status == "1"
    assert message.startswith(f"renderay: stopped: {disk}/out: ") and "No space left on device" in message
    assert message.endswith("the same command resumes")
    assert "Traceback" not in (tmp_path / "first.txt").read_text()
    assert len(list((tmp_path / "first" / "_logs").glob("*-w*.log"))) == 1  # no worker was replaced
    assert (tmp_path / "second.txt").read_text().strip().splitlines()[-1] == "0"
    assert_exact(kept, {row["id"]: 4 for row in rows})
