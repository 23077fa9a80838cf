"""Twins are given to workers one by one; what a worker loses is given out again."""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mdth.batch.job import Outcome, Result

log = logging.getLogger("mdth")


class Crew(Protocol):
    """Workers by number; each does one twin at a time."""

    def idle(self) -> list[int]:
        """The workers that can begin a twin now."""

    def give(self, worker: int, twin: str) -> None:
        """Let an idle worker begin a twin."""

    def ends(self, timeout_s: float | None) -> list[tuple[int, Outcome]]:
        """Workers whose twin ended, and how; none when the time is over or a worker came up.

        A worker that died is replaced, and its twin failed with `again` set.
        """

    def stop(self, worker: int) -> None:
        """End a worker in the middle of its twin, and replace it."""

    def close(self) -> None:
        """End all workers."""


@dataclass(frozen=True)
class Limits:
    """retries: of one twin, when the cause may pass. timeout_s: for one attempt, None for none."""

    retries: int = 2
    timeout_s: float | None = None


@dataclass
class _Try:
    """A twin on its way: attempts begun, seconds of those that ended, when the last one began."""

    twin: str
    attempts: int = 0
    seconds: float = 0.0
    begun: float = 0.0

    def result(self, outcome: Outcome) -> Result:
        return Result(
            self.twin, outcome.state, round(self.seconds, 3), outcome.error, self.attempts
        )


def work_off(twins: Sequence[str], crew: Crew, limits: Limits) -> Iterator[Result]:
    """The result of each twin, in the order they end; the crew stays open.

    A twin is repeated only when its outcome says `again`, at most `limits.retries` times and after
    all others; one that takes longer than `limits.timeout_s` is stopped and failed.
    """
    waiting = deque(_Try(twin) for twin in twins)
    running: dict[int, _Try] = {}
    while waiting or running:
        for worker in crew.idle()[: len(waiting)]:
            _begin(worker, waiting.popleft(), crew, running)
        ended = crew.ends(_patience_s(running, limits))
        ended += _stop_late(set(running) - {worker for worker, _ in ended}, running, crew, limits)
        for worker, outcome in ended:
            tried = running.pop(worker)
            tried.seconds += outcome.seconds
            if outcome.again and tried.attempts <= limits.retries:
                log.warning("%s: %s; will be tried again", tried.twin, outcome.error)
                waiting.append(tried)
            else:
                yield tried.result(outcome)


def _begin(worker: int, tried: _Try, crew: Crew, running: dict[int, _Try]) -> None:
    tried.attempts += 1
    tried.begun = time.monotonic()
    running[worker] = tried
    crew.give(worker, tried.twin)


def _patience_s(running: dict[int, _Try], limits: Limits) -> float | None:
    """Seconds until the first running twin is late, None where nothing can be late."""
    if limits.timeout_s is None or not running:
        return None
    first = min(tried.begun for tried in running.values())
    return max(0.0, first + limits.timeout_s - time.monotonic())


def _stop_late(
    workers: set[int], running: dict[int, _Try], crew: Crew, limits: Limits
) -> list[tuple[int, Outcome]]:
    late = []
    for worker in sorted(workers):
        spent = time.monotonic() - running[worker].begun
        if limits.timeout_s is not None and spent >= limits.timeout_s:
            crew.stop(worker)
            words = f"stopped after {limits.timeout_s:g} s; see --timeout"
            late.append((worker, Outcome("failed", round(spent, 3), words)))
    return late
