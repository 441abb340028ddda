"""A command line that cannot be understood: one line, with the command's help as the remedy."""

from __future__ import annotations

import click


def usage_line(error: click.ClickException) -> str:
    """`COMMAND: what is wrong; see COMMAND --help`, without the prefix where the program is not known."""
    text = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return f"renderay: {text}"
    return f"{context.command_path}: {text[:1].lower()}{text[1:].rstrip('.')}; see `{context.command_path} --help`"
