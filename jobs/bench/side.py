"""One configuration's side of a bench: a job's output folder, filled turn by turn instead of lease by lease."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from jobs.bench.plan import BenchPlan, Configuration
from jobs.commits import CommitLog, end_record, lease_record, run_record
from jobs.job import open_job
from jobs.publish import Publisher, clear_staging
from jobs.rules import model_rules
from jobs.spec import make_spec
from manifests.errors import SpecError
from manifests.row import Row
from manifests.rows import parse_rows
from manifests.storage import Location
from workers.settings import Decisions, LeaseResult, WorkerFacts, WorkerSettings

# one prompt for all: another length would be another shape, compiled anew in the middle of the rounds
PROMPT = "a lighthouse on a cliff at dusk, waves below, a paper boat in the foreground, watercolour"
_PHOTO = "photo.png"


class BenchSide:
    """Opens a configuration's folder and commits what its turns leave; the rows come from the model's `rows_file`."""

    def __init__(
        self, configuration: Configuration, plan: BenchPlan, out: Location, run_id: str, rows_file: Location
    ) -> None:
        width, height = configuration.size or (None, None)
        self.configuration = configuration
        self._run_id = run_id
        self._spec = make_spec(
            manifest=(rows_file.uri,),
            model=configuration.model,
            out=(out / configuration.folder).uri,
            attention=configuration.attention,
            compile=configuration.compile,
            batch_size=configuration.batch_size,
            dtype=plan.dtype,
            steps=plan.steps,
            width=width,
            height=height,
            format=plan.format,
        )
        self._finished = 0  # rows
        self._job = open_job(self._spec, run_id)
        self._commits = CommitLog(self._job.out, run_id)
        self._publisher = Publisher(self._job.out)
        (self._job.out / "_staging").make_folder()

    def settings(self, base: WorkerSettings) -> WorkerSettings:
        """What a worker must know, given what it needed to load the model."""
        own = {"attention": self._spec.attention, "compile": bool(self._spec.compile)}
        own |= {"batch_size": self._spec.batch_size, "out": self._job.out.uri, "extra": self._job.file.extra}
        return WorkerSettings(**{**base.__dict__, **own})

    def rows(self, facts: WorkerFacts) -> list[list[Row]]:
        """The rows of each round. SpecError where the model cannot render them."""
        rows: list[Row] = []
        for row in parse_rows(self._job.files, self._spec.columns, model_rules(facts.model, self._spec.row_defaults)):
            if not isinstance(row, Row):
                raise SpecError(f"{row.field}: {row.message}")
            rows.append(row)
        size = self.configuration.batch_size
        return [rows[k : k + size] for k in range(0, len(rows), size)]

    def adopt(self, facts: WorkerFacts, decisions: Decisions) -> None:
        """Write job.json, and begin the log."""
        if not self._job.file.decisions:
            self._job.adopt(facts, decisions)
            self._commits.append([run_record(self._run_id, self._job.rows, datetime.now(UTC))])

    def commit(self, results: Sequence[LeaseResult]) -> None:
        """Log and publish the staged files of some turns."""
        now = datetime.now(UTC)
        self._finished += sum(len(result.done) + len(result.failed) for result in results)
        self._commits.append([lease_record(result, now) for result in results])
        self._publisher.publish([file for result in results for file in result.files])

    def end(self) -> None:
        """Nothing follows."""
        if self._finished == self._job.rows:
            self._commits.append([end_record(self._job.rows, datetime.now(UTC))])
        clear_staging(self._job.out)
        self._publisher.close()
        self._commits.close()


def write_rows(folder: Location, rounds: int, batch_size: int, images: int) -> Location:
    """The manifest that every configuration of a model renders: a batch for warming up, then one for each round.

    `images` is how many reference images the model needs.
    """
    folder.make_folder()
    own: dict[str, Any] = {"images": [_PHOTO] * images} if images else {}
    if images:
        (folder / _PHOTO).write_bytes(_photo())
    lines = [
        json.dumps(
            {"id": f"round-{number}-{k}", "prompt": PROMPT, "seed": number * batch_size + k, "round": number} | own
        )
        for number in range(rounds + 1)
        for k in range(batch_size)
    ]
    file = folder / f"rows-batch{batch_size}.jsonl"
    file.write_bytes("".join(line + "\n" for line in lines).encode())
    return file


def _photo() -> bytes:
    """A picture for models that edit: gradients, so that nothing about it is blank."""
    import numpy as np
    from PIL import Image

    x, y = np.meshgrid(np.linspace(0, 255, 1024), np.linspace(0, 255, 1024))
    buffer = BytesIO()
    Image.fromarray(np.stack([x, y, (x + y) / 2], axis=2).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
