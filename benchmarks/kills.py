"""SIGKILL at random moments, driver and worker in turn: are the tables exact, and the pictures the same bit for bit?

A round takes some more rows of one manifest (`--limit` grows), so that it ends at rest and is checked there:

    start ── kill the driver ── the same command again ── kill a worker ── it goes on by itself ── ends ── check

A moment is drawn as a share of the round's work that is committed, or, once in five times, of the seconds that a run
takes before its first commit (Ray starting, models loading, the log rolled forward). At the end the pictures are
compared with those of a run that nobody disturbed, and the same command once more must change nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import _prompts
import psutil
from _exact import count_errors, digests, faults_of, log_records
from _report import print_json, print_table

_START_SECONDS = 15.0  # from the command to the first commit, about
_STARTING_SHARE = 0.2
_RUN_SECONDS = 240.0  # more than any run here should take


@dataclass
class Kill:
    """One kill: whom, when (seconds into the run), and how many `of` the round's rows were committed by then."""

    victim: str
    seconds: float
    committed: int
    of: int
    stage: str


@dataclass
class Bench:
    """The job that is killed, and what was seen."""

    options: argparse.Namespace
    manifest: Path
    out: Path
    rng: random.Random
    limit: int = 0
    before: int = 0  # rows committed when the round began
    kills: list[Kill] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)  # pictures at the last rest: they must not change
    rests: int = 0
    relatives: set[psutil.Process] = field(default_factory=set)  # of killed drivers

    def command(self, out: Path) -> list[str]:
        """The same command before and after a kill."""
        sizes = ["--width", "64", "--height", "64", "--steps", str(self.options.steps)]
        job = [str(self.manifest), "--model", "tiny:flux.1-dev", "--out", str(out), "--limit", str(self.limit)]
        how = ["--workers", str(self.options.workers), "--lease-seconds", str(self.options.lease_seconds)]
        return [sys.executable, "-m", "renderay", "render", *job, *sizes, *how, "--gpus", "0"]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command, its output to nowhere."""
        return subprocess.Popen(self.command(self.out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def more_rows(self) -> None:
        """Begin a round."""
        self.before = self.limit
        self.limit += self.options.rows

    def committed(self) -> int:
        """Rows of this round that the log holds."""
        records = [record for record in log_records(self.out) if record["kind"] == "lease"]
        return sum(record["pictures"] for record in records) - self.before

    def kill_once(self, victim: str) -> tuple[subprocess.Popen[bytes], bool]:
        """Start the command and kill at a random moment; False where it was over before the moment came."""
        process, began = self.start(), time.monotonic()
        already = self.committed()
        if self.rng.random() < _STARTING_SHARE:
            stage, moment, share = "starting", self.rng.uniform(0.5, _START_SECONDS), 0.0
        else:
            stage, moment, share = "rendering", 0.0, self.rng.random()
        target = already + 1 + int(share * (self.options.rows - already - 1))
        jitter = self.rng.uniform(0.0, 0.3)
        while process.poll() is None:
            elapsed, committed = time.monotonic() - began, self.committed()
            if elapsed > _RUN_SECONDS:
                raise TimeoutError(f"{' '.join(self.command(self.out))} makes no progress")
            if (stage == "starting" and elapsed >= moment) or (stage == "rendering" and committed >= target):
                time.sleep(jitter if stage == "rendering" else 0.0)
                if self._strike(process, victim):
                    committed = self.committed()
                    self.kills.append(Kill(victim, time.monotonic() - began, committed, self.options.rows, stage))
                    return process, True
            time.sleep(0.02)
        return process, False

    def _strike(self, process: subprocess.Popen[bytes], victim: str) -> bool:
        """SIGKILL the driver, or one of its own workers; False where there is none (yet, or any more)."""
        if process.poll() is not None:
            return False
        if victim == "driver":
            self.relatives |= set(_descendants(process.pid))
            process.kill()
            process.wait()
            return True
        workers = [child for child in _descendants(process.pid) if _is_worker(child)]
        if not workers:
            return False
        self.rng.choice(workers).kill()
        return True

    def rest(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the run has ended by itself, and check every table."""
        code = process.wait(timeout=_RUN_SECONDS)
        ids = [f"plate-{number:07d}" for number in range(self.limit)]
        found = faults_of(self.out, ids, self.options.steps)
        if code != 0:
            found.append(f"exit status {code}")
        now = digests(self.out)
        changed = sum(now.get(name) != value for name, value in self.seen.items())
        if changed:
            found.append(f"{changed} pictures changed since the last rest")
        self.faults += [f"at {self.limit} rows: {fault}" for fault in found]
        self.seen = now
        self.rests += 1


