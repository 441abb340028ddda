"""The folder that travels with a submitted job: renderay's own code, manifests of this machine, the options.

Ray unpacks it on every machine that works on the job and runs the job inside it, so cluster and client run the same
renderay. The packages that renderay needs do not travel: `requirements.txt` names them, for the cluster to be checked.
"""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import yaml

import attention
import jobs
import manifests
import workers
from jobs.spec import JobSpec
from jobs.submit.entrypoint import REQUIREMENTS
from jobs.submit.reach import Reach
from manifests.files import ManifestFile

OPTIONS = "job.yaml"
_SENT = "sent"


def write_bundle(folder: Path, spec: JobSpec, reach: Reach) -> None:
    """Fill an empty folder with what the job needs."""
    for package in (attention, jobs, manifests, workers):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    paths = [_send(folder, n, each) for n, each in enumerate(reach.manifest)]
    (folder / OPTIONS).write_text(_options(spec, reach, paths), encoding="utf-8")
    (folder / REQUIREMENTS).write_text("\n".join(_requirements()) + "\n", encoding="utf-8")


def _send(folder: Path, n: int, manifest: str | ManifestFile) -> str:
    """Where the job finds the n-th manifest path. A file keeps its name, by which a resumed job knows it again."""
    if isinstance(manifest, str):
        return manifest
    target = folder / _SENT / str(n) / manifest.location.name
    target.parent.mkdir(parents=True)
    shutil.copyfile(manifest.location.path, target)
    return target.relative_to(folder).as_posix()


def _options(spec: JobSpec, reach: Reach, manifest: list[str]) -> str:
    options = spec.model_dump(mode="json", exclude_unset=True)
    options |= {"manifest": manifest, "model": reach.model, "out": reach.out}
    options |= {"address": "auto"}  # of the cluster that it runs on
    if reach.lora:
        options["lora"] = list(reach.lora)
    return yaml.safe_dump(options, sort_keys=False, allow_unicode=True)


def _requirements() -> list[str]:
    """What this renderay asks of the packages beside it; nothing where it was never installed."""
    try:
        return [text for text in metadata.requires("renderay") or [] if "extra ==" not in text]
    except metadata.PackageNotFoundError:
        return []
