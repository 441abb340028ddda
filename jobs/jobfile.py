"""OUT/job.json: what was asked, of which manifest, with which model and packages, and what was decided.

Written once, before the first lease. A later run on the same folder must agree in everything that changes a picture.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from attention import BACKENDS
from jobs.spec import FREE_ON_RESUME, JobSpec
from manifests.errors import OutputError, OutputMismatch
from manifests.files import same_manifest
from manifests.schemas import SCHEMA_VERSION
from manifests.storage import Location
from manifests.survey import Survey
from workers.settings import Decisions, WorkerFacts

NAME = "job.json"


@dataclass
class JobFile:
    """The contents of job.json. `decisions` is keyed by GPU model (`cpu` without one)."""

    spec: dict[str, Any]
    manifest: list[dict[str, Any]]
    rows: int  # of the whole manifest
    extra: dict[str, str]
    created_at: str
    schema_version: int = SCHEMA_VERSION
    device: str = ""
    model: dict[str, Any] = field(default_factory=dict)
    hardware: list[dict[str, Any]] = field(default_factory=list)
    decisions: dict[str, Decisions] = field(default_factory=dict)

    def write(self, out: Location) -> None:
        """Write it, whole."""
        (out / NAME).write_bytes(json.dumps(asdict(self), indent=2, ensure_ascii=False).encode() + b"\n")


def new_job_file(spec: JobSpec, manifest: list[dict[str, Any]], survey: Survey, now: datetime) -> JobFile:
    """A job file as far as it is known before a worker has loaded the model."""
    return JobFile(spec.model_dump(mode="json"), manifest, survey.rows, survey.extra, now.isoformat(timespec="seconds"))


def read_job_file(out: Location) -> JobFile | None:
    """What the folder holds; None where there is no job. OutputError where it cannot be read."""
    try:
        found = json.loads((out / NAME).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise OutputError(f"{out.uri}/{NAME}: unreadable ({error}); give another --out") from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != SCHEMA_VERSION:
        raise OutputMismatch(
            f"{out.uri}: schema_version is {version} there and {SCHEMA_VERSION} here; "
            f"use the renderay that wrote it, or another --out"
        )
    try:
        if missing := {"model", "format"} - found["spec"].keys():
            raise KeyError(f"spec.{min(missing)}")
        found["decisions"] = {kind: Decisions(**values) for kind, values in found["decisions"].items()}
        return JobFile(**found)
    except (KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"{out.uri}/{NAME}: damaged ({error}); give another --out") from error


def require_same_job(out: Location, old: JobFile, spec: JobSpec, manifest: list[dict[str, Any]]) -> None:
    """Refuse an output folder whose job would draw other pictures; OutputMismatch names the first field."""
    new = spec.model_dump(mode="json")
    for name, value in new.items():
        if name not in FREE_ON_RESUME and old.spec.get(name) != value:
            raise _mismatch(out, name, old.spec.get(name), value)
    if not same_manifest(old.manifest, manifest):
        was = ", ".join(file["uri"] for file in old.manifest)
        raise _mismatch(out, "manifest", was, f"{', '.join(spec.manifest)} (other files or other contents)")


def require_same_model(out: Location, old: JobFile, facts: WorkerFacts) -> None:
    """Refuse a model, device or package version other than what the folder's pictures came from."""
    model = facts.model
    if old.device != facts.hardware.device:
        raise _mismatch(out, "device", old.device, facts.hardware.device)
    for name in ("revision", "fingerprint", "pipeline", "dtype"):
        if old.model[name] != getattr(model, name):
            raise _mismatch(out, f"model {name}", old.model[name], getattr(model, name))
    decided = [BACKENDS[each.attention] for each in old.decisions.values() if each.attention in BACKENDS]
    libraries = sorted({backend.package for backend in decided if backend.package})
    for package in ("torch", "diffusers", "transformers", *libraries):
        before, now = old.model["versions"].get(package), model.versions.get(package)
        if before != now:
            raise _mismatch(out, f"version of {package}", before, now)


def describe_model(facts: WorkerFacts) -> dict[str, Any]:
    """The model's facts as JSON."""
    found = asdict(facts.model)
    found |= {"parameters": sorted(facts.model.parameters), "columns": sorted(facts.model.columns)}
    found |= {"quantized": list(facts.model.quantized), "sizes": [list(size) for size in facts.model.sizes]}
    return found


def _mismatch(out: Location, name: str, old: Any, new: Any) -> OutputMismatch:
    return OutputMismatch(
        f"{out.uri}: {name} is {_said(old)} there and {_said(new)} now, which would mix two jobs' pictures; "
        f"give another --out, or the same {name}"
    )


def _said(value: Any) -> str:
    return "not given" if value is None else repr(value)