def main() -> None:
    """Kill, resume, check; fail if anything is not exact."""
    options = _options()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="renderay-kills-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        manifest = _prompts.write_manifest(home / "prompts.jsonl", options.rows * (2 * options.kills + 1))
        bench = Bench(options, manifest, home / "killed", random.Random(options.seed))
        try:
            _kill_all(bench)
            _compare(bench, home / "undisturbed")
        finally:
            _end(bench.relatives.union(_descendants(None)))
        errors = count_errors(bench.out)
    _report(bench, errors, time.monotonic() - began)


def _kill_all(bench: Bench) -> None:
    bench.more_rows()
    while len(bench.kills) < bench.options.kills:
        victim = ("driver", "worker")[len(bench.kills) % 2]
        process, struck = bench.kill_once(victim)
        if struck:
            print(f"{len(bench.kills)}: {bench.kills[-1]}", file=sys.stderr)
        if struck and victim == "driver":
            continue  # the next run resumes it
        bench.rest(process)
        bench.more_rows()
    bench.rest(bench.start())  # the last round, undisturbed, or what is left after a driver


def _compare(bench: Bench, undisturbed: Path) -> None:
    """The pictures of a run from one piece, and the tables after a run with nothing to do."""
    held = {path: path.stat().st_mtime_ns for path in bench.out.rglob("*")}
    bench.rest(bench.start())
    if {path: path.stat().st_mtime_ns for path in bench.out.rglob("*")} != held:
        bench.faults.append("the same command on a finished job wrote something")
    subprocess.run(bench.command(undisturbed), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    alone = digests(undisturbed)
    different = sum(alone[name] != bench.seen.get(name) for name in alone) + len(bench.seen.keys() - alone.keys())
    if different:
        bench.faults.append(f"{different} of {len(alone)} pictures differ from the undisturbed run's")


def _descendants(pid: int | None) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _end(processes: set[psutil.Process]) -> None:
    """End what this benchmark started and is still there; psutil knows a process id that was given out anew."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("ray::RenderActor" in part for part in process.cmdline())
    except psutil.Error:
        return False


def _report(bench: Bench, errors: int, seconds: float) -> None:
    head = ("kill", "victim", "moment", "s into the run", "rows of the round committed")
    lines = [
        (number + 1, kill.victim, kill.stage, f"{kill.seconds:.1f}", f"{max(0, kill.committed)} of {kill.of}")
        for number, kill in enumerate(bench.kills)
    ]
    print_table(head, lines)
    print(f"{len(bench.kills)} kills, {bench.rests} rests, {bench.limit} rows, {errors} in errors, {seconds:.0f} s")
    print("at every rest: no row twice, missing or too many in any table, no orphan file, bytes as sha256 says")
    print("at the end: pictures bit for bit those of an undisturbed run; the same command again writes nothing")
    print("\n".join(["FAULTS:", *bench.faults]) if bench.faults else "faults: none")
    by_victim = {victim: sum(kill.victim == victim for kill in bench.kills) for victim in ("driver", "worker")}
    print_json(
        "kills",
        kills=by_victim,
        starting=sum(kill.stage == "starting" for kill in bench.kills),
        rests=bench.rests,
        rows=bench.limit,
        errors=errors,
        faults=bench.faults,
        seed=bench.options.seed,
        seconds=round(seconds),
    )
    sys.exit(1 if bench.faults else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=20, help="kills in all, driver and worker in turn")
    parser.add_argument("--rows", type=int, default=30, help="rows that a round adds")
    parser.add_argument("--steps", type=int, default=24, help="denoising steps: how long a row takes")
    parser.add_argument("--workers", type=int, default=2, help="workers")
    parser.add_argument("--lease-seconds", type=float, default=1.0, help="seconds of work in a lease")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    return parser.parse_args()


if __name__ == "__main__":
    main()
