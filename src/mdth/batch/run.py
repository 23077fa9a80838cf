"""A job for many twins, given out one by one to workers wherever they are."""

import logging
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from mdth.batch import cluster, local
from mdth.batch.job import Job, Outcome, Result
from mdth.errors import InputError

log = logging.getLogger("mdth")

MOST_FALSE_STARTS = 10

Worker = local.LocalWorker | cluster.RayWorker


@dataclass
class _Try:
    """A twin on its way: attempts begun, seconds of those that ended, when the last one began."""

    twin: str
    attempts: int = 0
    seconds: float = 0.0
    begun: float = 0.0


def run(
    twins: Sequence[str],
    job: Job,
    *,
    workers: int | None = None,
    gpus: int = 1,
    where: str | None = None,
    retries: int = 2,
    timeout_s: float | None = None,
) -> Generator[Result, None, None]:
    """The result of each twin, in the order they end; closing the iterator ends the workers.

    workers: how many; None is 1 here, and on a cluster one per `gpus` or, without GPUs, per CPU.
    gpus: how many each worker sees, where there are any.
    where: None for processes of this machine, else "local", "auto" or a Ray cluster's address.
    retries: of one twin, after all others, when the cause may pass. timeout_s: for one attempt.
    Raises MissingDependency, InputError, DeviceError when the workers cannot be had; what goes
    wrong with a twin is in its result.
    """
    most = max(1, len(twins))
    with crew(job, where, workers, most=most, gpus=gpus, timeout_s=timeout_s) as found:
        yield from _Batch(twins, found, retries).results()


def crew(
    job: Job,
    where: str | None,
    workers: int | None,
    *,
    most: int,
    gpus: int = 1,
    timeout_s: float | None = None,
) -> AbstractContextManager[Sequence[Worker]]:
    """The workers of `run`, at most `most`."""
    if where is None:
        return local.crew(job, min(workers or 1, most), gpus=gpus, timeout_s=timeout_s)
    return cluster.crew(job, where, workers, most=most, gpus=gpus, timeout_s=timeout_s)


class _Batch:
    """Who waits, who starts, who runs."""

    def __init__(self, twins: Sequence[str], workers: Sequence[Worker], retries: int) -> None:
        self._waiting = deque(_Try(twin) for twin in twins)
        self._idle: list[Worker] = []
        self._starting = {worker.start(): worker for worker in workers}
        self._running: dict[Future[Outcome], tuple[Worker, _Try]] = {}
        self._retries = retries
        self._false_starts = 0

    def results(self) -> Generator[Result, None, None]:
        while self._waiting or self._running:
            while self._waiting and self._idle:
                self._begin(self._idle.pop(), self._waiting.popleft())
            awaited: list[Future[Any]] = [*self._starting, *self._running]
            ended = wait(awaited, return_when=FIRST_COMPLETED).done
            for start in self._starting.keys() & ended:
                self._came_up(start)
            for attempt in self._running.keys() & ended:
                tried, outcome = self._ended(attempt)
                if outcome.again and tried.attempts <= self._retries:
                    log.warning("%s: %s; will be tried again", tried.twin, outcome.error)
                    self._waiting.append(tried)
                else:
                    spent = round(tried.seconds, 3)
                    yield Result(tried.twin, outcome.state, spent, outcome.error, tried.attempts)

    def _begin(self, worker: Worker, tried: _Try) -> None:
        tried.attempts += 1
        tried.begun = time.monotonic()
        self._running[worker.begin(tried.twin)] = worker, tried

    def _came_up(self, start: Future[str]) -> None:
        worker, error = self._starting.pop(start), start.exception()
        problem = cluster.first_line(error) if error else start.result()
        self._false_starts = self._false_starts + 1 if problem else 0
        if self._false_starts > MOST_FALSE_STARTS:
            raise InputError(f"no worker starts ({problem})")
        if problem:
            self._starting[worker.start()] = worker
        else:
            self._idle.append(worker)

    def _ended(self, attempt: Future[Outcome]) -> tuple[_Try, Outcome]:
        worker, tried = self._running.pop(attempt)
        if error := attempt.exception():
            outcome = worker.lost(error, time.monotonic() - tried.begun)
            self._starting[worker.start()] = worker
        else:
            outcome = attempt.result()
            self._idle.append(worker)
        tried.seconds += outcome.seconds
        return tried, outcome
