"""`renderay attention` as a user meets it on a machine without a GPU and without any attention library."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec

import pytest
import torch

from attention import BACKENDS, Finding
from jobs.attention_table import AttentionTable
from tests.conftest import run

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@pytest.fixture(scope="module")
def printed() -> subprocess.CompletedProcess[str]:
    return run("attention", "--all")


def test_every_backend_has_one_line_whole(printed: subprocess.CompletedProcess[str]) -> None:
    assert printed.returncode == 0 and printed.stderr == ""
    title, header, *lines = printed.stdout.splitlines()
    assert title == "tried on CPU, float32, heads of 128"
    assert header.split() == ["backend", "usable", "exact", "masks", "compiles"]
    assert [line.split()[0] for line in lines] == list(BACKENDS)
    assert {line.split()[0] for line in lines if line.split()[1] == "yes"} == {"sdpa", "sdpa-flash", "sdpa-math"}


def test_each_gives_its_true_reason_and_what_installs_it(printed: subprocess.CompletedProcess[str]) -> None:
    lines = {line.split()[0]: line for line in printed.stdout.splitlines()}
    assert "heads of 128" in lines["sdpa"] and "e-07 against fp32" in lines["sdpa"]
    assert lines["sdpa-cudnn"].endswith("  it runs on CUDA GPUs only and none is used here")
    if find_spec("flash_attn") is None:
        assert "package flash-attn-4 is not installed (pip install 'renderay[flash4]') and it" in lines["flash4"]
        assert "(pip install --no-build-isolation 'renderay[flash]')" in lines["flash"]
    assert lines["flash_hub"].endswith("; downloads a kernel from the hub; only by name")
    assert "Ascend NPUs only" in lines["_native_npu"]


def test_those_for_other_devices_share_a_line_a_device() -> None:
    done = run("attention")
    _, _, *lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["sdpa", "sdpa-flash", "sdpa-math"]
    kinds = ("CUDA GPUs", "AMD GPUs", "Ascend NPUs", "XLA devices")
    assert [line.split(" more, for ")[1].partition(" only: ")[0] for line in lines[3:-1]] == list(kinds)
    named = [name for line in lines[3:-1] for name in line.partition(": ")[2].split(", ")]
    assert sorted(named) == sorted(set(BACKENDS) - {"sdpa", "sdpa-flash", "sdpa-math"})
    assert [int(line.split()[0]) for line in lines[3:-1]] == [len(named) - 3, 1, 1, 1]
    assert lines[-1].startswith("--all: ")


def test_on_a_gpu_several_that_lack_one_package_share_a_line() -> None:
    lack = "package sageattention is not installed (pip install it)"
    reasons = {
        "sage": lack,
        "sage_varlen": lack,
        "_sage_qk_int8_pv_fp16_cuda": lack,
        "flash": "no nvcc",
        "flash4": "no nvcc",
    }
    findings = [Finding(BACKENDS[name], False, reason) for name, reason in reasons.items()]
    findings += [Finding(BACKENDS["sdpa"], True, "error 0"), Finding(BACKENDS["flash_hub"], None, "by name")]
    table = AttentionTable("NVIDIA H100", "bfloat16", 128, tuple(findings))
    _, _, *lines = table.text().splitlines()
    assert [line.split()[0] for line in lines] == ["flash", "flash4", "sdpa", "flash_hub", "3", "--all:"]
    assert lines[4] == f"3 more, unusable, {lack}: sage, sage_varlen, _sage_qk_int8_pv_fp16_cuda"
    assert len(table.text(every=True).splitlines()) == 2 + len(findings)


def test_the_same_for_programs() -> None:
    done = run("attention", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["device"], found["dtype"], found["head_size"]) == ("CPU", "float32", 128)
    backends = {each["name"]: each for each in found["backends"]}
    assert list(backends) == list(BACKENDS)
    assert backends["sdpa"]["usable"] is True and backends["sdpa"]["error"] < 1e-6
    assert backends["sage"]["exact"] is False and backends["sage"]["usable"] is False
    assert backends["flash4"]["capability"] == ["8.0"]
    if find_spec("flash_attn") is None:
        assert backends["flash4"]["install"] == "pip install 'renderay[flash4]'"
