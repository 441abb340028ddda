"""Run a job from beginning to end: look, lock, roll forward, drive, end."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets as token
import socket
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from attention import require_usable
from jobs import cluster
from jobs.card import write_card
from jobs.commits import CommitLog, end_record, new_run_id, run_record
from jobs.driver import Driver
from jobs.job import RenderJob, open_job
from jobs.lock import BEAT_SECONDS, DriverLock, lock_for
from jobs.outfolder import absent_folders, clear_new_job, remove_folders, unwritable
from jobs.pool import WorkerPool
from jobs.progress import Display, Progress, snapshot
from jobs.publish import Publisher, clear_staging, is_intact, roll_forward
from jobs.rules import require_possible
from jobs.sigterm import terminable
from jobs.spec import JobSpec
from jobs.start_up import StartUp
from manifests.errors import AttentionError, JobStopped, ManifestError, ModelError, SpecError, one_line
from workers.logs import log_to
from workers.pipelines import LoadOptions
from workers.settings import WorkerSettings

_REFUSALS = (AttentionError, ManifestError, ModelError, SpecError)  # of what was asked for, before anything is rendered

log = logging.getLogger("renderay.driver")


@dataclass(frozen=True)
class Summary:
    """How a run ended. Counts are over the whole job, `rendered` is this run's pictures; `seconds` is wall time;
    `was_complete` says that an earlier run had finished everything."""

    out: str
    rows: int
    done: int
    failed: int
    pictures: int
    rendered: int
    seconds: float
    was_complete: bool = False

    @property
    def exit_code(self) -> int:
        """0 where every row was rendered, 3 where some are in the errors table."""
        return 3 if self.failed else 0


def render(spec: JobSpec, display: Display | None = None, actor_class: Any = None) -> Summary:
    """Render a job, or what is left of it.

    `display` is told of progress. `actor_class` replaces the worker actor (benchmarks pass one that does nothing).
    Raises a RenderayError, one line, where the job cannot start or has to stop; KeyboardInterrupt passes.
    """
    began = time.monotonic()
    run_id = new_run_id(datetime.now(UTC), token.token_hex(2))
    require_possible(spec)
    job = open_job(spec, run_id)
    if job.complete and is_intact(job.out):
        return replace(_summary(job, job.ledger.pictures, began), was_complete=True)
    cluster.require_reachable(job.spec.address)
    absent = absent_folders(job.out)
    try:
        lock = lock_for(job.out, run_id)
        lock.acquire()
        log_file = log_to(job.out / "_logs" / f"{run_id}-driver.log")
    except OSError as error:
        if job.ledger.rows is not None:  # it could be written once
            raise _stopped(job, error) from error
        raise unwritable(job.out, error) from error
    commits = CommitLog(job.out, run_id)
    refusal: Exception | None = None
    try:
        roll_forward(job.out, commits, datetime.now(UTC))
        job.reload()
        before = job.ledger.pictures
        if job.ledger.finished(job.rows) < job.rows:
            commits.append(
                [run_record(run_id, job.rows, datetime.now(UTC), host=socket.gethostname(), pid=os.getpid())]
            )
            with terminable():
                _drive(job, commits, lock, display or Display(), actor_class, began)
        clear_staging(job.out)
        write_card(job.out, job.file, job.ledger, job.rows)
        commits.append([end_record(job.rows, datetime.now(UTC))])
        return _summary(job, before, began)
    except OSError as error:
        log.exception("the run ended early")
        raise _stopped(job, error) from error
    except BaseException as error:
        log.exception("the run ended early: %s", error)
        if isinstance(error, _REFUSALS) and job.is_new and not job.ledger.opened:
            refusal = error
        raise
    finally:
        commits.close()
        log_file.close()
        if refusal:
            clear_new_job(job.out, keep_logs=isinstance(refusal, ModelError))  # they say where it failed to load
        with contextlib.suppress(OSError):  # a full disk has been reported already
            lock.release()
        if refusal:
            remove_folders(job.out, absent)


def _stopped(job: RenderJob, error: OSError) -> JobStopped:
    return JobStopped(f"stopped: {job.out.uri}: {one_line(error, 300)}; mend that, and the same command resumes")


def _drive(
    job: RenderJob, commits: CommitLog, lock: DriverLock, display: Display, actor_class: Any, began: float
) -> None:
    start_up = StartUp(display, job.spec, began)
    start_up.ray(job.rows, job.rows - job.ledger.finished(job.rows))
    with cluster.connected(job.spec) as resources, terminable():  # again: Ray puts a handler of its own
        if not job.spec.address:
            require_usable(job.spec.attention, resources.device)

        def warn(text: str) -> None:
            log.warning("%s", text)
            display.warn(text)

        job.warn = warn
        settings = _worker_settings(job, resources)
        workers = min(resources.workers, job.rows)
        start_up.loading(resources, workers, settings.dtype)
        pool = WorkerPool(
            actor_class or _render_actor(),
            {"num_gpus": job.spec.gpus_per_worker, "num_cpus": 1} if resources.device == "cuda" else {"num_cpus": 1},
            lambda worker_id: replace(settings, worker_id=worker_id),
            cluster.secrets(),
            job.run_id,
        )
        publisher = Publisher(job.out)
        driver = Driver(
            job.out,
            job.run_id,
            job,
            job.ledger,
            commits,
            publisher,
            job.sizer,
            pool,
            job.file.extra,
            job.spec.stall_timeout,
            on_turn=lambda: turn(),  # noqa: PLW0108 - turn needs the driver
        )
        progress = Progress(job.rows, job.ledger.finished(job.rows), job.ledger.pictures, time.monotonic())
        beaten = 0.0

        def turn() -> None:
            nonlocal beaten
            start_up.observe(pool.members.values(), job.file.decisions)
            now = time.monotonic()
            if now - beaten >= min(BEAT_SECONDS, display.seconds):
                beaten = now
                state = snapshot(progress, job.ledger, pool, now)
                lock.beat(state.as_json())
                display.update(state)

        with display:
            try:
                driver.run(workers)
            except _REFUSALS:
                pool.close()  # lest a worker that is still being born writes behind us
                raise
            finally:
                publisher.close()


def _worker_settings(job: RenderJob, resources: cluster.Resources) -> WorkerSettings:
    spec, on_gpu = job.spec, resources.device == "cuda"
    dtype = spec.dtype if spec.dtype != "auto" else "bfloat16" if on_gpu else "float32"
    return WorkerSettings(
        worker_id="",
        model=spec.model,
        device=resources.device,
        dtype=dtype,
        attention=spec.attention,
        compile=on_gpu if spec.compile is None else spec.compile,
        batch_size=spec.batch_size,
        seed=spec.seed,
        format=spec.format,
        out=job.out.uri,
        extra=job.file.extra,
        load=LoadOptions(
            lora=spec.lora,
            quantize=spec.quantize,
            offload=spec.offload,
            gpus=spec.gpus_per_worker,
            gpu_memory=spec.gpu_memory,
            allow_pickle=spec.allow_pickle,
            trust_remote_code=spec.trust_remote_code,
        ),
        encode_threads=spec.encode_threads or (max(2, resources.cores_per_worker - 2) if on_gpu else 1),
    )


def _render_actor() -> Any:
    from workers.actor import RenderActor  # imports Ray

    return RenderActor


def _summary(job: RenderJob, pictures_before: int, began: float) -> Summary:
    ledger = job.ledger
    return Summary(
        job.out.uri,
        job.rows,
        ledger.done.count_below(job.rows),
        ledger.failed.count_below(job.rows),
        ledger.pictures,
        ledger.pictures - pictures_before,
        time.monotonic() - began,
    )
