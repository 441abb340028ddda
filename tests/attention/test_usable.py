"""Saying whether a backend can be used here, and if not, every reason and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from attention import AUTO, BACKENDS, examine, require_known, require_usable, require_working, usable
from manifests.errors import AttentionError
from tests.attention.conftest import Kernel, plain_attention

WITHOUT_FLASH = pytest.mark.skipif(find_spec("flash_attn") is not None, reason="flash-attn is installed")


@pytest.mark.parametrize("name", [AUTO, "sdpa", "sdpa-flash", "sdpa-math"])
def test_what_needs_nothing_is_usable_everywhere(name: str) -> None:
    require_usable(name, "cpu")
    require_usable(name, "cuda")
    require_working(name, "cpu", "float32", {16, 128})


@pytest.mark.parametrize("name", ["sdpa-cudnn", "sdpa-efficient"])
def test_a_gpu_kernel_is_refused_on_a_cpu_with_what_works_there(name: str) -> None:
    require_usable(name, "cuda")
    with pytest.raises(AttentionError) as refused:
        require_usable(name, "cpu")
    assert str(refused.value) == (
        f"attention {name}: it runs on CUDA GPUs only and none is used here; "
        "use --attention auto, or one of sdpa, sdpa-flash, sdpa-math"
    )


@WITHOUT_FLASH
def test_a_missing_package_is_named_with_every_other_reason_and_the_line_that_installs_it() -> None:
    with pytest.raises(AttentionError) as refused:
        require_usable("flash", "cpu")
    text = str(refused.value)
    assert text.startswith(
        "attention flash: package flash-attn is not installed "
        "(pip install --no-build-isolation 'renderay[flash]') and it runs on CUDA GPUs only"
    )
    assert "\n" not in text
    with pytest.raises(AttentionError, match="flash-attn is not installed") as on_gpu:
        require_usable("flash", "cuda")
    assert "CUDA GPUs only" not in str(on_gpu.value)


@pytest.mark.parametrize(
    ("name", "hint"), [("flsh", "; did you mean flash?"), ("sdpa_math", "; did you mean sdpa-math?")]
)
def test_a_misspelt_name_is_refused_with_the_nearest(name: str, hint: str) -> None:
    for check in (require_known, lambda name: require_usable(name, "cuda")):
        with pytest.raises(AttentionError, match="unknown backend; known: auto, sdpa, ") as refused:
            check(name)
        assert str(refused.value).endswith(hint)


def package(folder: Path, distribution: str, version: str, *files: str) -> None:
    """Something that looks installed in a folder; importing it fails."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("raise ImportError('undefined symbol: _ZN3c105ErrorC2E')")
    info = folder / f"{distribution}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")


@WITHOUT_FLASH
def test_flash4_alone_is_not_taken_for_flash_and_nothing_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "flash_attn_4", "4.0.0b36", "flash_attn/cute/interface.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    require_usable("flash4", "cuda")
    with pytest.raises(AttentionError, match="flash-attn is not installed"):
        require_usable("flash", "cuda")
    assert "flash_attn" not in sys.modules


@WITHOUT_FLASH
def test_a_package_that_is_too_old_is_told_with_both_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "flash_attn", "2.5.9", "flash_attn/flash_attn_interface.py", "flash_attn/__init__.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AttentionError, match=r"package flash-attn is 2\.5\.9 and must be at least 2\.7 \(pip"):
        require_usable("flash", "cuda")


def test_an_import_that_fails_is_no_working_kernel(library: Callable[..., str]) -> None:
    def broken(*tensors: object) -> Kernel:
        raise ImportError("libcudart.so.11: cannot open\nshared object file")

    found = examine(BACKENDS[library("broken", broken)], "cpu", "float32", 16)
    assert found.usable is False
    assert found.reason == "it does not run here: ImportError: libcudart.so.11: cannot open shared object file"


def test_dtype_and_head_size_outside_its_limits_are_told(library: Callable[..., str]) -> None:
    name = library("narrow", plain_attention, dtypes=("bfloat16",), max_head=64, head_multiple=8)
    assert examine(BACKENDS[name], "cpu", "bfloat16", 64).usable
    with pytest.raises(AttentionError) as refused:
        require_working(name, "cpu", "float32", {16, 132})
    assert "it takes bfloat16, not float32" in str(refused.value)
    assert "heads of 132 are above its limit of 64" in examine(BACKENDS[name], "cpu", "bfloat16", 132).reason
    assert "heads of 12 are no multiple of 8" in examine(BACKENDS[name], "cpu", "bfloat16", 12).reason


def test_a_kernel_of_the_hub_is_neither_tried_nor_fetched(
    library: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*tensors: object) -> None:
        raise AssertionError("it was run")

    found = examine(BACKENDS[library("from_hub", fetched, hub=True)], "cpu", "float32", 16)
    assert (found.usable, found.reason) == (None, usable.DOWNLOADS)
    if find_spec("kernels") is None:
        assert examine(BACKENDS["flash_hub"], "cpu", "float32", 128).reason.endswith(f"; {usable.DOWNLOADS}")


def test_a_finding_gives_the_install_line_only_where_that_is_what_lacks() -> None:
    assert examine(BACKENDS["sdpa"], "cpu", "float32", 16).install is None
    assert examine(BACKENDS["sdpa-cudnn"], "cpu", "float32", 16).install is None
    if find_spec("xformers") is None:
        assert examine(BACKENDS["xformers"], "cpu", "float32", 16).install == "pip install --no-deps xformers"
