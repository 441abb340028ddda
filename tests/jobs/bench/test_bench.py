"""`renderay bench` on tiny models: what it leaves, what it refuses, and what a bad configuration costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import renderay
from jobs.bench.plan import make_plan, turn_order
from jobs.bench.run import run_bench
from jobs.results.bench_file import read_bench
from manifests.errors import SpecError
from manifests.storage import locate
from tests.conftest import read_table, run
from tests.jobs.bench.deadly import DeadlyWorker

MODEL = "tiny:flux.1-dev"
FOLDER = "tiny-flux.1-dev"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "out"
    done = run(
        "bench", "--model", MODEL, "--attention", "sdpa,sdpa-math", "--attention", "auto", "--compile", "no",
        "--steps", 2, "--rounds", 3, "--size", "64x64", "--size", "100x64", "--out", folder,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr  # 100 is no multiple of 16
    assert "must be a multiple of 16" in done.stderr and "Per step, seconds a step" in done.stdout
    return folder


def test_every_configuration_is_a_job_like_any_other(out: Path) -> None:
    results = renderay.open(out / FOLDER / "sdpa-math-eager-64x64")
    images = results.images.arrow(["id", "round", "warmup", "attention_backend", "attention_requested", "compiled"])
    assert images.sort_by("round").to_pydict() == {
        "id": [f"round-{k}-0" for k in range(4)],
        "round": [0, 1, 2, 3],
        "warmup": [True, False, False, False],
        "attention_backend": ["sdpa-math"] * 4,
        "attention_requested": ["sdpa-math"] * 4,
        "compiled": [False] * 4,
    }
    assert len(results.steps) == 8 and results.job.decisions["cpu"].attention == "sdpa-math"
    status = json.loads(run("status", out / FOLDER / "sdpa-math-eager-64x64", "--json").stdout)
    assert (status["state"], status["done"], status["left"]) == ("complete", 4, 0)


def test_the_tables_are_saved_and_compare_reads_the_same(out: Path) -> None:
    saved = json.loads((out / "bench-tables.json").read_text())
    names = [entry["name"] for entry in saved["configurations"] if entry["measured"]]
    assert names == ["sdpa-eager-64x64", "sdpa-math-eager-64x64", "auto-eager-64x64"]
    lines = json.loads(run("compare", out, "--json").stdout)
    assert [(line["a_name"], line["b_name"], line["metric"]) for line in lines] == [
        ("sdpa-eager-64x64", other, metric)
        for other in ("sdpa-math-eager-64x64", "auto-eager-64x64")
        for metric in ("picture_s", "step_ms")
    ]
    assert all(line["verdict"] in ("a faster", "b faster", "no difference shown") for line in lines)
    assert all(line["low"] < line["speedup"] < line["high"] and line["a_runs"] == 3 for line in lines)
    assert [{**line, "pictures": 0} for line in lines] == [line | {"pictures": 0} for line in saved["comparisons"]]
    text = (out / "bench.md").read_text()
    assert text.count("| tiny:flux.1-dev |") == 3 + 3 + 2 * 2 and "100x64" in text


def test_a_process_that_dies_costs_its_configuration_and_one_round(tmp_path: Path) -> None:
    plan = make_plan([MODEL], ["sdpa,sdpa-math"], [], [], compiles=(False,), steps=1, rounds=3)
    lines: list[str] = []
    file = run_bench(plan, str(tmp_path / "out"), lines.append, DeadlyWorker)
    assert [(entry.name, entry.measured, bool(entry.failure)) for entry in file.entries] == [
        ("sdpa-eager", True, False),
        ("sdpa-math-eager", False, True),
    ]
    assert read_bench(locate(tmp_path / "out")) == file
    assert any("the process died" in line for line in lines) and sum("loading" in line for line in lines) == 2
    rows = read_table(tmp_path / "out" / FOLDER / "sdpa-eager", "images")
    assert len({row["id"] for row in rows}) == len(rows) and {row["round"] for row in rows} >= {0, 2, 3}


def test_what_cannot_be_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    done = run("bench", "--model", MODEL, "--attention", "sdpa,flash", "--out", tmp_path / "out")
    assert done.returncode == 2 and done.stdout == "" and "loading" not in done.stderr
    assert "flash" in done.stderr.splitlines()[-1] and "pip install" in done.stderr
    (tmp_path / "taken").write_text("x")
    done = run("bench", "--model", MODEL, "--attention", "sdpa", "--out", tmp_path)
    assert done.returncode == 2 and "is not empty" in done.stderr


def test_the_plan_is_the_grid_and_every_round_has_an_order_of_its_own() -> None:
    plan = make_plan(["m", "m"], ["a, b", "a"], ["64x32"], [1, 2], compiles=(False, True), steps=None, rounds=5)
    names = [each.name for each in plan.configurations("m")]
    assert plan.models == ("m",) and len(names) == len(set(names)) == 8
    assert names[0] == "a-eager-64x32" and names[-1] == "b-compiled-64x32-batch2"
    orders = {tuple(turn_order(names, k)) for k in range(5)}
    assert len(orders) == 5 and all(sorted(order) == sorted(names) for order in orders)
    assert len({order[0] for order in orders}) > 1
    with pytest.raises(SpecError, match="WIDTHxHEIGHT"):
        make_plan(["m"], [], ["64"], [], compiles=(True,), steps=None, rounds=2)
