"""The catalogue's names and what it says of each."""

from __future__ import annotations

import re

from packaging.version import Version

from attention import AUTO, BACKENDS
from attention.backends import ANY, DEVICES

OURS = {
    "sdpa": "native",
    "sdpa-flash": "_native_flash",
    "sdpa-cudnn": "_native_cudnn",
    "sdpa-efficient": "_native_efficient",
    "sdpa-math": "_native_math",
    "flash": "flash",
    "flash3": "_flash_3",
    "flash4": None,
}


def test_our_names_are_frozen_and_the_others_are_diffusers_own() -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName

    assert {name: backend.dispatch for name, backend in BACKENDS.items() if name in OURS} == OURS
    assert all(backend.dispatch == name for name, backend in BACKENDS.items() if name not in OURS)
    assert all(name == backend.name for name, backend in BACKENDS.items()) and AUTO not in BACKENDS
    dispatched = {backend.dispatch for backend in BACKENDS.values()} - {None}
    assert dispatched == {known.value for known in AttentionBackendName.__members__.values()}


def test_auto_chooses_among_exact_ones_that_download_nothing() -> None:
    contending = {name for name, backend in BACKENDS.items() if backend.contends}
    assert contending >= {"sdpa", "sdpa-flash", "sdpa-cudnn", "sdpa-efficient", "flash", "flash3", "flash4"}
    assert all(BACKENDS[name].exact and not BACKENDS[name].hub for name in contending)


def test_what_quantises_is_not_exact_and_only_torchs_own_take_masks() -> None:
    assert all(backend.exact == ("sage" not in name) for name, backend in BACKENDS.items())
    masked = {name for name, backend in BACKENDS.items() if backend.masks}
    assert masked == {"sdpa", "sdpa-cudnn", "sdpa-efficient", "sdpa-math"}


def test_every_entry_is_whole() -> None:
    for backend in BACKENDS.values():
        assert set(backend.devices) <= set(DEVICES) and set(backend.dtypes) <= set(ANY)
        assert (backend.package is None) == (backend.module is None)
        if backend.at_least:
            Version(backend.at_least)
        if backend.devices == ("cuda",) and backend.module:
            assert re.match(r"pip install .*\S", backend.install or "")
