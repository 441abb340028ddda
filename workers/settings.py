"""What a worker is told, and what it answers: plain frozen values that travel between processes.

WorkerSettings  at birth: model, device, where to write
Decisions       after the first worker loaded: what is fixed for the whole job and reused on resume
WorkerFacts     its answer to loading
LeaseResult     its answer to a lease: names of staged files, never pixels
WorkerState     its answer at any time: what it is doing
"""

from __future__ import annotations

from dataclasses import dataclass, field

from workers.hardware import Hardware
from workers.model import ModelFacts
from workers.pipelines import LoadOptions


@dataclass(frozen=True)
class WorkerSettings:
    """All that a worker must know before the job's decisions are made.

    `batch_size` is pictures a call or "auto"; `out` the output folder's URI; `extra` the kinds of the manifest's own
    columns; `load` how the model is loaded; `threads` the torch threads on a CPU; `encode_threads` those that compress
    pictures and write Parquet.
    """

    worker_id: str
    model: str
    device: str
    dtype: str
    attention: str
    compile: bool
    batch_size: int | str
    seed: int
    format: str
    out: str
    extra: dict[str, str]
    load: LoadOptions = field(default_factory=LoadOptions)
    threads: int = 1
    encode_threads: int = 1


@dataclass(frozen=True)
class Decisions:
    """What is decided once per GPU model, by measurement where the job says `auto`.

    `batch_size` in pictures a call; `attention` is a backend's name; `reasons` says how each was come by.
    """

    batch_size: int
    attention: str
    compile: bool
    reasons: dict[str, str]


@dataclass(frozen=True)
class WorkerFacts:
    """A loaded worker: its model and its machine."""

    worker_id: str
    model: ModelFacts
    hardware: Hardware


@dataclass(frozen=True)
class TableFile:
    """One staged Parquet file: `_staging/NAME`, to be published in its table without the table's name in front."""

    table: str
    name: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class LeaseResult:
    """What came of a lease. `done` and `failed` are manifest ordinals; `seconds` is from first batch to last decode."""

    lease_id: str
    worker_id: str
    done: tuple[int, ...]
    failed: tuple[int, ...]
    pictures: int
    seconds: float
    files: tuple[TableFile, ...]


@dataclass
class WorkerState:
    """What a worker is doing now. `progress` grows with every step, so that a hang can be told from slow work."""

    stage: str = "loading"
    lease_id: str = ""
    pictures: int = 0
    step: int = 0
    steps: int = 0
    progress: int = 0

    def advance(self, stage: str) -> None:
        """Enter a stage: the worker is alive."""
        self.stage = stage
        self.progress += 1
