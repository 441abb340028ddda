"""The process that holds the model. A backend that kills it costs itself; the next process goes on without it."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from multiprocessing.managers import BaseManager, RemoteError
from threading import Thread
from typing import TYPE_CHECKING, Any

from manifests.storage import Location
from workers.logs import log_to

if TYPE_CHECKING:
    from workers.turns import TurnWorker


class ProcessDied(RuntimeError):
    """The process ended in the middle of a call."""


class BenchProcess:
    """A process with one `TurnWorker`; `call` runs one of its methods there.

    Use as a context manager. What libraries print goes to `log`, where it is local. `make_worker` replaces the worker
    (tests pass one that dies).
    """

    def __init__(self, log: Location, make_worker: Callable[[], TurnWorker] | None = None) -> None:
        self._log = log
        _Manager.register("TurnWorker", make_worker or _make_worker, exposed=_METHODS)
        self._manager = _Manager(ctx=get_context("spawn"))
        self._worker: Any = None

    def __enter__(self) -> BenchProcess:
        self._manager.start(_begin, (self._log,))
        self._worker = self._manager.TurnWorker()  # type: ignore[attr-defined]
        return self

    def __exit__(self, *error: object) -> None:
        self._manager.shutdown()

    def call(self, method: str, *arguments: Any) -> Any:
        """The method's answer, or what it raises. ProcessDied where the process is gone."""
        try:
            return self._worker._callmethod(method, arguments)
        except (EOFError, ConnectionError) as error:
            raise ProcessDied("the process died") from error
        except RemoteError as error:  # an exception that cannot travel comes as its traceback
            raise RuntimeError(str(error).strip(" -\n").splitlines()[-1]) from error


class _Manager(BaseManager):
    """Holds the worker in a process of its own."""


def _make_worker() -> TurnWorker:
    from workers.turns import TurnWorker  # in the process only

    return TurnWorker()


_METHODS = ("usable", "load", "prepare", "take", "written", "drop")


def _begin(log: Location) -> None:
    Thread(target=_die_with_parent, daemon=True).start()
    log_to(log)
    log.parent.make_folder()
    target = os.open(log.path if log.is_local else os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(target, stream)


def _die_with_parent() -> None:
    """Hold no GPU for a bench that was killed."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
