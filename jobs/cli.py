"""The command line put together: `renderay` and its commands, in the order in which a job needs them.

Exit status: 0 all rendered; 1 stopped before the end (130 by Ctrl-C); 2 nothing could be rendered as asked;
3 finished, some rows are in the errors table.
"""

from __future__ import annotations

import sys

import click

from jobs.commands.attention import attention
from jobs.commands.bench import bench
from jobs.commands.check import check
from jobs.commands.compare import compare
from jobs.commands.demo import demo
from jobs.commands.export import export
from jobs.commands.render import render
from jobs.commands.report import report
from jobs.commands.status import status
from jobs.commands.submit import submit
from jobs.commands.usage import usage_line
from manifests.errors import RenderayError

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


class _InOrder(click.Group):
    """Lists its commands as they were added, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings=_CONTEXT)
@click.version_option(package_name="renderay", prog_name="renderay")
def cli() -> None:
    """Render manifests of prompts on every GPU of a Ray cluster; leaves Parquet: pictures, and what each step cost."""


for _command in (render, submit, check, status, report, compare, export, attention, bench, demo):
    cli.add_command(_command)


def main() -> None:
    """The `renderay` command: a RenderayError is one line on standard error, anything else a bug with a traceback."""
    try:
        cli.main(prog_name="renderay", standalone_mode=False)
    except RenderayError as error:
        click.echo(f"renderay: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:  # `renderay` alone
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        click.echo(usage_line(error), err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("renderay: interrupted; the same command resumes", err=True)
        sys.exit(130)
