"""A real job exported through the command line, and read by those the export is for."""

from __future__ import annotations

import hashlib
import io
import json
import resource
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from click.testing import CliRunner
from datasets import load_dataset
from PIL import Image

from jobs.cli import cli
from jobs.export.export import ExportOptions, export
from manifests.errors import RenderayError, SpecError
from manifests.storage import locate
from tests.conftest import read_table, run, write_jsonl
from tests.jobs.results.made import error, make_out

LONG = "an owl " * 60
ROWS: list[dict[str, Any]] = [
    {"id": "owls", "prompt": LONG, "Category": "Animals", "num_images": 2},
    {"id": "a/b", "prompt": "маяк на закате", "Category": "../Places", "width": 128},
    {"id": ".dot", "prompt": "a boat", "source_file_name": "x"},
    {"id": "bad", "prompt": "no", "width": 100},
]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    manifest = write_jsonl(folder / "m.jsonl", ROWS)
    done = run("render", manifest, "--model", "tiny:flux.1-dev", "--out", folder / "out", "--steps", "2")
    assert done.returncode == 3, done.stderr
    return folder / "out"


def here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in this process, which saves its start; what `main` does with errors included."""
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(done.exception, RenderayError):
        return subprocess.CompletedProcess([], done.exception.exit_code, done.stdout, f"renderay: {done.exception}\n")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return subprocess.CompletedProcess([], done.exit_code, done.stdout, done.stderr)


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and identity; one that is written again has another inode."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file()
    }


def load(kind: str, **where: Any) -> Any:
    return load_dataset(kind, split="train", **where)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("metadata", ["jsonl", "csv", "parquet"])
def test_files_are_the_pictures_and_load_as_an_image_folder(out: Path, tmp_path: Path, metadata: str) -> None:
    to = tmp_path / "pictures"
    done = here("export", out, "--to", to, "--metadata", metadata, "--contact-sheet")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"4 pictures, 4 of them new, 1 contact sheet page\n{to}\n"
    images = {(row["id"], row["image_index"]): row for row in read_table(out, "images")}
    names = {
        "owls-0.png": ("owls", 0),
        "owls-1.png": ("owls", 1),
        "a%2Fb-0.png": ("a/b", 0),
        "%2Edot-0.png": (".dot", 0),
    }
    assert {path.name for path in to.glob("*.png")} == set(names)
    for name, key in names.items():
        assert (to / name).read_bytes() == images[key]["image"]["bytes"]
    table = load("imagefolder", data_dir=str(to))
    assert table["id"] == ["owls", "owls", "a/b", ".dot"]  # as in the manifest
    assert table["prompt"][2] == "маяк на закате" and table["source_filename"][3] == "x"
    assert [image.size for image in table["image"]] == [(64, 64), (64, 64), (128, 64), (64, 64)]


def test_the_same_export_again_changes_nothing_and_another_is_refused(out: Path, tmp_path: Path) -> None:
    to = tmp_path / "pictures"
    assert here("export", out, "--to", to).returncode == 0
    pictures = {name: found for name, found in state(to).items() if name.endswith(".png")}
    (to / "owls-0.png").write_bytes(b"cut short")
    again = here("export", out, "--to", to)
    assert "4 pictures, 1 of them new" in again.stdout
    after = state(to)
    assert {name: found[0] for name, found in after.items() if name in pictures} == {
        name: found[0] for name, found in pictures.items()
    }
    assert all(after[name] == pictures[name] for name in pictures if name != "owls-0.png")
    for options in (["--name", "{ordinal}-{image_index}.png"], ["--where", "seed > 0"], ["--webdataset"]):
        refused = here("export", out, "--to", to, *options)
        assert refused.returncode == 2 and "give another --to" in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert state(to) == after


def test_folders_by_column_and_a_filter(out: Path, tmp_path: Path) -> None:
    where = "id in (select id from steps where step = 1) and num_images_ > 0"
    wrong = here("export", out, "--to", tmp_path / "x", "--where", where)
    assert wrong.returncode == 2 and "num_images_" in wrong.stderr and wrong.stderr.count("\n") == 1
    where = "id in (select id from steps where step = 1) and (Category is null or width > 64)"
    done = here(
        "export", out, "--to", tmp_path / "x", "--where", where, "--name", "{Category}/{seed}-{image_index}.png"
    )
    assert done.returncode == 0, done.stderr
    found = sorted(path.relative_to(tmp_path / "x").parts[0] for path in (tmp_path / "x").rglob("*.png"))
    assert found == ["%2E.%2FPlaces", "none"]
    nothing = here("export", out, "--to", tmp_path / "y", "--where", "steps > 100")
    assert nothing.returncode == 2
    assert nothing.stderr == "renderay: where steps > 100: no picture fits; ask for less, or leave --where out\n"
    assert not (tmp_path / "y").exists()


def test_names_that_collide_are_found_before_anything_is_written(out: Path, tmp_path: Path) -> None:
    done = here("export", out, "--to", tmp_path / "x", "--name", "{id}.png")
    assert done.returncode == 2 and "more than one picture is called owls.png" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_folder_of_someone_else_is_left_alone(out: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for to in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt", out, out / "images"):
        before = state(tmp_path / "mine") | state(out)
        done = here("export", out, "--to", to)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert state(tmp_path / "mine") | state(out) == before


def test_shards_are_read_by_webdataset_and_by_datasets(out: Path, tmp_path: Path) -> None:
    to = tmp_path / "shards"
    done = here("export", out, "--to", to, "--webdataset")
    assert done.stdout == f"4 pictures, 1 shard\n{to}\n"
    first = (to / "shard-000000.tar").read_bytes()
    here("export", out, "--to", to, "--webdataset")
    assert (to / "shard-000000.tar").read_bytes() == first
    keys = ["owls-0", "owls-1", "a%2Fb-0", "%2Edot-0"]
    samples = list(webdataset.WebDataset(str(to / "shard-000000.tar"), shardshuffle=False).decode("pil"))
    assert [sample["__key__"] for sample in samples] == keys
    assert [sample["png"].size for sample in samples] == [(64, 64), (64, 64), (128, 64), (64, 64)]
    assert samples[0]["txt"] == LONG and samples[2]["json"]["id"] == "a/b"
    table = load("webdataset", data_files=str(to / "*.tar"))
    assert (
        table["__key__"] == keys and table[2]["png"].size == (128, 64) and table[2]["json"]["Category"] == "../Places"
    )


def test_shards_keep_to_their_size(out: Path, tmp_path: Path) -> None:
    done = export(out, tmp_path / "s", ExportOptions(layout="webdataset", shard_bytes=50_000))
    assert done.shards > 1
    keys = []
    for path in sorted((tmp_path / "s").glob("*.tar")):
        assert path.stat().st_size <= 50_000
        with tarfile.open(path) as tar:
            keys += [name for name in tar.getnames() if name.endswith(".png")]
    assert len(keys) == 4


def test_a_contact_sheet_alone_by_a_column(out: Path, tmp_path: Path) -> None:
    to = tmp_path / "sheet"
    done = here("export", out, "--to", to, "--contact-sheet", "--no-files", "--group-by", "Category")
    assert done.stdout == f"4 pictures, 3 contact sheet pages\n{to}\n", done.stderr
    pages = sorted(str(path.relative_to(to)) for path in to.rglob("*.jpg"))
    assert pages == [f"contact-sheet/{group}/0001.jpg" for group in ("%2E.%2FPlaces", "Animals", "none")]
    with Image.open(to / pages[1]) as page:
        assert page.size[0] == 2088 and page.convert("L").getextrema()[0] < 60  # something is drawn on it


def test_an_export_goes_to_s3_as_to_a_folder(out: Path, s3: str, tmp_path: Path) -> None:
    for options in ([], ["--webdataset"]):
        to = f"{s3}/{len(options)}"
        for _ in range(2):
            done = here("export", out, "--to", to, *options)
            assert done.returncode == 0, done.stderr
        local = tmp_path / str(len(options))
        here("export", out, "--to", local, *options)
        remote = {info.path.split("/", 2)[2]: info.path for info in locate(to).list(recursive=True) if info.is_file}
        assert set(remote) == set(state(local))
        for name, path in remote.items():
            if name != "export.json":
                assert locate(to).fs.open_input_file(path).read() == (local / name).read_bytes()


def test_an_export_comes_from_s3_as_from_a_folder(out: Path, s3: str, tmp_path: Path) -> None:
    for path in out.rglob("*"):
        if path.is_file():
            (locate(s3) / f"out/{path.relative_to(out)}").write_bytes(path.read_bytes())
    for source, to in ((f"{s3}/out", tmp_path / "a"), (out, tmp_path / "b")):
        done = here("export", source, "--to", to, "--where", "seed is not null")
        assert done.returncode == 0, done.stderr
        (to / "export.json").unlink()
    assert {name: data for name, (data, _) in state(tmp_path / "a").items()} == {
        name: data for name, (data, _) in state(tmp_path / "b").items()
    }


def test_a_full_or_unwritable_disk_is_one_line(out: Path, tmp_path: Path) -> None:
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    stopped = run("export", out, "--to", tmp_path / "full", "--webdataset", preexec_fn=small)
    assert stopped.returncode == 1, stopped.stderr
    assert stopped.stderr.startswith("renderay: export stopped: ") and "File too large" in stopped.stderr
    assert stopped.stderr.count("\n") == 1
    assert not list((tmp_path / "full").glob("*.tar"))
    assert run("export", out, "--to", tmp_path / "full", "--webdataset").returncode == 0
    refused = run("export", out, "--to", "/proc/renderay")
    assert refused.returncode == 2 and "/proc/renderay: cannot be written" in refused.stderr


def test_the_order_is_the_manifests_whatever_order_files_have(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    rows = read_table(tmp_path / "out", "images")
    schema = next(iter((out / "images").glob("*.parquet")))
    table = pa.Table.from_pylist(rows, schema=pq.read_schema(schema)).sort_by([("ordinal", "descending")])
    for path in (tmp_path / "out" / "images").glob("*.parquet"):
        path.unlink()
    pq.write_table(table.slice(0, 1), tmp_path / "out" / "images" / "a.parquet")
    pq.write_table(table.take([3, 1]), tmp_path / "out" / "images" / "b.parquet")
    pq.write_table(table.take([2]), tmp_path / "out" / "images" / "c.parquet")
    here("export", tmp_path / "out", "--to", tmp_path / "x")
    lines = [json.loads(line) for line in io.StringIO((tmp_path / "x" / "metadata.jsonl").read_text())]
    assert [(line["ordinal"], line["image_index"]) for line in lines] == [(0, 0), (0, 1), (1, 0), (2, 0)]
    for line in lines:
        assert hashlib.sha256((tmp_path / "x" / line["file_name"]).read_bytes()).hexdigest() == line["sha256"]


def test_a_job_of_errors_alone_has_nothing_to_export(tmp_path: Path) -> None:
    make_out(locate(tmp_path / "out"), errors=[error(0, "bad")])
    with pytest.raises(SpecError, match="no picture to export; `renderay report` tells"):
        export(tmp_path / "out", tmp_path / "to", ExportOptions())
    assert not (tmp_path / "to").exists()
