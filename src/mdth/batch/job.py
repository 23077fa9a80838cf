"""One task and its settings, and what became of a twin."""

import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from mdth.errors import MdthError, StorageError
from mdth.log.redact import redacted
from mdth.log.stages import about

log = logging.getLogger("mdth")

LONGEST_ERROR = 2000
State = Literal["done", "skipped", "failed"]
# A twin's id and the settings -> whether there was anything to do.
Task = Callable[..., bool]


@dataclass(frozen=True)
class Job:
    """What is done with every twin.

    task: "module:function", called as function(twin, **settings). It gives False when the twin was
    finished before, and must be repeatable: a twin whose worker died is given out once more.
    settings: plain values, as JSON has them. log_level: what the workers tell the log.
    """

    task: str
    settings: dict[str, Any] = field(default_factory=dict)
    log_level: int = logging.WARNING

    def load(self) -> Task:
        """The function. Raises ImportError, AttributeError."""
        module, _, function = self.task.partition(":")
        loaded: Task = getattr(importlib.import_module(module), function)
        return loaded


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended. again: the cause may pass (the store, memory, a worker that died)."""

    state: State
    seconds: float
    error: str = ""
    again: bool = False

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """What `as_json` gave."""
        return cls(**values)


@dataclass(frozen=True)
class Result:
    """What became of a twin; seconds: of all its attempts."""

    twin: str
    state: State
    seconds: float
    error: str
    attempts: int


def attempt(job: Job, twin: str) -> Outcome:
    """Do the task for one twin, in this process; what goes wrong is in the outcome."""
    start = time.perf_counter()

    def ended(state: State, error: str = "", *, again: bool = False) -> Outcome:
        shown = "".join(letter if letter.isprintable() else " " for letter in redacted(error))
        words = " ".join(shown.split())
        if len(words) > LONGEST_ERROR:
            words = f"{words[:LONGEST_ERROR]} ..."
        return Outcome(state, round(time.perf_counter() - start, 3), words, again)

    try:
        with about(twin):
            worked = job.load()(twin, **job.settings)
    except MdthError as error:
        return ended("failed", str(error), again=isinstance(error, StorageError))
    except MemoryError:
        return ended("failed", "out of memory; use fewer --workers", again=True)
    except Exception as error:  # noqa: BLE001  one twin's bug costs no other twin its result
        log.debug("%s: unexpected", twin, exc_info=True)
        return ended("failed", f"unexpected {type(error).__name__}: {error}")
    return ended("done" if worked else "skipped")
