"""A torchvision that does not match torch must not keep anything from loading."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = """
import torch
@torch.library.register_fake("torchvision::nms")  # what a torchvision does whose operators could not be loaded
def nms(dets, scores, iou_threshold): ...
"""


def run(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    code = f"import sys; sys.path[:0] = [{str(path)!r}, {str(root)!r}]\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "torchvision").mkdir()
    return tmp_path


def test_a_mismatched_torchvision_is_mended(folder: Path) -> None:
    (folder / "torchvision" / "__init__.py").write_text("from torchvision import _ops\nworks = True\n")
    (folder / "torchvision" / "_ops.py").write_text(BROKEN)
    assert "torchvision::nms does not exist" in run("import torchvision", folder).stderr
    mended = run(
        "from workers.libraries import prepare_libraries\nprepare_libraries(); prepare_libraries()\n"
        "import torchvision; print(torchvision.works)",
        folder,
    )
    assert (mended.stdout, mended.returncode) == ("True\n", 0), mended.stderr


def test_another_fault_of_it_is_not_hidden(folder: Path) -> None:
    (folder / "torchvision" / "__init__.py").write_text("raise RuntimeError('something else')\n")
    failed = run("from workers.libraries import prepare_libraries\nprepare_libraries()", folder)
    assert "something else" in failed.stderr
