"""The report's figures, on folders whose every number is known, and the page in every state a job can be in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.commits import run_record, strike_record
from jobs.results.opened import open_results
from jobs.results.report.build import Report, build
from jobs.results.report.page import render_page
from jobs.results.report.write import write_report
from manifests.errors import OutputError
from manifests.storage import locate
from tests.conftest import run
from tests.jobs.results.made import at, error, make_out, picture


def report_on(folder: Path, *arguments: Any, limit: int = 400, **options: Any) -> Report:
    make_out(locate(folder), *arguments, **options)
    return build(open_results(folder), limit, at(0))


def test_a_batch_is_shared_out_and_warm_up_stays_apart(tmp_path: Path) -> None:
    warm = picture(0, 10, warmup=True, denoise_ms=99e3)
    batch = [picture(k, 200, batch_size=2, lease_id="made-a", batch_id="b") for k in (1, 2)]
    found = report_on(tmp_path, [warm, *batch])
    assert found.totals.step_ms == (500.0, 500.0, 500.0)  # 5 s in 5 steps for 2 pictures
    assert found.totals.picture_ms == (5500.0, 5500.0, 5500.0)
    stages = {stage.key: stage for stage in found.stages}
    seconds = {key: stage.seconds for key, stage in stages.items()}
    assert seconds == {
        "text": 1.0, "prepare": 2.0, "denoise": 5.0, "decode": 3.0, "warmup": 105.0,
        "idle": pytest.approx(200 - 1 - 10 - 104), "image_encode": None, "queue": None,
    }  # fmt: skip
    assert sum(stage.part for stage in found.stages if stage.part) == pytest.approx(1)
    (chart,) = found.steps
    assert [row.ms for row in chart.steps] == [(500.0,) * 5] * 5 and chart.shape.batch_size == 2
    assert [(shape.batch_size, shape.pictures, shape.step_ms) for shape in found.shapes] == [
        (2, 2, (500.0,) * 3), (1, 1, None),
    ]  # fmt: skip


def test_workers_tell_leases_idle_gaps_failures_and_deaths(tmp_path: Path) -> None:
    rows = [picture(0, 10), picture(1, 21), picture(2, 50, lease_id="made-000001", worker_batch=2)]
    other = picture(3, 15, worker_id="made-w1")
    strike = strike_record([7], "killed", at(40), "made-w1")
    found = report_on(tmp_path, [*rows, other], [], [strike])
    first, second = found.workers
    # row 0 from 9 s to 20 s; the lease of rows 1 and 2 encodes both prompts first, from 19 s on
    assert first.busy == [(9.0, 31.0), (50.0, 60.0)] and first.longest_gap == (31.0, 50.0)
    assert (first.idle_s, first.pictures, first.leases) == (19.0, 3, [(9.0, 20.0), (19.0, 60.0)])
    assert second.deaths == [(40.0, "killed")] and second.busy == [(14.0, 25.0)]
    assert found.clock.total == 60.0 and found.window_s == 51.0
    assert found.throughput is not None and found.throughput.readout[38].startswith("19.0 s to 19.5 s: 0 pictures")
    assert sum(": 1 picture," in line for line in found.throughput.readout) == 4
    assert "†" in render_page(found)


def test_reference_images_are_encoded_before_each_batch(tmp_path: Path) -> None:
    references = [{"uri": "s3://b/<cat>.png", "sha256": "0"}]
    rows = [picture(k, 10 + 20 * k, lease_id="made-a", reference_images=references, width=48) for k in (0, 1)]
    found = report_on(tmp_path, rows)
    assert found.workers[0].busy == [(9.0, 20.0), (29.0, 40.0)]
    assert "1 reference image" in found.shapes[0].name and "48 × 32" in found.shapes[0].name
    assert ("reference image", "s3://b/<cat>.png") in found.pictures[0].facts
    assert "<cat>" not in render_page(found)


def test_the_clock_stands_still_between_runs(tmp_path: Path) -> None:
    runs = [run_record("a", 3, at(0)), run_record("b", 3, at(7200))]
    found = report_on(tmp_path, [picture(0, 10), picture(1, 7210)], [], runs, rows=3)
    assert found.clock.total == 40.0 and found.clock.pauses() == [(20.0, 7180.0)]
    assert found.workers[0].busy == [(9.0, 20.0), (29.0, 40.0)]
    page = render_page(found)
    assert "stopped for 1 h 59 min" in page or "stopped for 2 h" in page
    assert found.status.state == "interrupted" and "Interrupted." in page and "1 of 3" in page


def test_errors_that_differ_in_numbers_alone_are_one_cause(tmp_path: Path) -> None:
    errors = [error(k, f"{100 + k}: must be a multiple of 16", field="width") for k in range(30)]
    crash = error(30, "died", stage="crash", error_type="WorkerDied", traceback="<b>deep</b>", attempts=3, id=None)
    found = report_on(tmp_path, [], [*errors, crash])
    (many, one) = found.failures.causes
    assert (many.count, many.field, many.message, len(many.rows)) == (30, "width", "100: must be a multiple of 16", 20)
    assert (one.count, one.attempts, one.rows[0].id, one.rows[0].place) == (1, 3, None, "m.jsonl:31")
    page = render_page(found)
    assert "and 10 more" in page and "&lt;b&gt;deep&lt;/b&gt;" in page
    assert found.totals.pictures == 0 and "No picture was rendered" in page


def test_one_warm_up_picture_has_its_times_told_as_such(tmp_path: Path) -> None:
    found = report_on(tmp_path, [picture(0, warmup=True)])
    assert found.totals.only_warmup and found.totals.step_ms == (1000.0,) * 3
    assert next(stage.seconds for stage in found.stages if stage.key == "denoise") == 5.0
    assert "of warm-up only" in render_page(found)


def test_without_steps_rows_the_rest_is_told(tmp_path: Path) -> None:
    found = report_on(tmp_path, [picture(0), picture(1, 30)], with_steps=False)
    assert found.steps == [] and found.totals.step_ms == (1000.0,) * 3
    assert "No step was recorded" in render_page(found)


def test_a_job_before_its_first_picture_has_a_page(tmp_path: Path) -> None:
    page = render_page(report_on(tmp_path, rows=5))
    assert "Interrupted." in page and "No worker has rendered" in page


def test_the_sample_is_the_same_every_time_and_holds_the_slowest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [picture(k, 20.0 * k, denoise_ms=5000.0 + k, lease_id=f"made-{k // 5}") for k in range(60)]
    found = report_on(tmp_path, rows, limit=8)
    again = build(open_results(tmp_path), 8, at(1))
    assert [card.key for card in found.pictures] == [card.key for card in again.pictures]
    assert (found.sample.drawn, found.sample.pictures, found.sample.leases_drawn) == (8, 60, 12)
    assert {slow.key for slow in found.slowest} == {(k, 0) for k in range(40, 60)}
    assert {slow.key for slow in found.slowest} <= {card.key for card in found.pictures}
    assert len(found.pictures) == 8 + found.sample.slow < 60
    assert "8 of 60 pictures" in render_page(found)
    size = (tmp_path / "images" / "made-0.parquet").stat().st_size
    monkeypatch.setattr("jobs.results.report.sample.READ_BYTES", size * 5 // 2)
    few = build(open_results(tmp_path), 400, at(0))
    assert (few.sample.leases_drawn, few.sample.drawn) == (2, 10)
    assert "from 2 of 12 leases" in render_page(few)


def test_columns_are_those_of_the_manifest_and_those_that_differ(tmp_path: Path) -> None:
    extra = {"style": "string", "model": "string", "note": "string", "blob": "binary"}
    rows = [
        picture(
            k, 20.0 * k, style=f"s{k % 2}", manifest_model="x", note=f"note {k}", blob=b"0", width=32 + 16 * (k % 2)
        )
        for k in range(50)
    ]
    found = report_on(tmp_path, rows, extra=extra)
    columns = {column.name: column for column in found.columns}
    assert columns["style"].choices == [("s0", 25), ("s1", 25)] and columns["style"].own
    assert columns["note"].choices == [] and columns["manifest_model"].choices == [("x", 50)]
    assert columns["size"].choices == [("32 × 32", 25), ("48 × 32", 25)] and not columns["size"].own
    assert set(columns) == {"style", "manifest_model", "note", "size"}


def test_a_damaged_picture_costs_its_thumbnail_only(tmp_path: Path) -> None:
    found = report_on(tmp_path, [picture(0), picture(1, 20, image={"bytes": b"not a picture", "path": "x"})])
    assert [card.thumbnail is None for card in found.pictures] == [False, True]
    assert "cannot be decoded" in render_page(found)


def test_columns_named_like_ours_are_kept_apart(tmp_path: Path) -> None:
    extra = {"Seed": "string", "thumbnail": "string", "size": "string", "ID": "string"}
    row = picture(0, Seed="abc", thumbnail="t", size="large", ID="mine")
    (card,) = report_on(tmp_path, [row], extra=extra).pictures
    assert (card.seed, card.values["Seed"], card.values["size"], card.values["ID"]) == (0, "abc", "large", "mine")
    assert card.thumbnail is not None and card.thumbnail.startswith("data:image/webp")


@pytest.mark.parametrize("wrong", [None, float("nan"), float("inf")])
def test_times_that_are_no_numbers_count_as_none(tmp_path: Path, wrong: float | None) -> None:
    rows = [picture(k, 11.0 * k, peak_gib=wrong) for k in range(5)]
    rows[2] |= {"queue_ms": wrong, "decode_ms": wrong, "worker_id": None}
    make_out(locate(tmp_path), rows)
    assert "picture    11.0 s median" in write_report(str(tmp_path))
    page = (tmp_path / "report.html").read_text()
    cards = json.loads(page.partition('id="cards">')[2].partition("</script>")[0], parse_constant=pytest.fail)
    assert [card["ms"] for card in cards] == [11000, 11000, 8000, 11000, 11000]


def test_a_damaged_table_is_one_line(tmp_path: Path) -> None:
    make_out(locate(tmp_path), [picture(0)])
    (file,) = (tmp_path / "images").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(OutputError, match=r"a table cannot be read: [^\n]*made-000000"):
        write_report(str(tmp_path))


def test_the_command_writes_the_page_and_prints_a_summary(tmp_path: Path) -> None:
    make_out(locate(tmp_path / "out"), [picture(0)], [error(1, "no [bold] prompt", field="prompt")])
    done = run("report", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "failed     1 × manifest: BadRow: prompt: no [bold] prompt" in done.stdout
    assert done.stdout.endswith(f"page       {tmp_path}/out/report.html\n")
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")


def test_the_page_goes_where_it_is_wanted(tmp_path: Path) -> None:
    make_out(locate(tmp_path / "out"), [picture(0)])
    page = tmp_path / "new" / "page.html"
    assert write_report(str(tmp_path / "out"), str(page), 0).endswith(str(page))
    assert page.exists() and not (tmp_path / "out" / "report.html").exists()
    with pytest.raises(OutputError, match=r"below\.html: cannot be written: .*; give another --to"):
        write_report(str(tmp_path / "out"), str(page / "below.html"))


def test_on_object_storage_the_page_lies_beside_the_tables(s3: str) -> None:
    make_out(locate(f"{s3}/out"), [picture(0), picture(1, 20)])
    assert write_report(f"{s3}/out").endswith(f"{s3}/out/report.html")
    assert b"picture 1" in (locate(f"{s3}/out") / "report.html").read_bytes()


def test_a_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no job in it"):
        write_report(str(tmp_path))
