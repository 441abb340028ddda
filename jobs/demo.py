"""The demo: a real job, end to end, on any machine."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jobs.export.contact_sheet import FOLDER
from jobs.export.export import ExportOptions, export
from jobs.results.report.write import NAME, write_report
from jobs.spec import JobSpec, make_spec
from manifests.storage import locate

MODEL = "demo"


@dataclass(frozen=True)
class Shown:
    """URIs of what there is to look at."""

    report: str
    contact_sheet: str


def demo_spec(out: str) -> JobSpec:
    """The demo's job: the manifest that ships with renderay, rendered by the model that does."""
    manifest = Path(str(files("jobs") / "demo.jsonl"))
    return make_spec(manifest=(str(manifest),), model=MODEL, out=out)


def show(out: str) -> Shown:
    """Write the report of the rendered demo, and its pictures on a contact sheet."""
    folder = locate(out)
    write_report(out)
    export(out, (folder / "export").uri, ExportOptions(layout="none", contact_sheet=True))
    return Shown((folder / NAME).uri, (folder / "export" / FOLDER / "0001.jpg").uri)
