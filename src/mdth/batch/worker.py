"""The inside of a local worker process: what it sets up, does for each twin, and leaves."""

import contextlib
import logging
import os
import queue
import signal
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from types import FrameType
from typing import NoReturn

from mdth.batch.job import Job, Outcome, attempt
from mdth.log.stages import current_twin

LONGEST_LINE = 10_000


def enter(teller: Connection, level: int, environment: dict[str, str], cores: set[int]) -> None:
    """Make this process a worker.

    teller: log records go there. cores: the only ones to run on; libraries size their thread pools
    by them.
    """
    # A group of its own: it ends with all that it starts, and Ctrl-C does not reach it. It is the
    # parent that decides, and it says SIGTERM.
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, _stop)
    Finalize(None, leave, exitpriority=100)
    os.environ.update(environment)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    logging.raiseExceptions = False  # a parent that is gone hears nothing
    logger = logging.getLogger("mdth")
    logger.addHandler(_Forward(teller))
    logger.setLevel(level)


def work(job: Job, twin: str) -> Outcome:
    """Do the job for one twin; a SIGTERM lets it tidy up before the process ends."""
    try:
        outcome = attempt(job, twin)
        for handler in logging.getLogger("mdth").handlers:
            handler.flush()
        return outcome
    except _Stopped:
        leave()


class _Stopped(SystemExit):
    """SIGTERM came."""


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise _Stopped(128 + number)


def leave() -> NoReturn:
    """End this process and those it started, whatever they are at."""
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(128 + signal.SIGTERM)


class _Forward(QueueHandler):
    """Log records go to the parent, which knows where its user reads them."""

    def __init__(self, teller: Connection) -> None:
        super().__init__(queue.SimpleQueue())
        self._teller = teller

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """The record with the twin it is about; lines of several workers stand side by side."""
        record, twin = super().prepare(record), current_twin()
        said = record.getMessage()[:LONGEST_LINE]
        record.twin = twin
        record.msg = f"{twin}: {said}" if twin and twin not in said else said
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send it at once: what is buffered would be lost with a killed worker."""
        self._teller.send(record)

    def flush(self) -> None:
        """Wait until the parent has told all of it, so that a twin's lines precede its result."""
        with contextlib.suppress(EOFError, OSError):
            self._teller.send(None)
            self._teller.recv()
