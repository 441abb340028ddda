"""The demo: a real job, end to end, on any machine."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jobs.export.contact_sheet import FOLDER
from jobs.export.export import ExportOptions, export
from jobs.results.report.write import NAME, write_report
from jobs.spec import JobSpec, make_spec
from manifests.storage import locate

MODEL = "demo"


def demo_spec(out: str) -> JobSpec:
    """The demo's job: the manifest that ships with renderay, rendered by the model that does."""
    manifest = Path(str(files("jobs") / "demo.jsonl"))
    return make_spec(manifest=(str(manifest),), model=MODEL, out=out)


def write_demo_report(out: str) -> str:
    """The report of the rendered demo; its URI."""
    write_report(out)
    return (locate(out) / NAME).uri


def draw_demo_sheet(out: str) -> str:
    """Its pictures on a contact sheet, drawn anew; the URI."""
    folder = locate(out) / "shown"
    folder.delete_folder()
    export(out, folder.uri, ExportOptions(layout="none", contact_sheet=True))
    return (folder / FOLDER / "0001.jpg").uri
