"""The command line as people and scripts know it: names, exit codes, what is printed where."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from jobs.cli import cli
from tests.conftest import ROOT, command, run, write_jsonl
from workers import demo

RENDER = {
    "manifest", "--model", "--out", "--attention", "--gpus", "--workers", "--batch-size", "--compile",
    "--no-compile", "--dtype", "--steps", "--width", "--height", "--guidance-scale", "--true-cfg-scale",
    "--negative-prompt", "--seed", "--format", "--column", "--limit", "--address", "--lease-seconds", "--lora",
    "--stall-timeout", "--encode-threads", "--config", "--dry-run",
    "--gpus-per-worker", "--gpu-memory", "--offload",
    "--quantize", "--allow-pickle", "--no-allow-pickle", "--trust-remote-code", "--no-trust-remote-code",
}  # fmt: skip
SURFACE = {
    "render": RENDER,
    "submit": RENDER | {"--shared", "--runtime-env", "--no-wait"},
    "check": {"manifest", "--model", "--column", "--width", "--height", "--limit"},
    "status": {"out", "--json"},
    "attention": {"--json", "--all"},
    "report": {"out", "--to", "--pictures"},
    "export": {
        "out", "--to", "--name", "--where", "--limit", "--metadata", "--webdataset", "--shard-mb", "--no-files",
        "--contact-sheet", "--group-by", "--font",
    },
    "demo": {"--out"},
    "bench": {
        "--model", "--attention", "--compile", "--size", "--batch-size", "--steps", "--rounds", "--dtype", "--format",
        "--out", "--json",
    },
    "compare": {"run", "--a", "--b", "--json", "--markdown", "--html", "--pictures"},
}  # fmt: skip


def test_commands_and_options_are_these_and_no_others() -> None:
    found = {
        name: {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        for name, command in cli.commands.items()
    }
    assert found == SURFACE
    assert {name for name, command in cli.commands.items() for option in command.params if option.multiple} == {
        "render",
        "submit",
        "check",
        "bench",
        "compare",
    }  # --column, bench's grid, the runs of a side


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a fox"}, {"prompt": "a hen", "num_images": 2}])


def refusal(*arguments: str | Path) -> str:
    """The one line on standard error of a command that must end with status 2."""
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("renderay: ")
    return done.stderr.removeprefix("renderay: ").strip()


@pytest.mark.parametrize(
    ("arguments", "command", "reason"),
    [
        (["render", "m.jsonl", "--stepz", "4"], "renderay render", "--steps"),
        (["rendr"], "renderay", "Did you mean 'render'?"),
        (["status"], "renderay status", "missing argument 'OUT'"),
        (["check", "m.jsonl", "--limit", "0"], "renderay check", "0 is not in the range x>=1"),
    ],
)
def test_what_cannot_be_understood_is_one_line(arguments: list[str], command: str, reason: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"{command}: ") and done.stderr.endswith(f"; see `{command} --help`\n")
    assert reason in done.stderr


def test_help_lists_the_commands_whole_in_the_order_of_a_job() -> None:
    said = run("--help").stdout
    listed = said.partition("Commands:\n")[2]
    assert "..." not in listed and [line.split()[0] for line in listed.splitlines()] == list(cli.commands)
    assert next(iter(cli.commands)) == "render"


@pytest.mark.parametrize("command", ["render", "check"])
def test_a_missing_or_empty_manifest_is_one_line(tmp_path: Path, command: str) -> None:
    options = ["--model", "tiny:flux.1-dev", "--out", tmp_path / "out"] if command == "render" else []
    assert refusal(command, tmp_path / "no.jsonl", *options) == f"{tmp_path}/no.jsonl: no such file or folder"
    (tmp_path / "empty.jsonl").write_text("\n")
    assert "no row" in refusal(command, tmp_path / "empty.jsonl", *options)
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_is_one_line(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    family = refusal("render", manifest, "--out", out, "--model", "tiny:flux.1-dew")
    assert family.endswith("did you mean tiny:flux.1-dev?")
    folder = refusal("render", manifest, "--out", out, "--model", tmp_path)
    assert "no model_index.json" in folder
    assert not out.exists()


def test_an_output_folder_that_cannot_be_is_one_line(manifest: Path, s3: str) -> None:
    for out in ("/proc/renderay", f"{manifest}/out", f"{s3}-that-is-not-there/out"):
        assert refusal("render", manifest, "--model", "tiny:flux.1-dev", "--out", out).startswith(out)


def test_options_that_are_missing_or_wrong_are_named_all_in_one_line(manifest: Path) -> None:
    assert refusal("render", manifest) == "model: not given; use --model; out: not given; use --out"
    wrong = refusal("render", manifest, "--model", "tiny:flux.1-dev", "--out", "o", "--gpus", "-1", "--format", "gif")
    assert wrong.startswith("gpus: '-1': ") and "; format: 'gif': " in wrong


def test_check_prints_every_bad_row_and_ends_with_3(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a"}\n{"prompt": "b", "steps": 0}\n{oops\n{"Prompt": "c"}\n')
    done = run("check", bad)
    assert done.returncode == 3 and done.stderr == "4 rows, 3 bad\n"
    first, second, third = done.stdout.splitlines()
    assert first == f"{bad}:2: steps: 0: must be at least 1"
    assert second.startswith(f"{bad}:3: row: not JSON: ")
    assert third.startswith(f"{bad}:4: prompt: missing; ")


def test_check_of_a_clean_manifest_ends_with_0(manifest: Path) -> None:
    done = run("check", manifest)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "2 rows, 0 bad\n")


def test_check_reads_columns_and_stops_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("Prompt,steps\na,1\nb,x\n")
    done = run("check", tmp_path / "m.csv", "--column", "prompt=Prompt", "--limit", "1")
    assert (done.returncode, done.stderr) == (0, "1 rows, 0 bad\n")


def test_check_with_a_model_knows_its_sizes_and_arguments(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "width": 72}, {"prompt": "b", "params": {"max_sequence_lenght": 64}}]
    done = run("check", write_jsonl(tmp_path / "m.jsonl", rows), "--model", "tiny:flux.1-dev")
    assert done.returncode == 3
    first, second = done.stdout.splitlines()
    assert ": width: 72: must be a multiple of 16; nearest: 64 and 80" in first
    assert second.endswith("did you mean max_sequence_length?")


def test_a_dry_run_tells_all_and_writes_nothing(manifest: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = run("render", manifest, "--model", "tiny:flux.1-dev", "--out", tmp_path / "out", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "rows: 2, of which 0 bad; pictures: 3" in done.stdout and "left: 2" in done.stdout
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("tiny:flux.1-dev", ["--width", "100"], "width: 100: must be a multiple of 16; nearest: 96 and 112"),
        ("random:qwen-image", ["--height", "8"], "height: 8: must be at least 16"),
        ("demo", ["--height", "256"], "height: 256: the model draws 128x128 only; leave width and height out"),
        ("tiny:flux.2-dev", ["--true-cfg-scale", "4"],
         "--true-cfg-scale 4.0: Flux2Pipeline takes no such argument; leave it out"),
        ("tiny:flux.1-dev", ["--gpus", "0", "--attention", "sdpa-cudnn"],
         "attention sdpa-cudnn: it runs on CUDA GPUs only and none is used here; use --attention auto, or one of "
         "sdpa, sdpa-flash, sdpa-math"),
        ("demo", ["--address", "127.0.0.1:1"], "address 127.0.0.1:1: nobody answers there"),
    ],
)  # fmt: skip
def test_what_the_model_or_the_machine_refuses_is_told_before_ray_starts(
    manifest: Path, tmp_path: Path, model: str, options: list[str], reason: str
) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("def init(**options):\n    raise SystemExit('Ray was started')\n")
    (tmp_path / "ray" / "exceptions.py").touch()
    there = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    render = command("render", manifest, "--model", model, "--out", tmp_path / "out", *options)
    for extra in ([], ["--dry-run"]):
        done = subprocess.run([*render, *extra], env=there, capture_output=True, text=True, timeout=100, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert done.stderr.startswith(f"renderay: {reason}")
    assert not (tmp_path / "out").exists()


def test_check_takes_sizes_for_rows_that_name_none(manifest: Path) -> None:
    said = refusal("check", manifest, "--model", "tiny:flux.1-dev", "--width", "100")
    assert said == "width: 100: must be a multiple of 16; nearest: 96 and 112"
    assert refusal("check", manifest, "--height", "0") == "height: 0: must be at least 16"


def test_a_negative_prompt_in_vain_is_told_once(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a fox"},
        {"prompt": "a hen", "negative_prompt": "grey"},
        {"prompt": "b", "negative_prompt": "c"},
    ]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    told = (
        f"renderay: warning: {manifest}:2: negative_prompt changes nothing at true_cfg_scale 1; give a true_cfg_scale "
        "above 1, like 4 (two forwards a step); said of the first such row only\n"
    )
    job = ["--model", "tiny:flux.1-dev", "--out", tmp_path / "out", "--steps", "1"]
    assert run("check", manifest, "--model", "tiny:flux.1-dev").stderr == f"{told}3 rows, 0 bad\n"
    rendered = run("render", manifest, *job, "--workers", "1")
    assert rendered.returncode == 0 and rendered.stderr.count("warning") == 1 and told in rendered.stderr
    assert any("negative_prompt changes nothing" in path.read_text() for path in (tmp_path / "out" / "_logs").iterdir())


def test_a_dry_run_looks_at_a_saved_model_and_at_every_row(manifest: Path, tmp_path: Path) -> None:
    job = ["render", manifest, "--model", demo.FOLDER, "--out", tmp_path / "out", "--dry-run"]
    assert refusal(*job, "--width", "100") == "width: 100: must be a multiple of 8; nearest: 96 and 104"
    rows = [{"prompt": "a", "width": 100}, {"prompt": "b", "params": {"no_such": 1}}, {"prompt": "c"}]
    write_jsonl(manifest, rows)
    assert "rows: 3, of which 2 bad (width: 1, params: 1); pictures: 1" in run(*job).stdout


def test_a_config_fills_options_and_the_command_line_wins(manifest: Path, tmp_path: Path) -> None:
    config = tmp_path / "job.yaml"
    config.write_text(
        f"manifest: {manifest}\nmodel: tiny:flux.1-dev\nout: {tmp_path}/out\nbatch-size: 4\nsteps: 9\n"
        "compile: false\ncolumn:\n  prompt: prompt\n"
    )
    done = run("render", "--config", config, "--steps", "3", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {"batch_size: 4", "steps: 3", "compile: False", "column: prompt=prompt"} <= set(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stepz: 4\n", "unknown option 'stepz'; known: manifest, model, out"),
        ("- steps\n", "must map option names to values"),
        ("steps: [\n", "not YAML"),
        ("steps: many\n", "steps: 'many': "),
    ],
)
def test_a_wrong_config_is_one_line(manifest: Path, tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "job.yaml").write_text(text)
    options = ["--model", "tiny:flux.1-dev", "--out", tmp_path / "out", "--config", tmp_path / "job.yaml"]
    assert reason in refusal("render", manifest, *options)


def test_text_in_brackets_is_printed_literally_and_nothing_wraps(tmp_path: Path) -> None:
    missing = tmp_path / f"[bold]'renderay[flash]' {'long ' * 40}.jsonl"
    assert f"{missing}: " in refusal("check", missing)
    bad = tmp_path / "[red]m.jsonl"
    bad.write_text('{"prompt": "a", "seed": "[/bold]", "id": "' + "[y] " * 200 + '"}\n')
    done = run("check", bad)
    assert done.returncode == 3 and done.stdout.count("\n") == 1
    assert done.stdout.startswith(f"{bad}:1: id: [y] [y] ") and "; seed: [/bold]: must be a whole number" in done.stdout


def test_status_of_a_folder_without_a_job_ends_with_2(tmp_path: Path) -> None:
    assert "no job in it" in refusal("status", tmp_path)


def test_a_column_that_no_row_has_is_refused_up_front(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("Text;style;seed\na fox;photo;7\n")
    options = ["--model", "tiny:flux.1-dev", "--out", tmp_path / "out"]
    for begun in (["render", tmp_path / "m.csv", *options], ["check", tmp_path / "m.csv"]):
        said = refusal(*begun, "--column", "prompt=Prompt")
        assert said == (
            "--column prompt=Prompt: no row has a column 'Prompt'; the manifest's columns are 'seed', 'Text', 'style'"
        )
    assert not (tmp_path / "out").exists()


def test_an_output_folder_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "out" / "_commits").mkdir(parents=True)
    (tmp_path / "out" / "job.json").write_text("{}")
    for begun in (["render", "--model", "tiny:flux.1-dev", "--out", tmp_path / "new"], ["check"]):
        assert refusal(*begun, tmp_path / "out").startswith(f"{tmp_path}/out: is the output folder of a job")
    assert not (tmp_path / "new").exists()


def test_export_of_a_folder_without_a_job_or_of_contradictory_options_ends_with_2(tmp_path: Path) -> None:
    assert "no job in it" in refusal("export", tmp_path, "--to", tmp_path / "x")
    assert "add --contact-sheet" in refusal("export", tmp_path, "--to", tmp_path / "x", "--group-by", "id")
    assert "nothing is left to write" in refusal("export", tmp_path, "--to", tmp_path / "x", "--no-files")
    assert not (tmp_path / "x").exists()
