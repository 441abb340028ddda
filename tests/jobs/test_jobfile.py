"""job.json: what may change on a resume and what may not, each field by name."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.job import RenderJob, open_job
from jobs.jobfile import JobFile, describe_model, new_job_file, read_job_file, require_same_job, require_same_model
from jobs.spec import FREE_ON_RESUME, JobSpec, make_spec
from manifests.errors import ManifestError, OutputError, OutputMismatch
from manifests.files import digest, find_files
from manifests.storage import Location, locate
from manifests.survey import Survey
from tests.conftest import write_jsonl
from tests.jobs.facts import DECISIONS, worker_facts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASE: dict[str, Any] = {"manifest": ("m.jsonl",), "model": "tiny:flux.1-dev", "out": "out", "gpus": 2}
OTHER: dict[str, Any] = {
    "manifest": ("elsewhere/m.jsonl",), "model": "random:flux.1-dev", "out": "out2", "attention": "sdpa", "gpus": 1,
    "workers": 1, "batch_size": 3, "compile": True, "dtype": "float16", "steps": 9, "width": 128, "height": 128,
    "guidance_scale": 1.0, "true_cfg_scale": 2.0, "negative_prompt": "", "seed": 1, "format": "webp",
    "column": ("prompt=text",), "limit": 5, "address": "ray://x", "lease_seconds": 1.0, "stall_timeout": 9.0,
    "encode_threads": 3, "lora": ("style.safetensors:0.5",), "gpus_per_worker": 2, "gpu_memory": 40.0,
    "offload": "swap", "quantize": ("int8",), "allow_pickle": True, "trust_remote_code": True,
}  # fmt: skip
MANIFEST = [{"uri": "/a/m.jsonl", "bytes": 10, "blake2b": "ab"}]


@pytest.fixture
def out(tmp_path: Path) -> Location:
    return locate(tmp_path / "out")


def job_file() -> JobFile:
    return new_job_file(make_spec(**BASE), MANIFEST, Survey(7, {"tag": "string"}), NOW)


def test_the_table_of_changes_covers_every_option() -> None:
    assert set(OTHER) == set(JobSpec.model_fields)


@pytest.mark.parametrize("name", sorted(set(JobSpec.model_fields) - FREE_ON_RESUME))
def test_an_option_that_changes_pictures_is_refused_by_name(out: Location, name: str) -> None:
    changed = make_spec(**(BASE | {name: OTHER[name]}))
    with pytest.raises(OutputMismatch, match=rf"^[^ ]*out: {name} is .* there and .* now") as refused:
        require_same_job(out, job_file(), changed, MANIFEST)
    assert repr(changed.model_dump(mode="json")[name]) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(FREE_ON_RESUME))
def test_an_option_that_changes_no_picture_may_change(out: Location, name: str) -> None:
    require_same_job(out, job_file(), make_spec(**(BASE | {name: OTHER[name]})), MANIFEST)


@pytest.mark.parametrize("change", [{"bytes": 11}, {"blake2b": "ac"}, {"uri": "/a/n.jsonl"}])
def test_a_manifest_with_other_contents_is_refused(out: Location, change: dict[str, Any]) -> None:
    with pytest.raises(OutputMismatch, match=r"manifest is '/a/m\.jsonl' there"):
        require_same_job(out, job_file(), make_spec(**BASE), [MANIFEST[0] | change])
    with pytest.raises(OutputMismatch, match="manifest"):
        require_same_job(out, job_file(), make_spec(**BASE), MANIFEST * 2)


def test_a_manifest_that_moved_is_accepted(out: Location) -> None:
    require_same_job(out, job_file(), make_spec(**BASE), [MANIFEST[0] | {"uri": "s3://b/m.jsonl"}])


def described(gpu: str | None = None) -> JobFile:
    """A job file as it is once a worker has loaded the model."""
    facts, file = worker_facts(gpu), job_file()
    file.device = facts.hardware.device
    file.model = describe_model(facts)
    file.hardware.append(asdict(facts.hardware))
    file.decisions[facts.hardware.kind] = DECISIONS
    return file


def test_the_file_comes_back_as_it_was_written(out: Location) -> None:
    assert read_job_file(out) is None
    file = described("NVIDIA H200")
    file.write(out)
    assert read_job_file(out) == file
    assert file.decisions["NVIDIA H200"] == DECISIONS
    require_same_model(out, file, worker_facts("NVIDIA H200"))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"revision": "abc"}, "model revision"),
        ({"fingerprint": "beef"}, "model fingerprint"),
        ({"pipeline": "Flux2Pipeline"}, "model pipeline"),
        ({"dtype": "bfloat16"}, "model dtype"),
        ({"gpu": "NVIDIA H200"}, "device"),
        ({"versions": {"torch": "2.12", "diffusers": "0.42", "transformers": "5.23"}}, "version of torch"),
        ({"versions": {"torch": "2.13", "diffusers": "0.41", "transformers": "5.23"}}, "version of diffusers"),
        ({"versions": {"torch": "2.13", "diffusers": "0.42", "transformers": "5.24"}}, "version of transformers"),
    ],
)
def test_another_model_device_or_package_is_refused_by_name(out: Location, change: dict[str, Any], name: str) -> None:
    with pytest.raises(OutputMismatch, match=f": {name} is "):
        require_same_model(out, described(), worker_facts(**change))


def test_another_version_of_what_draws_nothing_is_accepted(out: Location) -> None:
    versions = {"torch": "2.13", "diffusers": "0.42", "transformers": "5.23", "ray": "3.0"}
    require_same_model(out, described(), worker_facts(versions=versions, load_seconds=99.0))


def test_another_version_of_the_attention_library_that_was_decided_on_is_refused(out: Location) -> None:
    versions = {"torch": "2.13", "diffusers": "0.42", "transformers": "5.23", "flash-attn-4": "4.0.0b36"}
    newer, none = versions | {"flash-attn-4": "4.0.0b37"}, {**versions}
    del none["flash-attn-4"]
    file = described()
    file.model = describe_model(worker_facts(versions=versions))
    require_same_model(out, file, worker_facts(versions=newer))
    file.decisions["cpu"] = replace(DECISIONS, attention="flash4")
    require_same_model(out, file, worker_facts(versions=versions))
    for other in (newer, none):
        with pytest.raises(OutputMismatch, match="version of flash-attn-4 is "):
            require_same_model(out, file, worker_facts(versions=other))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe"])
def test_a_damaged_file_is_named(out: Location, data: bytes) -> None:
    (out / "job.json").write_bytes(data)
    with pytest.raises(OutputError, match=r"job\.json: unreadable"):
        read_job_file(out)


def test_a_file_of_another_schema_is_refused_with_both_versions(out: Location) -> None:
    described().write(out)
    (out / "job.json").write_bytes(
        json.dumps(json.loads((out / "job.json").read_bytes()) | {"schema_version": 9}).encode()
    )
    with pytest.raises(OutputMismatch, match="schema_version is 9 there and 1 here"):
        read_job_file(out)


# the same through real files


def opened(tmp_path: Path, manifest: Path, **options: Any) -> RenderJob:
    return open_job(make_spec(**(BASE | {"manifest": (str(manifest),), "out": str(tmp_path / "out")} | options)), "run")


def test_opening_a_job_writes_nothing_and_a_first_worker_settles_it(tmp_path: Path) -> None:
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a", "tag": 1}, {"prompt": "b"}])
    job = opened(tmp_path, manifest)
    assert not (tmp_path / "out").exists()
    assert (job.rows, job.file.extra, job.complete) == (2, {"tag": "int64"}, False)
    assert job.admit(worker_facts()) is None
    job.adopt(worker_facts(), DECISIONS)
    again = opened(tmp_path, manifest, workers=1)
    assert again.admit(worker_facts()) == DECISIONS
    with pytest.raises(OutputMismatch, match="fingerprint"):
        again.admit(worker_facts(fingerprint="beef"))
    assert "config_name: images" in (tmp_path / "out" / "README.md").read_text()


def test_a_second_kind_of_gpu_takes_the_batch_size_of_the_first(tmp_path: Path) -> None:
    job = opened(tmp_path, write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a"}]))
    job.adopt(worker_facts("H200"), DECISIONS)
    assert job.admit(worker_facts("A100")) is None
    job.adopt(worker_facts("A100"), type(DECISIONS)(8, "flash", True, {}))
    settled = job.admit(worker_facts("A100"))
    assert settled is not None and (settled.batch_size, settled.attention, settled.compile) == (2, "flash", True)


def test_a_real_manifest_is_known_again_where_it_moved_to_and_not_where_it_changed(tmp_path: Path) -> None:
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}])
    opened(tmp_path, manifest).adopt(worker_facts(), DECISIONS)
    (tmp_path / "new").mkdir()
    moved = Path(shutil.move(manifest, tmp_path / "new" / "m.jsonl"))
    assert opened(tmp_path, moved, limit=2).rows == 2
    assert digest(find_files([str(moved)]))[0]["bytes"] == moved.stat().st_size
    write_jsonl(moved, [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "d"}])
    with pytest.raises(OutputMismatch, match="manifest"):
        opened(tmp_path, moved)


def test_a_limit_beyond_the_manifest_takes_it_all_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    assert opened(tmp_path, write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a"}]), limit=9).rows == 1
    with pytest.raises(ManifestError, match="no row"):
        opened(tmp_path, write_jsonl(tmp_path / "e.jsonl", []))


@pytest.mark.parametrize("missing", ["model", "format"])
def test_a_job_file_without_what_every_reader_needs_is_damaged(tmp_path: Path, missing: str) -> None:
    job = opened(tmp_path, write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a"}]))
    job.adopt(worker_facts(), DECISIONS)
    path = tmp_path / "out" / "job.json"
    found = json.loads(path.read_text())
    del found["spec"][missing]
    path.write_text(json.dumps(found))
    with pytest.raises(OutputError, match=rf"damaged \('spec.{missing}'\)"):
        read_job_file(locate(tmp_path / "out"))
