"""Jobs submitted to a real cluster: what they leave, how the command ends, Ctrl-C, `ray job stop`."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import assert_exact, read_table, run, wait_until, write_jsonl
from tests.jobs.submit.conftest import Cluster

MODEL = ["--model", "tiny:flux.1-dev", "--steps", "2", "--workers", "1"]


def test_a_job_renders_ends_as_its_render_does_and_resumes(tmp_path: Path, cluster: Cluster) -> None:
    rows = [{"id": "fox", "prompt": "a fox"}, {"id": "hens", "prompt": "hens", "num_images": 2}]
    manifest = write_jsonl(tmp_path / "m.jsonl", [*rows, {"id": "oops", "prompt": "ramen", "width": 100}])
    out = tmp_path / "shared" / "out"
    job = ["submit", manifest, *MODEL, "--out", out, "--shared", tmp_path / "shared", "--address", cluster.url]
    done = run(*job)
    assert (done.returncode, done.stderr) == (3, ""), done.stdout + done.stderr
    submission_id, *log = done.stdout.splitlines()
    assert log[-2].startswith("2 of 3 rows done, 3 pictures, 3 rendered now") and log[-1] == str(out)
    assert_exact(out, {"fox": 1, "hens": 2}, failed={"oops"})
    [error] = read_table(out, "errors")
    assert error["source_file"].endswith("/sent/0/m.jsonl") and error["source_line"] == 3
    job_there = cluster.job(submission_id)
    assert job_there["driver_exit_code"] == 3 and job_there["metadata"]["renderay_out"] == str(out)

    again = run(*job)  # the file has travelled anew
    assert again.returncode == 3 and "nothing left to render" in again.stdout


def test_an_interrupted_command_leaves_its_job_which_holds_the_folder_and_stops_in_order(
    tmp_path: Path, cluster: Cluster, start: Callable[..., subprocess.Popen[str]]
) -> None:
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": f"picture {k}"} for k in range(1000)])
    out = tmp_path / "out"
    job = ["submit", manifest, *MODEL, "--out", out, "--shared", tmp_path, "--address", cluster.url]
    first = start(*job)
    wait_until((out / "_lock" / "driver.json").exists)
    first.send_signal(signal.SIGINT)
    stdout, stderr = first.communicate(timeout=30)
    submission_id = stdout.split("\n")[0]
    assert first.returncode == 130 and stderr.count("\n") == 1
    assert stderr.startswith(f"renderay: job {submission_id} runs on; ")
    assert f"stop: `RAY_AUTH_MODE=token ray job stop --address {cluster.url} {submission_id}`" in stderr
    assert cluster.job(submission_id)["status"] == "RUNNING"

    second = run(*job)
    assert second.returncode == 2 and second.stdout.splitlines()[-1].startswith(f"renderay: {out}: process ")

    cluster.ask(f"{submission_id}/stop", "POST")
    wait_until(cluster.ended(submission_id))
    assert cluster.job(submission_id)["status"] == "STOPPED"
    said = cluster.log(submission_id).splitlines()[-1]
    assert said == "renderay: stopped by SIGTERM; the same command resumes"


def test_a_job_that_is_not_waited_for_prints_its_id_and_a_dry_run_only_looks(
    tmp_path: Path, cluster: Cluster, s3: str
) -> None:
    missing = tmp_path / "not" / "there.jsonl"  # on the cluster, as far as the client knows
    address = ["--shared", tmp_path, "--address", cluster.url.removeprefix("http://")]
    sent = run("submit", missing, *MODEL, "--out", tmp_path / "out", *address, "--no-wait")
    assert sent.returncode == 0 and sent.stderr.startswith("log: `")
    [submission_id] = sent.stdout.splitlines()

    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a fox"}])
    keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    (tmp_path / "env.yaml").write_text(json.dumps({"env_vars": keys}))
    looked = run(
        "submit", manifest, *MODEL, "--out", f"{s3}/out", *address, "--runtime-env", tmp_path / "env.yaml", "--dry-run"
    )
    assert looked.returncode == 0, looked.stdout
    assert looked.stdout.splitlines()[-1] == f"already in {s3}/out: 0 rows; left: 1"

    wait_until(cluster.ended(submission_id))
    assert cluster.job(submission_id)["driver_exit_code"] == 2
    assert cluster.log(submission_id).endswith(f"renderay: {missing}: no such file or folder\n")


def test_a_wrong_token_and_a_wrong_runtime_environment_are_one_line(tmp_path: Path, cluster: Cluster) -> None:
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a fox"}])
    job = ["submit", manifest, *MODEL, "--out", "s3://bucket/out", "--address", cluster.url]
    refused = run(*job, env=os.environ | {"RAY_AUTH_TOKEN": "another"})
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "the cluster wants a token, and none it knows is here" in refused.stderr
    (tmp_path / "env.yaml").write_text("env_vars: {A: 1}\npip: {}\n")
    refused = run(*job, "--runtime-env", tmp_path / "env.yaml")
    assert refused.returncode == 2 and refused.stderr.startswith("renderay: runtime-env: ")
    assert refused.stderr.count("\n") == 1


def test_an_address_where_no_job_server_answers_is_one_line(tmp_path: Path) -> None:
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a fox"}])
    job = ["submit", manifest, *MODEL, "--out", "s3://bucket/out", "--address"]
    nobody = run(*job, "http://127.0.0.1:9")
    assert nobody.returncode == 2 and nobody.stderr.count("\n") == 1
    assert nobody.stderr.startswith("renderay: address http://127.0.0.1:9: nobody answers there (")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        other = run(*job, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert other.returncode == 2 and other.stderr.count("\n") == 1
    assert "what answers there is no Ray job server" in other.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--out", "s3://b/o"], "address: not given; use --address with the URL"),
        (["--out", "o", "--address", "head:8265"], "out o: is a folder of this machine"),
        (["--out", "s3://b/o", "--address", "head:8265", "--steps", "0"], "steps: 0: "),
        (["--out", "s3://b/o", "--address", "head:8265", "--width", "33"], "width: 33: must be a multiple"),
        (["--out", "s3://b/o", "--address", "head:8265", "--runtime-env", "no.yaml"], "runtime-env no.yaml: No such"),
    ],
)
def test_what_can_be_told_here_is_told_before_anything_is_sent(tmp_path: Path, options: list[str], reason: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_API_SERVER_ADDRESS"}
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a fox"}])
    refused = run("submit", manifest, "--model", "tiny:flux.1-dev", *options, env=environment)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert refused.stderr.startswith(f"renderay: {reason}")
