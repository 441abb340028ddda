"""`renderay submit`: its options, what it prints, how it exits."""

from __future__ import annotations

import secrets as token
import sys
from datetime import UTC, datetime
from typing import Any

import click

from jobs.options import merge_config, spec_options
from jobs.spec import make_spec


@click.command()
@click.argument("manifest", nargs=-1)
@spec_options("address")
@click.option("--address", metavar="URL", help="the cluster's job server, as http://HEAD:8265")
@click.option("--shared", multiple=True, metavar="FOLDER",
              help="a folder that every machine of the cluster has at this path; repeatable")  # fmt: skip
@click.option("--runtime-env", metavar="FILE.yaml", help="fields of a Ray runtime environment, such as env_vars or pip")
@click.option("--no-wait", is_flag=True, help="end once the job is submitted; its log is not shown")
@click.option("--config", metavar="FILE.yaml", help="these options by name, one a line; the command line wins")
@click.option("--dry-run", is_flag=True, help="the job looks at manifest and output from the cluster, then stops")
def submit(
    manifest: tuple[str, ...],
    shared: tuple[str, ...],
    runtime_env: str | None,
    no_wait: bool,
    config: str | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Render as a job on a running Ray cluster.

    Takes the options of `renderay render`. Prints the job's submission id and its log, and ends as the render ends;
    Ctrl-C leaves the job running. The same command again resumes.
    """
    from jobs.commits import new_run_id
    from jobs.rules import require_possible
    from jobs.submit.follow import follow
    from jobs.submit.reach import resolve
    from jobs.submit.runtime_env import read_runtime_env
    from jobs.submit.server import connect, parse_address

    spec = make_spec(**merge_config(config, {"manifest": manifest, **options}))
    url, environment = parse_address(spec.address), read_runtime_env(runtime_env)
    require_possible(spec)
    reach = resolve(spec, shared)
    server = connect(url)
    submission_id = f"renderay-{new_run_id(datetime.now(UTC), token.token_hex(4))}"
    state = "may have been submitted"
    try:
        server.send(submission_id, spec, reach, environment, dry_run)
        state = "runs on"
        click.echo(submission_id)
        if no_wait:
            click.echo(server.hints(submission_id), err=True)
            return
        sys.exit(follow(server.client, submission_id, lambda text: click.echo(text, nl=False)))
    except KeyboardInterrupt:
        click.echo(f"renderay: job {submission_id} {state}; {server.hints(submission_id)}", err=True)
        sys.exit(130)
