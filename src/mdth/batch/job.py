"""One task and its settings, and what became of a twin."""

import importlib
import logging
import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mdth import guard
from mdth.errors import MdthError, StorageError
from mdth.log.redact import shortened
from mdth.log.stages import about

log = logging.getLogger("mdth")

LONGEST_ERROR = 2000


@dataclass(frozen=True)
class Job:
    """What is done with every twin.

    task: "module:function", called as function(twin, **settings). Its result is false when the twin
    was finished before; it must be repeatable: a twin whose worker died is given out once more.
    settings: plain values, as JSON has them. log_level: what the workers tell the log.
    """

    task: str
    settings: dict[str, Any] = field(default_factory=dict)
    log_level: int = logging.WARNING

    def do(self, twin: str) -> Any:
        """Do the task: what it gives."""
        module, _, function = self.task.partition(":")
        return getattr(importlib.import_module(module), function)(twin, **self.settings)


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended. again: the cause may pass (the store, say). value: the task's."""

    state: Literal["done", "skipped", "failed"]
    seconds: float = 0.0
    error: str = ""
    again: bool = False
    value: Any = None


@dataclass(frozen=True)
class Result:
    """What became of a twin; seconds: of all its attempts."""

    twin: str
    state: str
    seconds: float
    error: str
    attempts: int


def attempt(job: Job, twin: str) -> Outcome:
    """Do the task for one twin, in this process; what goes wrong is in the outcome."""
    start = time.perf_counter()
    try:
        with guard.limits(), about(twin):
            value = job.do(twin)
            outcome = Outcome("done" if value else "skipped", value=value)
    except MdthError as error:
        outcome = failed(str(error), again=isinstance(error, StorageError))
    except Exception as error:  # noqa: BLE001  one twin's bug costs no other twin its result
        log.debug("%s: unexpected", twin, exc_info=True)
        outcome = failed(f"unexpected {type(error).__name__}: {error}")
    return replace(outcome, seconds=round(time.perf_counter() - start, 3))


def failed(error: str, *, again: bool = False, seconds: float = 0.0) -> Outcome:
    """A failure in one short line without secrets."""
    return Outcome("failed", seconds, shortened(error, LONGEST_ERROR), again)


def lost(how: str, seconds: float, *, limit_s: float | None = None) -> Outcome:
    """A twin whose worker is gone after so many seconds: by itself, or because of a limit."""
    if limit_s is not None:
        return failed(f"stopped after {limit_s:g} s; see --timeout", seconds=seconds)
    return failed(f"its worker died ({how})", again=True, seconds=seconds)
