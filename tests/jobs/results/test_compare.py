"""`renderay compare` on made-up tables with known times, and on pictures that are known to differ."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.fs as pafs
import pytest
from click.testing import CliRunner
from PIL import Image

from jobs.cli import cli
from manifests.errors import OutputError, RenderayError
from manifests.storage import locate
from tests.conftest import run
from tests.jobs.results.made_up import batch_times, write_run


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def compared(*arguments: str | Path) -> list[dict[str, Any]]:
    return json.loads(printed(*arguments, "--json"))


def printed(*arguments: str | Path) -> str:
    """What `renderay compare` prints, run in this process."""
    done = CliRunner().invoke(cli, ["compare", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def workers(rng: np.random.Generator, level: float = 1.0, count: int = 2) -> list[np.ndarray]:
    return [batch_times(rng, level=level * np.exp(rng.normal(0, 0.01))) for _ in range(count)]


def test_one_run_a_side_gets_figures_and_no_verdict(tmp_path: Path, rng: np.random.Generator) -> None:
    a = write_run(tmp_path / "a", workers(rng, 1.5))
    b = write_run(tmp_path / "b", workers(rng), batch_size=1)
    lines = compared(a, b)
    assert [(line["model"], line["metric"]) for line in lines] == [
        ("tiny:flux.1-dev", "picture_s"),
        ("tiny:flux.1-dev", "step_ms"),
    ]
    step = lines[1]
    assert step["verdict"] is None and step["note"] == "between-run noise unknown"
    assert step["speedup"] == pytest.approx(step["a"] / step["b"]) == pytest.approx(1.5, rel=0.05)
    assert step["low"] < step["speedup"] < step["high"]
    assert step["a_batches"] == 48  # the slow first batch of each worker is apart
    picture = lines[0]
    assert picture["b"] == pytest.approx((4 * step["b"] + 4) / 1e3, rel=1e-3)
    text = printed(a, b)
    assert "between-run noise unknown" in text and "faster" not in text.replace("which is faster", "")
    assert "2 warm-up batches apart" in text


def test_pictures_of_a_batch_are_one_measurement(tmp_path: Path, rng: np.random.Generator) -> None:
    times = [workers(rng), workers(rng)]
    ones = [write_run(tmp_path / f"one-{k}", each) for k, each in enumerate(times)]
    eights = [write_run(tmp_path / f"eight-{k}", each, batch_size=8) for k, each in enumerate(times)]
    one, eight = compared(*ones)[1], compared(*eights)[1]
    for name in ("a", "b", "low", "high", "a_batches"):
        assert one[name] == pytest.approx(eight[name])
    assert compared(*eights)[0]["a"] == pytest.approx(compared(*ones)[0]["a"] / 8)


def test_several_runs_a_side_find_five_percent_and_claim_nothing_of_equals(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    def several(name: str, level: float) -> list[str]:
        levels = level * np.exp(rng.normal(0, 0.01, 6))
        return [write_run(tmp_path / f"{name}{k}", workers(rng, each)) for k, each in enumerate(levels)]

    a, b, equal = several("a", 1.05), several("b", 1.0), several("c", 1.0)

    def verdicts(left: list[str], right: list[str]) -> set[str]:
        flags = [
            *(part for each in left for part in ("--a", each)),
            *(part for each in right for part in ("--b", each)),
        ]
        return {line["verdict"] for line in compared(*flags)}

    assert verdicts(a, b) == {"b faster"} and verdicts(b, a) == {"a faster"}
    assert verdicts(b, equal) == {"no difference shown"}


def test_rounds_taken_in_turns_are_paired(tmp_path: Path, rng: np.random.Generator) -> None:
    shared = np.exp(rng.normal(0, 0.07, 6))
    sides = [
        write_run(
            tmp_path / name,
            [30 * level * shared * np.exp(rng.normal(0, 0.01, 6))],
            round_of=range(1, 7),
            worker_ids=["bench-w0"],
        )
        for name, level in (("a", 1.05), ("b", 1.0), ("c", 1.0))
    ]
    assert {line["verdict"] for line in compared(*sides[:2])} == {"b faster"}
    assert {line["verdict"] for line in compared(*sides[1:])} == {"no difference shown"}


def test_what_makes_runs_hard_to_compare_is_said(tmp_path: Path, rng: np.random.Generator) -> None:
    a = write_run(tmp_path / "a", workers(rng), versions={"torch": "2.11", "diffusers": "0.42"})
    b = write_run(
        tmp_path / "b", workers(rng), versions={"torch": "2.13", "diffusers": "0.42"}, steps=8, gpu="NVIDIA H100",
        negative_prompt=" ", width=128, compiled=True,
    )  # fmt: skip
    warnings = compared(a, b)[0]["warnings"]
    assert warnings == [
        "GPU: NVIDIA H200 on a, NVIDIA H100 on b",
        "width: 64 on a, 128 on b",
        "steps: 4 on a, 8 on b",
        "compilation: no on a, yes on b",
        "CFG (a negative prompt): no on a, yes on b",
        "version of torch: 2.11 on a, 2.13 on b",
    ]
    assert "warning: a against b: steps: 4 on a, 8 on b" in printed(a, b)
    assert (
        compared(a, write_run(tmp_path / "c", workers(rng), versions={"torch": "2.11", "diffusers": "0.42"}))[0][
            "warnings"
        ]
        == []
    )


def picture(level: int) -> bytes:
    buffer = BytesIO()
    pixels = np.tile(np.arange(0, 128, 2, dtype=np.uint8)[:, None, None], (1, 64, 3))
    Image.fromarray(pixels + np.uint8(level)).save(buffer, "PNG")
    return buffer.getvalue()


def test_pairs_of_pictures_are_measured_and_shown(tmp_path: Path, rng: np.random.Generator) -> None:
    a, b, c = (
        write_run(tmp_path / name, workers(rng), png=picture(level)) for name, level in (("a", 0), ("b", 8), ("c", 0))
    )
    pairs = compared(a, b, "--pictures", "3")[0]["pictures"]
    assert len(pairs) == 3 and all(pair["same_request"] for pair in pairs)
    assert all(pair["psnr"] == pytest.approx(20 * np.log10(255 / 8)) for pair in pairs)
    assert all(0.8 < pair["ssim"] < 1 and not pair["identical"] for pair in pairs)
    assert compared(a, c, "--pictures", "1")[0]["pictures"][0]["identical"]
    page, text = tmp_path / "page.html", tmp_path / "page.md"
    printed(a, b, "--html", page, "--markdown", text)
    html = page.read_text()
    assert (
        html.count("data:image/webp;base64,") == 24
        and not re.search("https?:", html)
        and "between-run noise unknown" in html
    )
    assert "| tiny:flux.1-dev | 64x64 |" in text.read_text()


def test_times_that_are_none_are_left_out_and_told(tmp_path: Path, rng: np.random.Generator) -> None:
    times = batch_times(rng)
    a = write_run(tmp_path / "a", [times])
    holes = times.copy()
    holes[[2, 5, 7, 9]] = np.nan, np.inf, 0, -1
    b = write_run(tmp_path / "b", [holes], worker_id=None)
    for line in compared(a, b):
        assert (line["a_batches"], line["b_batches"]) == (24, 20) and np.isfinite(line["speedup"])
        assert line["warnings"] == [f"times: missing or not above zero in 4 batches of {b}, which are left out"]
    assert compared(a, b)[1]["b"] == pytest.approx(np.median(np.delete(holes, [2, 5, 7, 9])))
    assert printed(a, b, "--html", tmp_path / "page.html", "--pictures", "0")
    with pytest.raises(OutputError, match=r"picture 0 of 'r0-0-0' cannot be decoded; --pictures 0"):
        printed(a, b, "--pictures", "1")


def test_batches_of_other_sizes_and_the_same_run_are_warned_of(tmp_path: Path, rng: np.random.Generator) -> None:
    a, b = write_run(tmp_path / "a", workers(rng)), write_run(tmp_path / "b", workers(rng), batch_size=4)
    assert compared(a, b)[0]["warnings"] == [
        "batch size: 1 on a, 4 on b; a step is of a whole batch, so compare pictures"
    ]
    assert compared("--a", a, "--b", a)[0]["warnings"] == [f"runs: {a} is on both sides"]


def test_as_little_as_possible_is_given_up_where_sides_share_no_group(tmp_path: Path, rng: np.random.Generator) -> None:
    a = write_run(tmp_path / "a", workers(rng))
    fields = ("width", "height", "steps", "batch_size")
    for name, given_up in (("steps", "steps"), ("width", "width"), ("model", "model")):
        b = write_run(tmp_path / name, workers(rng), **{name: "x/y" if name == "model" else 8})
        line = compared(a, b)[0]
        assert [field for field in ("model", *fields) if line[field] is None] == [given_up]
    assert " several " in printed(a, b)


def test_a_bucket_is_read_as_a_folder(tmp_path: Path, rng: np.random.Generator, s3: str) -> None:
    a, b = (Path(write_run(tmp_path / name, workers(rng))) for name in "ab")
    remote, _ = pafs.FileSystem.from_uri(s3)
    pafs.copy_files(str(b), f"{s3.removeprefix('s3://')}/b", destination_filesystem=remote)
    printed(a, b, "--html", f"{s3}/pages/page.html", "--pictures", "0")
    assert (locate(s3) / "pages" / "page.html").read_bytes().startswith(b"<!doctype html>")
    skipped = {"b_runs_at"}
    here, there = compared(a, b), compared(a, f"{s3}/b")
    assert [{k: v for k, v in line.items() if k not in skipped} for line in here] == [
        {k: v for k, v in line.items() if k not in skipped} for line in there
    ]


def test_a_damaged_table_ends_in_one_line(tmp_path: Path, rng: np.random.Generator) -> None:
    a, b = write_run(tmp_path / "a", workers(rng)), write_run(tmp_path / "b", workers(rng))
    part = Path(b, "steps", "part.parquet")
    part.write_bytes(part.read_bytes()[:500])
    with pytest.raises(OutputError, match=r"a table cannot be read: [^\n]*part\.parquet"):
        printed(a, b)


def test_wrong_uses_end_in_one_line(tmp_path: Path, rng: np.random.Generator) -> None:
    a = write_run(tmp_path / "a", workers(rng))
    b = write_run(tmp_path / "b", workers(rng))
    cold = write_run(tmp_path / "cold", workers(rng), warmup=True)
    for arguments, why in [
        ((a,), "needs two runs"),
        ((a, "--a", a), "one way or the other"),
        (("--a", a), "--a without --b"),
        (("--a", a, "--a", a, "--b", a), "given twice"),
        ((a, cold), "nothing but warm-up batches"),
        ((a, str(tmp_path / "none")), "no job in it"),
        ((a, a), "given twice"),
        ((a, b, "--markdown", str(Path(a) / "job.json" / "x.md")), "cannot be written"),
    ]:
        with pytest.raises(RenderayError, match=re.escape(why)) as raised:
            printed(*arguments)
        assert raised.value.exit_code == 2 and "\n" not in str(raised.value)
    done = run("compare", a)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("renderay: compare: needs two runs")
