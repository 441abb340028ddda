"""What a job would do, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from jobs.cluster import require_reachable
from jobs.commits import new_run_id
from jobs.job import RenderJob, open_job
from jobs.rules import require_possible
from jobs.spec import JobSpec
from manifests.row import BadRow
from workers.model import inspect_model


def describe(spec: JobSpec, warn: Callable[[str], None]) -> str:
    """The job as it would run: options, manifest, what is done already. Writes nothing, starts no worker.

    `warn` is told what a run would warn of.
    Raises what `jobs.run.render` raises before a worker loads the model's weights.
    """
    require_possible(spec)
    job = open_job(spec, new_run_id(datetime.now(UTC), "dry"))
    require_reachable(spec.address)
    job.warn = warn
    bad: Counter[str] = Counter()
    pictures = 0
    for row in job.rows_for(inspect_model(spec.model)):
        if isinstance(row, BadRow):
            bad[row.field] += 1
        else:
            pictures += row.num_images
    return "\n".join(_lines(job, bad, pictures))


def _lines(job: RenderJob, bad: Counter[str], pictures: int) -> list[str]:
    given = job.spec.model_dump(exclude_unset=True, exclude={"manifest"})
    lines = [
        f"{name}: {', '.join(map(str, value)) if isinstance(value, tuple) else value}" for name, value in given.items()
    ]
    lines.append(f"manifest: {', '.join(file.location.uri for file in job.files)}")
    lines.append(f"rows: {job.rows}, of which {sum(bad.values())} bad{_by_field(bad)}; pictures: {pictures}")
    if job.file.extra:
        lines.append(
            "columns carried through: " + ", ".join(f"{name} ({kind})" for name, kind in job.file.extra.items())
        )
    finished = job.ledger.finished(job.rows)
    lines.append(f"already in {job.out.uri}: {finished} rows; left: {job.rows - finished}")
    return lines


def _by_field(bad: Counter[str]) -> str:
    return f" ({', '.join(f'{field}: {count}' for field, count in bad.most_common())})" if bad else ""
