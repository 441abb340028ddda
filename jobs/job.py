"""One job on one output folder: its spec, its manifest, its ledger, and what was decided for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from jobs.card import write_card
from jobs.commits import read_log
from jobs.jobfile import (
    JobFile,
    describe_model,
    new_job_file,
    read_job_file,
    require_same_job,
    require_same_model,
)
from jobs.ledger import Ledger
from jobs.outfolder import require_folder, require_vacant
from jobs.planner import LeasePlanner
from jobs.rules import model_rules, watch_negatives
from jobs.sizing import LeaseSizer
from jobs.spec import JobSpec
from manifests.errors import ManifestError, OutputError
from manifests.files import ManifestFile, digest, find_files
from manifests.plan import cut_blocks
from manifests.row import BadRow, Row
from manifests.rows import parse_rows
from manifests.storage import Location, locate
from manifests.survey import survey
from workers.reference import parse_model
from workers.settings import Decisions, WorkerFacts
from workers.traits import ModelTraits

log = logging.getLogger("renderay.driver")


@dataclass
class RenderJob:
    """A job that has been looked at and may be driven.

    `rows` is how many manifest rows it takes; `is_new` says that its output folder held no job before; `warn` takes
    lines that the user should see.
    """

    spec: JobSpec
    out: Location
    run_id: str
    files: list[ManifestFile]
    file: JobFile
    ledger: Ledger
    sizer: LeaseSizer
    rows: int
    is_new: bool
    warn: Callable[[str], None] = log.warning

    @property
    def complete(self) -> bool:
        """Whether an earlier run finished every row and published it."""
        return self.ledger.ended_rows >= self.rows

    def reload(self) -> None:
        """Read the log again, once the lock is held."""
        self.ledger = read_ledger(self.out)

    def admit(self, facts: WorkerFacts) -> Decisions | None:
        """Check that a worker's model is the job's own; the decisions for its GPU model, if there are any."""
        if self.file.model:
            require_same_model(self.out, self.file, facts)
        self.sizer.swap_seconds = max(self.sizer.swap_seconds, facts.model.swap_seconds)
        return self.file.decisions.get(facts.hardware.kind)

    def adopt(self, facts: WorkerFacts, decisions: Decisions) -> None:
        """Keep a worker's decisions in job.json, the batch size of the first for every GPU model."""
        for earlier in self.file.decisions.values():
            decisions = Decisions(**asdict(decisions) | {"batch_size": earlier.batch_size})
        self.file.device = facts.hardware.device
        self.file.model = describe_model(facts)
        self.file.hardware.append(asdict(facts.hardware))
        self.file.decisions[facts.hardware.kind] = decisions
        self.file.write(self.out)
        write_card(self.out, self.file, self.ledger, self.rows)

    def sample(self, facts: WorkerFacts) -> Row | None:
        """The first row that this model can render."""
        return next((row for row in self._parse(facts.model) if isinstance(row, Row)), None)

    def rows_for(self, model: ModelTraits) -> Iterator[Row | BadRow]:
        """The manifest's rows under the model's rules; warns, once, of a negative prompt that changes nothing."""
        return watch_negatives(self._parse(model), model, self.spec.row_defaults, self.warn)

    def make_planner(self, facts: WorkerFacts, decisions: Decisions) -> LeasePlanner:
        """Read the manifest under the model's rules."""
        size = min(decisions.batch_size, facts.model.max_batch or decisions.batch_size)
        blocks = cut_blocks(self.rows_for(facts.model), size)
        return LeasePlanner(blocks, self.ledger, self.sizer, self.run_id, self.rows)

    def _parse(self, model: ModelTraits) -> Iterator[Row | BadRow]:
        rules = model_rules(model, self.spec.row_defaults)
        return parse_rows(self.files, self.spec.columns, rules, self.spec.limit)


def read_ledger(out: Location) -> Ledger:
    """What the folder's log adds up to. OutputError where a record of it is damaged."""
    try:
        return Ledger(read_log(out))
    except (KeyError, TypeError, ValueError) as error:
        raise OutputError(f"{out.uri}/_commits: a record is damaged ({error!r}); give another --out") from error


def open_job(spec: JobSpec, run_id: str) -> RenderJob:
    """Look at manifest and output folder; nothing is written.

    Raises ManifestError, ModelError, OutputError or SpecError where the job cannot be.
    """
    out = locate(spec.out)
    require_folder(out)
    parse_model(spec.model)
    files = find_files(spec.manifest)
    contents = digest(files)
    file = read_job_file(out)
    ledger = read_ledger(out)
    if file is None and ledger.opened:
        raise OutputError(
            f"{out.uri}: holds a job's log but no job.json, so nothing tells which job; give another --out"
        )
    is_new = file is None
    if file is None:
        require_vacant(out)
        file = new_job_file(spec, contents, survey(files, spec.columns), datetime.now(UTC))
    else:
        require_same_job(out, file, spec, contents)
    rows = min(file.rows, spec.limit or file.rows)
    if rows == 0:
        raise ManifestError(f"{', '.join(spec.manifest)}: no row in it; a manifest needs at least one")
    return RenderJob(spec, out, run_id, files, file, ledger, LeaseSizer(spec.lease_seconds), rows, is_new)
