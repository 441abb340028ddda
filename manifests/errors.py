"""Every error renderay raises on purpose, and the exit status it ends a command with.

    RenderayError               one line: value, limit, remedy
    ├── ManifestError           a manifest cannot be found or read, or is empty          exit 2
    ├── SpecError               an option, a config key or their combination is wrong    exit 2
    ├── AttentionError          the attention backend asked for cannot be used here      exit 2
    ├── ModelError              the model cannot be found or loaded                      exit 2
    ├── OutputError             OUT cannot be used
    │   ├── OutputMismatch      OUT holds another job: a field that changes pictures     exit 2
    │   └── OutputBusy          another driver works on OUT                              exit 2
    └── JobStopped              the job ended before its last row; run it again          exit 1

A row's own fault is never raised: it becomes a `manifests.row.BadRow`, then a row of the errors table.
"""

from __future__ import annotations


class RenderayError(Exception):
    """Base of all errors a user can meet; `str(error)` is the one line to show."""

    exit_code = 2


class ManifestError(RenderayError):
    """A manifest cannot be found or read, or holds no row."""


class SpecError(RenderayError):
    """An option, a key of the config file, or a combination of them is wrong."""


class AttentionError(RenderayError):
    """The attention backend that was asked for by name cannot be used on this machine."""


class ModelError(RenderayError):
    """The model cannot be found, read or loaded."""


class OutputError(RenderayError):
    """The output folder cannot be used."""


class OutputMismatch(OutputError):
    """The output folder holds a job whose pictures would differ from those asked for now."""


class OutputBusy(OutputError):
    """Another driver works on the output folder."""


class JobStopped(RenderayError):
    """The job ended before its last row; the same command resumes it."""

    exit_code = 1


def named_line(error: BaseException, limit: int) -> str:
    """An error's type and its text on one line, at most `limit` characters of the text; the type alone without one."""
    text = " ".join(str(error).split())[:limit]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def one_line(error: BaseException, limit: int | None = None) -> str:
    """An error's text without line breaks, at most `limit` characters of it; its type's name where it has none."""
    return " ".join(str(error).split())[:limit] or type(error).__name__
