"""What the cluster is found to lack, in one line."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet

from jobs.submit.entrypoint import OLDEST, unfit
from tests.conftest import ROOT


def test_the_oldest_python_is_the_one_of_the_project() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f">={OLDEST[0]}.{OLDEST[1]}" in str(SpecifierSet(asked)).split(",")


def test_versions_and_packages_are_compared() -> None:
    assert unfit((3, 11), ["click>=8", 'no-such-package>=1; python_version < "3"']) == ""
    assert unfit((3, 10), []) == "is Python 3.10, and renderay needs 3.11 or later"
    said = unfit((3, 12), ["click>=8", "click<1", "no-such-package[extra]>=2"])
    assert said.startswith("lacks click<1 (it has ") and said.endswith("), no-such-package>=2")


def test_a_python_without_packages_is_one_line_and_status_2(tmp_path: Path) -> None:
    bare = [sys.executable, "-S", "-m", "jobs.submit.entrypoint", "render", "--config", "job.yaml"]
    done = subprocess.run(
        bare, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"renderay: {sys.executable} on ") and " lacks packaging and " in done.stderr
    assert "on every machine of the cluster" in done.stderr
