"""Has cases run by a worker process, watches it, and keeps what it finds.

A worker that takes longer than LIMIT_S, or dies, was killed by its case: that is a finding too, and
the next worker goes on behind it. A case that took too long is run once more, alone, before it
counts: a busy machine is no hang.
"""

import hashlib
import multiprocessing
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_worker import Ended, enter, generated, run_case
from pebble import ProcessExpired, ProcessPool

LIMIT_S, ALONE_S = 20, 600
SLICE = 250  # cases of one worker


@dataclass
class Finding:
    """A case that ended in neither a result nor an MdthError."""

    target: str
    content: bytes
    why: str

    @property
    def name(self) -> str:
        return f"{self.target}-{hashlib.sha256(self.content).hexdigest()[:10]}"


@dataclass
class Figures:
    target: str
    cases: int = 0
    results: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    peak_mb: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        self.cases += other.cases
        self.results += other.results
        self.refused += other.refused
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.peak_mb = max(self.peak_mb, other.peak_mb)
        self.findings += other.findings

    def note(self, content: bytes, ended: Ended) -> None:
        self.cases += 1
        self.results += ended.outcome == "result"
        self.refused += ended.outcome == "refused"
        self.slowest_s = max(self.slowest_s, ended.seconds)
        self.peak_mb = max(self.peak_mb, ended.peak_mb)
        if ended.outcome == "finding":
            self.findings.append(Finding(self.target, content, ended.why))


@contextmanager
def _worker(target: str, targets: str) -> Iterator[ProcessPool]:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="mdth-fuzz-") as folder:
        how = {"initializer": enter, "initargs": (targets, target, folder), "context": spawn}
        with ProcessPool(1, **how) as pool:
            yield pool


def run_slice(target: str, *, seed: int, count: int) -> Figures:
    with _worker(target, "fuzz_targets") as pool:
        return _run(target, pool, pool.schedule(generated, (seed, count)).result())


def run_files(target: str, files: list[Path], *, targets: str = "fuzz_targets") -> Figures:
    """Cases from files, each one counted; targets: the module that has the target."""
    with _worker(target, targets) as pool:
        return _run(target, pool, (file.read_bytes() for file in files))


def _run(target: str, pool: ProcessPool, cases: Iterable[bytes]) -> Figures:
    figures = Figures(target)
    for content in cases:
        try:
            ended = pool.schedule(run_case, (content,), timeout=LIMIT_S).result()
        except ProcessExpired as death:
            ended = Ended("finding", f"ends with {death.exitcode}", 0.0, 0)
        except TimeoutError:
            ended = _alone(target, content)
        figures.note(content, ended)
    return figures


def _alone(target: str, content: bytes) -> Ended:
    """How a case ends that has all the time it needs on a busy machine."""
    with _worker(target, "fuzz_targets") as pool:
        try:
            return pool.schedule(run_case, (content,), timeout=ALONE_S).result()
        except (TimeoutError, ProcessExpired):
            return Ended("finding", "hangs", float(ALONE_S), 0)


def slices(cases: int, seed: int) -> Iterator[tuple[int, int]]:
    """Seeds and sizes that make up a number of cases."""
    for number, start in enumerate(range(0, cases, SLICE)):
        yield seed * 100_000 + number, min(SLICE, cases - start)
