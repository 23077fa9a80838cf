"""Workers that are processes of this machine."""

import atexit
import contextlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, cast

from mdth import devices
from mdth.batch import worker as inside
from mdth.batch.job import Job, Outcome

# A worker that is told to end tidies up for so long before it is killed.
GRACE_S = 5.0
LARGEST_MESSAGE = 1 << 20


@dataclass
class _Process:
    """A worker process; since: when it began the twin it has, None when it is idle."""

    process: SpawnProcess
    connection: Connection
    since: float | None = None

    def kill(self) -> None:
        """End it, and the processes it started, at once."""
        if self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()

    def died(self) -> Outcome:
        """What became of its twin."""
        self.process.join(GRACE_S)
        code = self.process.exitcode
        self.kill()
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        spent = time.monotonic() - (self.since or time.monotonic())
        words = f"its worker died ({how}; 9 is often the system, out of memory)"
        return Outcome("failed", round(spent, 3), words, again=True)


class LocalCrew:
    """`size` processes, started fresh (spawn), each with its share of the cores and GPUs.

    A process starts with its first twin and keeps what it loaded. gpus: for each worker.
    """

    def __init__(self, job: Job, size: int, *, gpus: int = 0) -> None:
        self._job = job
        self._size = size
        self._cores = shares(usable_cores(), size)
        self._gpus = gpu_shares(size, gpus)
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, _Process] = {}
        # Workers may have children of their own, so they are no daemons, and Python waits for them.
        atexit.register(self.close)

    def idle(self) -> list[int]:
        """The workers that have no twin, also those that did not start yet."""
        workers = ((number, self._workers.get(number)) for number in range(self._size))
        return [number for number, worker in workers if worker is None or worker.since is None]

    def give(self, worker: int, twin: str) -> None:
        """Let an idle worker begin a twin."""
        process = self._workers.get(worker) or self._start(worker)
        process.since = time.monotonic()
        try:
            process.connection.send_bytes(twin.encode())
        except OSError:
            # It died while it had nothing to do: nothing is lost, a new one begins the twin.
            self.stop(worker)
            process = self._start(worker)
            process.since = time.monotonic()
            process.connection.send_bytes(twin.encode())

    def ends(self, timeout_s: float | None) -> list[tuple[int, Outcome]]:
        """Workers that are idle again, and how their twin ended; a dead one will be replaced."""
        busy = {
            process.connection: number
            for number, process in self._workers.items()
            if process.since is not None
        }
        found = []
        for connection in wait(list(busy), timeout_s):
            number = busy[cast(Connection, connection)]
            outcome = self._heard(number)
            if outcome is not None:
                found.append((number, outcome))
        return found

    def stop(self, worker: int) -> None:
        """Kill a worker; the next twin starts another in its place."""
        stopped = self._workers.pop(worker)
        stopped.kill()
        stopped.connection.close()

    def close(self) -> None:
        """End all workers: idle ones leave, busy ones are told to, late ones are killed."""
        for worker in self._workers.values():
            worker.connection.close()
            if worker.since is not None:
                worker.process.terminate()
        deadline = time.monotonic() + GRACE_S
        for worker in self._workers.values():
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.kill()
        self._workers.clear()
        atexit.unregister(self.close)

    def _start(self, number: int) -> _Process:
        ours, theirs = self._context.Pipe()
        cores, environment = self._cores[number], {}
        threads = str(max(1, len(cores)))
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
            environment[name] = threads
        if self._gpus[number]:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self._gpus[number])
        process = self._context.Process(
            target=inside.run,
            args=(theirs, self._job, environment, cores),
            name=f"mdth-worker-{number}",
        )
        process.start()
        # The parent's copy would keep the pipe open after the worker's death.
        theirs.close()
        self._workers[number] = _Process(process, ours)
        return self._workers[number]

    def _heard(self, number: int) -> Outcome | None:
        """The next message of a worker: an outcome, or a word for the log."""
        process = self._workers[number]
        try:
            message: dict[str, Any] = json.loads(process.connection.recv_bytes(LARGEST_MESSAGE))
        except (EOFError, OSError):
            outcome = process.died()
            process.connection.close()
            del self._workers[number]
            return outcome
        if "outcome" in message:
            process.since = None
            return Outcome.from_json(message["outcome"])
        record = logging.makeLogRecord(message["log"])
        logging.getLogger(record.name).handle(record)
        return None


def usable_cores() -> list[int]:
    """The numbers of the cores this process may run on."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def shares(cores: list[int], workers: int) -> list[set[int]]:
    """Each worker's cores: all are used, and shared only when there are more workers than cores."""
    count = len(cores)
    if workers >= count:
        return [{cores[worker % count]} for worker in range(workers)]
    cuts = [worker * count // workers for worker in range(workers + 1)]
    return [set(cores[low:high]) for low, high in zip(cuts, cuts[1:], strict=False)]


def gpu_shares(workers: int, gpus: int) -> list[list[str]]:
    """The GPUs each worker sees, none where there are none; workers share when there are few.

    Raises DeviceError when one worker alone asks for more than there are.
    """
    devices.check(gpus)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    here = [str(number) for number in range(devices.count_gpus() if gpus else 0)]
    if visible is not None and here:
        here = [name for name in visible.split(",") if name]
    if not here:
        return [[] for _ in range(workers)]
    return [
        [here[(worker * gpus + number) % len(here)] for number in range(gpus)]
        for worker in range(workers)
    ]
