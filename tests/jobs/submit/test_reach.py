"""Which paths the cluster is told of, which files travel, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.spec import make_spec
from jobs.submit import reach
from jobs.submit.bundle import write_bundle
from jobs.submit.reach import resolve
from manifests.errors import ManifestError, ModelError, SpecError
from manifests.files import ManifestFile
from tests.conftest import write_jsonl


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a fox"}])
    return tmp_path


def spec(manifest: Any, out: str = "s3://bucket/out", **options: Any) -> Any:
    return make_spec(manifest=(str(manifest),), model=options.pop("model", "tiny:flux.1-dev"), out=out, **options)


def test_uris_and_shared_paths_are_passed_on_and_other_files_travel(here: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(here)
    job = make_spec(
        manifest=("s3://b/*.parquet", "m.jsonl", "shared/absent.jsonl"), model="tiny:flux.1-dev", out="shared/out"
    )
    found = resolve(job, ["shared"])
    first, second, third = found.manifest
    assert (first, third, found.out) == ("s3://b/*.parquet", f"{here}/shared/absent.jsonl", f"{here}/shared/out")
    assert isinstance(second, ManifestFile) and found.travelling == [second]


def test_a_folder_of_this_machine_is_refused_as_out_model_and_lora(here: Path) -> None:
    (here / "pipe").mkdir()
    (here / "pipe" / "model_index.json").write_text("{}")
    (here / "style.safetensors").write_text("")
    with pytest.raises(SpecError, match=r"^out \S+/out: is a folder of this machine, .* with --shared FOLDER$"):
        resolve(spec(here / "m.jsonl", str(here / "out")), [str(here / "shared")])
    with pytest.raises(SpecError, match=r"^model \S+/pipe: is a folder of this machine"):
        resolve(spec(here / "m.jsonl", model=str(here / "pipe")), [])
    with pytest.raises(SpecError, match=r"^lora \S+: is a file of this machine"):
        resolve(spec(here / "m.jsonl", lora=(f"{here}/style.safetensors:0.5",)), [])
    with pytest.raises(ModelError, match="did you mean tiny:flux"):
        resolve(spec(here / "m.jsonl", model="tiny:flux.1-dew"), [])
    with pytest.raises(SpecError, match=r"^shared s3://b: must be a folder"):
        resolve(spec(here / "m.jsonl"), ["s3://b"])


def test_a_model_may_be_in_a_folder_that_only_the_cluster_has(here: Path, monkeypatch: Any) -> None:
    assert resolve(spec(here / "m.jsonl", model="/mnt/models/flux"), ["/mnt/models"]).model == "/mnt/models/flux"
    monkeypatch.chdir(here)
    (here / "style.safetensors").write_text("")
    found = resolve(spec("m.jsonl", lora=("style.safetensors:0.5", "owner/name")), [str(here)])
    assert found.lora == (f"{here}/style.safetensors:0.5", "owner/name")


def test_what_travels_is_checked(here: Path, monkeypatch: Any) -> None:
    with pytest.raises(ManifestError, match=r"no\.jsonl: no such file or folder$"):
        resolve(spec(here / "no.jsonl"), [])
    (here / "empty.jsonl").write_text("\n")
    with pytest.raises(ManifestError, match="no row"):
        resolve(spec(here / "empty.jsonl"), [])
    with pytest.raises(SpecError, match="no row has a column 'Prompt'"):
        resolve(spec(here / "m.jsonl", column=("prompt=Prompt",)), [])
    monkeypatch.setattr(reach, "MAX_BYTES", 10)
    with pytest.raises(ManifestError, match=r"m\.jsonl: 0 MiB of manifest, and at most 0 MiB are sent along; give"):
        resolve(spec(here / "m.jsonl"), [])


def test_pictures_of_this_machine_do_not_travel(here: Path) -> None:
    reached = [{"prompt": "a", "image": "s3://b/a.png"}, {"prompt": "b", "image": f"{here}/shared/b.png"}]
    manifest = write_jsonl(here / "edit.jsonl", [*reached, {"prompt": "c", "images": ["c.png"]}])
    with pytest.raises(ManifestError, match=rf"^{manifest}:3: image {here}/c\.png: is a file of this machine"):
        resolve(spec(manifest), [str(here / "shared")])
    assert resolve(spec(manifest, limit=2), [str(here / "shared")]).travelling


def test_the_bundle_holds_code_files_options_and_requirements(here: Path, tmp_path_factory: Any) -> None:
    (here / "more").mkdir()
    write_jsonl(here / "more" / "m.jsonl", [{"prompt": "a hen"}])
    job = make_spec(
        manifest=(f"{here}/m.jsonl", f"{here}/more/m.jsonl"), model="demo", out="s3://b/o", steps=2, lora=("a/b:0.5",),
        address="http://head:8265", compile=False, batch_size="auto", column=("prompt=prompt",), negative_prompt="-ü",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder, job, resolve(job, []))
    options = yaml.safe_load((folder / "job.yaml").read_text())
    assert options.pop("manifest") == ["sent/0/m.jsonl", "sent/1/m.jsonl"]
    assert "a hen" in (folder / "sent" / "1" / "m.jsonl").read_text()
    assert options == {
        "model": "demo", "out": "s3://b/o", "steps": 2, "lora": ["a/b:0.5"], "address": "auto", "compile": False,
        "batch_size": "auto", "column": ["prompt=prompt"], "negative_prompt": "-ü",
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == {
        "attention", "jobs", "manifests", "workers", "sent", "job.yaml", "requirements.txt",
    }  # fmt: skip
    wanted = (folder / "requirements.txt").read_text().splitlines()
    assert any(line.startswith("torch>=") for line in wanted) and not any("pytest" in line for line in wanted)
