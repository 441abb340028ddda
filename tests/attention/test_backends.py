"""Which attention backends there are, and saying why one cannot be used here."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from attention import AUTO, BACKENDS, choose, require_usable
from manifests.errors import AttentionError


def test_names_are_frozen_and_each_is_one_that_diffusers_dispatches() -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName

    assert {name: backend.dispatch for name, backend in BACKENDS.items()} == {
        "sdpa": "native",
        "sdpa-flash": "_native_flash",
        "sdpa-cudnn": "_native_cudnn",
        "sdpa-efficient": "_native_efficient",
        "sdpa-math": "_native_math",
        "flash": "flash",
    }
    assert {backend.dispatch for backend in BACKENDS.values()} <= {known.value for known in AttentionBackendName}
    assert all(name == backend.name for name, backend in BACKENDS.items()) and AUTO not in BACKENDS


@pytest.mark.parametrize("name", [AUTO, "sdpa", "sdpa-math"])
def test_what_needs_nothing_is_usable_everywhere(name: str) -> None:
    require_usable(name, "cpu")
    require_usable(name, "cuda")


@pytest.mark.parametrize("name", ["sdpa-flash", "sdpa-cudnn", "sdpa-efficient"])
def test_a_gpu_kernel_is_refused_on_a_cpu_with_what_works_there(name: str) -> None:
    require_usable(name, "cuda")
    with pytest.raises(AttentionError) as refused:
        require_usable(name, "cpu")
    assert str(refused.value) == (
        f"attention {name}: it runs on CUDA GPUs only and none is used here; "
        "use --attention auto, or one of sdpa, sdpa-math"
    )


@pytest.mark.skipif(find_spec("flash_attn") is not None, reason="flash-attn is installed")
def test_a_missing_package_is_named_with_every_other_reason_and_the_line_that_installs_it() -> None:
    with pytest.raises(AttentionError) as refused:
        require_usable("flash", "cpu")
    text = str(refused.value)
    assert text.startswith(
        "attention flash: package flash_attn is not installed (pip install 'renderay[flash]') and it runs on"
    )
    assert "\n" not in text
    with pytest.raises(AttentionError, match="flash_attn is not installed") as on_gpu:
        require_usable("flash", "cuda")
    assert "CUDA GPUs only" not in str(on_gpu.value)


@pytest.mark.parametrize(
    ("name", "hint"), [("flsh", "; did you mean flash?"), ("sdpa_math", "; did you mean sdpa-math?")]
)
def test_a_misspelt_name_is_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(AttentionError, match="unknown backend; known: auto, sdpa, ") as refused:
        require_usable(name, "cuda")
    assert str(refused.value).endswith(hint)


def test_only_auto_chooses() -> None:
    assert choose(AUTO)[0] == "sdpa" and choose(AUTO)[1].startswith("auto: ")
    for name in BACKENDS:
        assert choose(name) == (name, "asked for by name")
