"""The workers of a job as Ray actors: start, load, hand out, notice deaths, replace.

    starting ──> loaded ──> (deciding) ──> beginning ──> ready ──> dead, replaced by a new one

An actor that the cluster cannot place yet stays `starting` and joins when it can; no lease waits for it. Each
incarnation has an id of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ray

from manifests.plan import Lease
from manifests.row import Row
from workers.settings import Decisions, WorkerFacts, WorkerSettings, WorkerState

LEASES_IN_FLIGHT = 2  # one being rendered, one waiting behind it
_STATE_SECONDS = 2.0
_NODES_SECONDS = 5.0
_BURIAL_SECONDS = 5.0


@dataclass
class Member:
    """One worker process, from the driver's side. `stage`: starting, loaded, deciding, beginning, ready, dead."""

    worker_id: str
    actor: Any
    stage: str = "starting"
    facts: WorkerFacts | None = None
    leases: dict[Any, Lease] = field(default_factory=dict)  # in the order of their sending
    state: WorkerState = field(default_factory=WorkerState)
    progressed_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Event:
    """Something a worker reported. `kind` is loaded, decided, began, finished or died; `value` what came with it."""

    kind: str
    member: Member
    value: Any
    lease: Lease | None = None


class WorkerPool:
    """Keeps `size` workers going. `make_settings` gives a new worker's settings from its id."""

    def __init__(
        self,
        actor_class: Any,
        options: dict[str, Any],
        make_settings: Callable[[str], WorkerSettings],
        secrets: dict[str, str],
        run_id: str,
    ) -> None:
        self.members: dict[str, Member] = {}
        self._actor_class = actor_class
        self._options = options
        self._make_settings = make_settings
        self._secrets = secrets
        self._run_id = run_id
        self._born = 0
        self._waiting: dict[Any, tuple[str, Member]] = {}  # reference -> what it answers, and whose it is
        self._polled_at = 0.0
        self._nodes_seen_at = time.monotonic()
        self._has_nodes = True

    def start(self) -> Member:
        """Ask for one more worker and have it load the model."""
        worker_id = f"{self._run_id}-w{self._born}"
        self._born += 1
        actor = self._actor_class.options(**self._options).remote(self._make_settings(worker_id), self._secrets)
        member = Member(worker_id, actor)
        self.members[worker_id] = member
        self._ask(member, "loaded", actor.load.remote())
        return member

    def decide(self, member: Member, sample: Row | None) -> None:
        """Have a loaded worker settle what is `auto`, at the shape of a sample row."""
        member.stage = "deciding"
        self._ask(member, "decided", member.actor.decide.remote(sample))

    def begin(self, member: Member, decisions: Decisions) -> None:
        """Give a loaded worker the decisions; it is ready for leases when it answers."""
        member.stage = "beginning"
        self._ask(member, "began", member.actor.begin.remote(decisions))

    def lend(self, member: Member, lease: Lease) -> None:
        """Send a lease."""
        reference = member.actor.render.remote(lease)
        member.leases[reference] = lease
        if len(member.leases) == 1:
            member.progressed_at = time.monotonic()
        self._ask(member, "finished", reference)

    def ready(self) -> list[Member]:
        """Workers that can take a lease, the least busy first."""
        open_members = [m for m in self.members.values() if m.stage == "ready" and len(m.leases) < LEASES_IN_FLIGHT]
        return sorted(open_members, key=lambda member: len(member.leases))

    def in_flight(self) -> int:
        """How many leases are with workers."""
        return sum(len(member.leases) for member in self.members.values())

    def events(self, timeout: float) -> Iterator[Event]:
        """What workers reported, waiting up to `timeout` seconds for the first report."""
        self._poll_states()
        waiting = list(self._waiting)
        if not waiting:
            return
        done, _ = ray.wait(waiting, num_returns=1, timeout=timeout)
        if done:  # what else is there already, so that one commit serves them all
            done, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
        for reference in done:
            if reference in self._waiting:  # not of a worker that an earlier event removed
                event = self._event(reference)
                if event is not None:
                    yield event

    def _event(self, reference: Any) -> Event | None:
        kind, member = self._waiting.pop(reference)
        try:
            value = ray.get(reference)
        except Exception as error:
            if kind == "state":
                return None  # its leases tell
            return Event("died", member, error)
        if kind == "state":
            if value.progress != member.state.progress:
                member.progressed_at = time.monotonic()
            member.state = value
            return None
        if kind == "loaded":
            member.facts, member.stage = value, "loaded"
        elif kind == "began":
            member.stage = "ready"
        member.progressed_at = time.monotonic()
        return Event(kind, member, value, member.leases.pop(reference, None))

    def remove(self, member: Member) -> list[Lease]:
        """Bury a worker that died or hangs; returns its leases, the one it was at first."""
        member.stage = "dead"
        ray.kill(member.actor)
        self.members.pop(member.worker_id, None)
        for reference in [ref for ref, (_, owner) in self._waiting.items() if owner is member]:
            del self._waiting[reference]
        return list(member.leases.values())

    def close(self) -> None:
        """Kill every worker, and wait some seconds until all that were asked for anything are gone."""
        for member in self.members.values():
            ray.kill(member.actor)
        waiting = list(self._waiting)
        if waiting:
            ray.wait(waiting, num_returns=len(waiting), timeout=_BURIAL_SECONDS)

    def stalled(self, seconds: float) -> list[Member]:
        """Workers that hold a lease and have shown no progress for that long."""
        now = time.monotonic()
        return [m for m in self.members.values() if m.leases and now - m.progressed_at > seconds]

    def has_nodes(self) -> bool:
        """Whether the cluster has a node alive; asks Ray at most every few seconds."""
        now = time.monotonic()
        if now - self._nodes_seen_at > _NODES_SECONDS:
            self._nodes_seen_at = now
            self._has_nodes = any(node["Alive"] for node in ray.nodes())
        return self._has_nodes

    def _poll_states(self) -> None:
        now = time.monotonic()
        if now - self._polled_at < _STATE_SECONDS:
            return
        self._polled_at = now
        asked = {owner.worker_id for kind, owner in self._waiting.values() if kind == "state"}
        for member in self.members.values():
            if member.stage == "ready" and member.worker_id not in asked:
                self._ask(member, "state", member.actor.state.remote())

    def _ask(self, member: Member, kind: str, reference: Any) -> None:
        self._waiting[reference] = (kind, member)
