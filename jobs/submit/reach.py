"""Which of the paths that a job names its cluster can reach, and which local files have to travel with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from jobs.spec import JobSpec
from manifests.errors import ManifestError, SpecError
from manifests.files import ManifestFile, find_files
from manifests.row import Row
from manifests.rows import parse_rows
from manifests.storage import locate
from manifests.survey import survey
from manifests.validate import RowRules
from workers.lora import parse_lora
from workers.reference import parse_model

MAX_BYTES = 64 << 20  # the head node keeps what is sent in memory, and takes 100 MiB at a time, our code included
_A_URI = "a URI such as s3://"
_A_HUB_ID = "a model of the Hugging Face hub"


@dataclass(frozen=True)
class Reach:
    """A job's paths as its cluster is told of them: URIs, and absolute paths that it has too.

    In `manifest`, in the order given, a local file that it lacks stands as a ManifestFile: it has to travel.
    """

    manifest: tuple[str | ManifestFile, ...]
    out: str
    model: str
    lora: tuple[str, ...]

    @property
    def travelling(self) -> list[ManifestFile]:
        """The local files that the cluster has to be sent."""
        return [each for each in self.manifest if isinstance(each, ManifestFile)]


def resolve(spec: JobSpec, shared: Sequence[str]) -> Reach:
    """Sort the paths of a job; `shared` are folders that every machine of the cluster has at the same path.

    Raises SpecError where OUT, the model or a LoRA is a path of this machine alone; ManifestError where a manifest that
    has to travel cannot be read, holds no row, is too large, or names pictures of this machine; ModelError where the
    model is none.
    """
    folders = [_folder(text) for text in shared]
    reach = Reach(
        manifest=tuple(_manifest(spec.manifest, folders)),
        out=_out(spec.out, folders),
        model=_model(spec.model, folders),
        lora=tuple(_lora(text, folders) for text in spec.lora),
    )
    if reach.travelling:
        _require_readable(reach, spec)
        _require_small(reach.travelling)
        _require_reachable_images(reach.travelling, spec, folders)
    return reach


def _local_path(text: str) -> str | None:
    """The absolute path that a text names on this machine; None for a URI, which is not looked at here."""
    return None if "://" in text and not text.startswith("file://") else locate(text).path


def _folder(text: str) -> str:
    path = _local_path(text)
    if path is None:
        raise SpecError(f"shared {text}: must be a folder; a URI is reached without it")
    return path


def _inside(path: str, folders: Sequence[str]) -> bool:
    return any(PurePath(path).is_relative_to(folder) for folder in folders)


def _only_here(kind: str, instead: str) -> str:
    return (
        f"is a {kind} of this machine, which the cluster may not have; "
        f"give {instead}, or name a folder that all its machines have with --shared FOLDER"
    )


def _out(text: str, folders: Sequence[str]) -> str:
    path = _local_path(text)
    if path is None:
        return text
    if not _inside(path, folders):
        raise SpecError(f"out {text}: {_only_here('folder', _A_URI)}")
    return path


def _manifest(paths: Sequence[str], folders: Sequence[str]) -> Iterator[str | ManifestFile]:
    for text in paths:
        path = _local_path(text)
        if path is None:
            yield text
        elif _inside(path, folders):
            yield path
        else:
            yield from find_files([text])


def _model(text: str, folders: Sequence[str]) -> str:
    if os.path.isabs(text) and _inside(os.path.normpath(text), folders):
        return text  # it need not be on this machine
    reference = parse_model(text)
    if reference.kind != "folder":
        return text
    if not _inside(reference.name, folders):
        raise SpecError(f"model {text}: {_only_here('folder', _A_HUB_ID)}")
    return reference.name


def _lora(text: str, folders: Sequence[str]) -> str:
    reference = parse_lora(text)
    path = os.path.abspath(os.path.expanduser(reference.name))
    if not os.path.exists(path):
        return text
    if not _inside(path, folders):
        raise SpecError(f"lora {text}: {_only_here('file', _A_HUB_ID)}")
    return text if os.path.isabs(reference.name) else f"{path}:{reference.scale:g}"


def _require_readable(reach: Reach, spec: JobSpec) -> None:
    files = find_files([file.location.path for file in reach.travelling])  # none of them twice
    if len(files) == len(reach.manifest):  # else a column, or the only row, may be in the rest
        survey(files, spec.columns, spec.limit)


def _require_small(files: Sequence[ManifestFile]) -> None:
    size = sum(file.size for file in files)
    if size > MAX_BYTES:
        raise ManifestError(
            f"{files[0].location.uri}: {size / 2**20:.0f} MiB of manifest, and at most {MAX_BYTES >> 20} MiB are "
            f"sent along; give {_A_URI}, or name a folder that all machines of the cluster have with --shared FOLDER"
        )


def _require_reachable_images(files: Sequence[ManifestFile], spec: JobSpec, folders: Sequence[str]) -> None:
    for row in parse_rows(files, spec.columns, RowRules(**spec.row_defaults), spec.limit):
        for image in row.images if isinstance(row, Row) else ():
            path = _local_path(image.uri) if image.uri else None
            if path is not None and not _inside(path, folders):
                where = f"{row.source_file}:{row.source_line}"
                raise ManifestError(f"{where}: image {image.uri}: {_only_here('file', _A_URI)}")
