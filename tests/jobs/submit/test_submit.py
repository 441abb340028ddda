"""Jobs submitted to a real cluster: what they leave, how the command ends, Ctrl-C, `ray job stop`."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.submit.server import connect, parse_address
from manifests.errors import SpecError
from tests.conftest import assert_exact, read_table, run, wait_until, write_jsonl

MODEL = ["--model", "tiny:flux.1-dev", "--steps", "2", "--workers", "1"]


def client_of(cluster: str) -> Any:
    return connect(cluster).client


def ended(client: Any, submission_id: str) -> Callable[[], bool]:
    return lambda: bool(client.get_job_info(submission_id).status.is_terminal())


def test_a_job_renders_ends_as_its_render_does_and_resumes(tmp_path: Path, cluster: str) -> None:
    rows = [{"id": "fox", "prompt": "a fox"}, {"id": "hens", "prompt": "hens", "num_images": 2}]
    manifest = write_jsonl(tmp_path / "m.jsonl", [*rows, {"id": "oops", "prompt": "ramen", "width": 100}])
    out = tmp_path / "shared" / "out"
    job = ["submit", manifest, *MODEL, "--out", out, "--shared", tmp_path / "shared", "--address", cluster]
    done = run(*job)
    assert (done.returncode, done.stderr) == (3, ""), done.stdout + done.stderr
    submission_id, *log = done.stdout.splitlines()
    assert log[-2].startswith("2 of 3 rows done, 3 pictures, 3 rendered now") and log[-1] == str(out)
    assert_exact(out, {"fox": 1, "hens": 2}, failed={"oops"})
    [error] = read_table(out, "errors")
    assert error["source_file"].endswith("/sent/0/m.jsonl") and error["source_line"] == 3
    info = client_of(cluster).get_job_info(submission_id)
    assert info.driver_exit_code == 3 and info.metadata["renderay_out"] == str(out)

    again = run(*job)  # the file has travelled anew
    assert again.returncode == 3 and "nothing left to render" in again.stdout


def test_an_interrupted_command_leaves_its_job_which_holds_the_folder_and_stops_in_order(
    tmp_path: Path, cluster: str, start: Callable[..., subprocess.Popen[str]]
) -> None:
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": f"picture {k}"} for k in range(1000)])
    out = tmp_path / "out"
    job = ["submit", manifest, *MODEL, "--out", out, "--shared", tmp_path, "--address", cluster]
    first = start(*job)
    wait_until((out / "_lock" / "driver.json").exists)
    first.send_signal(signal.SIGINT)
    stdout, stderr = first.communicate(timeout=30)
    submission_id = stdout.split("\n")[0]
    assert first.returncode == 130 and stderr.count("\n") == 1
    assert stderr.startswith(f"renderay: job {submission_id} runs on; ")
    assert f"ray job stop --address {cluster} {submission_id}`" in stderr
    client = client_of(cluster)
    assert client.get_job_status(submission_id) == "RUNNING"

    second = run(*job)
    assert second.returncode == 2 and second.stdout.splitlines()[-1].startswith(f"renderay: {out}: process ")

    client.stop_job(submission_id)
    wait_until(ended(client, submission_id))
    assert client.get_job_status(submission_id) == "STOPPED"
    said = client.get_job_logs(submission_id).splitlines()[-1]
    assert said == "renderay: stopped by SIGTERM; the same command resumes"


def test_a_job_that_is_not_waited_for_prints_its_id_and_a_dry_run_only_looks(tmp_path: Path, cluster: str) -> None:
    missing = tmp_path / "not" / "there.jsonl"  # on the cluster, as far as the client knows
    options = [*MODEL, "--out", tmp_path / "out", "--shared", tmp_path, "--address", cluster.removeprefix("http://")]
    sent = run("submit", missing, *options, "--no-wait")
    assert sent.returncode == 0 and sent.stderr.startswith("log: `")
    [submission_id] = sent.stdout.splitlines()
    client = client_of(cluster)

    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a fox"}])
    looked = run("submit", manifest, *options, "--dry-run")
    assert looked.returncode == 0 and "rows: 1, of which 0 bad; pictures: 1" in looked.stdout
    assert not (tmp_path / "out").exists()

    wait_until(ended(client, submission_id))
    assert client.get_job_info(submission_id).driver_exit_code == 2
    assert client.get_job_logs(submission_id).endswith(f"renderay: {missing}: no such file or folder\n")


def test_a_wrong_token_and_a_wrong_runtime_environment_are_one_line(tmp_path: Path, cluster: str) -> None:
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a fox"}])
    job = ["submit", manifest, *MODEL, "--out", "s3://bucket/out", "--address", cluster]
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
        (["--out", "s3://b/o", "--address", "head:8265", "--runtime-env", "no.yaml"], "runtime-env no.yaml: No such"),
    ],
)
def test_what_can_be_told_here_is_told_before_anything_is_sent(tmp_path: Path, options: list[str], reason: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_API_SERVER_ADDRESS"}
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"prompt": "a fox"}])
    refused = run("submit", manifest, "--model", "tiny:flux.1-dev", *options, env=environment)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert refused.stderr.startswith(f"renderay: {reason}")


@pytest.mark.parametrize("address", ["auto", "head", "ray://head:10001", "http://head:port", "http://:8265", "head:1x"])
def test_an_address_that_is_no_url_of_a_job_server_is_refused(address: str) -> None:
    with pytest.raises(SpecError, match=f"^address {address}: must be the URL of the cluster's job server"):
        parse_address(address)


def test_an_address_needs_no_scheme_beside_a_port() -> None:
    assert parse_address("head:8265") == parse_address("http://head:8265/") == "http://head:8265"
    assert parse_address("https://cluster.example/ray") == "https://cluster.example/ray"
