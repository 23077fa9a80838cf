"""Starts workers, watches them, and keeps what they find.

A worker that says nothing for LIMIT_S, or dies, was killed by its case: that is a finding too, and
the next worker goes on behind it. A case that took too long is run once more, alone, before it
counts: a busy machine is no hang.
"""

import hashlib
import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("fuzz_worker.py")
LIMIT_S = 20
START_S = 300  # imports and making the cases
IMPORTS_S = 60  # on a busy machine
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


class _Died(Exception):
    """The worker is gone, or says nothing any more."""


def run_slice(target: str, *, seed: int, count: int) -> Figures:
    figures = Figures(target)
    skip = 0
    with tempfile.TemporaryDirectory(prefix="mdth-fuzz-") as folder:
        while skip < count:
            arguments = [target, str(seed), str(count), str(skip), folder]
            skip = _watch(arguments, figures, count)
    return figures


def run_files(target: str, files: list[Path]) -> Figures:
    """Cases from files, each one counted."""
    figures = Figures(target)
    rest = list(files)
    with tempfile.TemporaryDirectory(prefix="mdth-fuzz-") as folder:
        while rest:
            done = _watch([target, "files", folder, *map(str, rest)], figures, len(rest))
            rest = rest[done:]
    return figures


def _watch(arguments: list[str], figures: Figures, count: int) -> int:
    """Run one worker; gives the number of the case to go on with."""
    command = [sys.executable, str(WORKER), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as worker:
        lines = _lines(worker)
        last: dict[str, Any] = {}
        try:
            for said in lines:
                if "ready" in said:
                    count = min(count, said["cases"])
                if "outcome" in said:
                    _note(figures, said, Path(last["file"]))
                last = said
        except _Died as death:
            worker.kill()
            if "file" not in last:
                raise RuntimeError(f"{' '.join(arguments[:3])}: {death} before a case") from death
            content = Path(last["file"]).read_bytes()
            figures.cases += 1
            if str(death) != "hangs" or _hangs_alone(figures.target, content):
                figures.findings.append(Finding(figures.target, content, str(death)))
            return int(last["case"]) + 1
    return count


def _lines(worker: "subprocess.Popen[bytes]") -> Iterator[dict[str, Any]]:
    assert worker.stdout is not None
    held, wait = b"", START_S
    while True:
        ready, _, _ = select.select([worker.stdout], [], [], wait)
        if not ready:
            raise _Died("hangs")
        part = worker.stdout.read(1 << 16)
        if not part:
            break
        held += part
        *whole, held = held.split(b"\n")
        for line in whole:
            yield json.loads(line)
        wait = LIMIT_S
    if worker.wait() != 0:
        raise _Died(f"ends with {worker.returncode}")


def _note(figures: Figures, said: dict[str, Any], file: Path) -> None:
    figures.cases += 1
    figures.slowest_s = max(figures.slowest_s, said["seconds"])
    figures.peak_mb = max(figures.peak_mb, said["peak_mb"])
    if said["outcome"] == "finding":
        figures.findings.append(Finding(figures.target, file.read_bytes(), said["why"]))
    elif said["outcome"] == "result":
        figures.results += 1
    else:
        figures.refused += 1


def _hangs_alone(target: str, content: bytes) -> bool:
    with tempfile.TemporaryDirectory(prefix="mdth-fuzz-") as folder:
        file = Path(folder, "alone.case")
        file.write_bytes(content)
        command = [sys.executable, str(WORKER), target, "files", folder, str(file)]
        try:
            subprocess.run(
                command, timeout=LIMIT_S + IMPORTS_S, check=False, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return True
    return False


def slices(cases: int, seed: int) -> Iterator[tuple[int, int]]:
    """Seeds and sizes that make up a number of cases."""
    for number, start in enumerate(range(0, cases, SLICE)):
        yield seed * 100_000 + number, min(SLICE, cases - start)


def run_target(
    target: str, cases: int, *, seed: int = 0, tell: Callable[[Figures], None] | None = None
) -> Figures:
    figures = Figures(target)
    for slice_seed, count in slices(cases, seed):
        figures.add(run_slice(target, seed=slice_seed, count=count))
        if tell:
            tell(figures)
    return figures
