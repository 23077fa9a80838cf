"""Workers that are processes of this machine, each in a pool of `pebble` (LGPL-3) of its own."""

import contextlib
import itertools
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from pebble import ProcessExpired, ProcessPool

from mdth import devices, guard
from mdth.batch import worker
from mdth.batch.job import Job, Outcome, failed, lost

# Started fresh: a fork would copy locks and thread pools in any state.
SPAWN = multiprocessing.get_context("spawn")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
GRACE_S = 5.0


@contextlib.contextmanager
def crew(
    job: Job, size: int, *, gpus: int, timeout_s: float | None
) -> Iterator[Sequence["LocalWorker"]]:
    """Workers with a share of the cores and GPUs each; they end with the `with`."""
    parts = zip(shares(devices.usable_cores(), size), gpu_shares(size, gpus), strict=True)
    workers = [LocalWorker(job, cores, own, timeout_s=timeout_s) for cores, own in parts]
    try:
        yield workers
    finally:
        with ThreadPoolExecutor(size) as threads:
            list(threads.map(LocalWorker.close, workers))


class LocalWorker:
    """One process, which keeps what it loaded, in a pool of its own.

    The workers of a pool share a pipe and its lock: one that is killed while it holds the lock, or
    while none works, breaks the pool for all. So a pool has one, and ends with it.
    """

    def __init__(
        self, job: Job, cores: set[int], gpus: list[str], *, timeout_s: float | None
    ) -> None:
        environment = dict.fromkeys(THREADS, str(len(cores)))
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        self._job = job
        self._timeout_s = timeout_s
        self._settings = (job.log_level, environment, cores)
        self._process: BaseProcess | None = None
        self._opened = contextlib.ExitStack()

    def start(self) -> Future[str]:
        """A new process in the place of what there was; twins wait for it in its pool."""
        self.close()
        heard, teller = SPAWN.Pipe()
        self._pool = ProcessPool(
            1, initializer=worker.enter, initargs=(teller, *self._settings), context=SPAWN
        )
        others = set(SPAWN.active_children())
        with contextlib.suppress(BrokenProcessPool):  # told by whoever begins a twin there
            _ = self._pool.active  # starts it
        self._process = next(iter(set(SPAWN.active_children()) - others), None)
        # With the parent's copy the pipe would outlive the worker; and without it pebble cannot
        # start another process in this pool.
        teller.close()
        relay = threading.Thread(target=_relay, args=(heard,), daemon=True)
        relay.start()
        self._opened.callback(relay.join, GRACE_S)
        self._opened.callback(_kill_group, self._process)
        self._opened.callback(self._pool.join)
        self._opened.callback(self._pool.stop)
        up: Future[str] = Future()
        up.set_result("")
        return up

    def begin(self, twin: str) -> Future[Outcome]:
        """One attempt; if the process died while it had nothing to do, by a new one."""
        if self._process is None or not self._process.is_alive():
            self.start()
        try:
            return self._pool.schedule(worker.work, (self._job, twin), timeout=self._timeout_s)
        except RuntimeError as error:
            broken: Future[Outcome] = Future()
            broken.set_exception(BrokenProcessPool(str(error)))
            return broken

    def lost(self, error: BaseException, seconds: float) -> Outcome:
        """What pebble's exception says of a twin."""
        if not isinstance(error, TimeoutError | ProcessExpired | BrokenProcessPool):
            return failed(f"unexpected {type(error).__name__}: {error}", seconds=seconds)
        code = self._process.exitcode if self._process else None
        if code and code == -getattr(signal, "SIGVTALRM", 0):
            return failed(guard.why_ended(-code), seconds=seconds)
        how = f"signal {-code}" if code and code < 0 else f"exit code {code}"
        limit_s = self._timeout_s if isinstance(error, TimeoutError) else None
        return lost(f"{how}; 9 is often the system, out of memory", seconds, limit_s=limit_s)

    def close(self) -> None:
        """End the process: it is told to, killed when it is late, and its children with it."""
        self._opened.close()


def _relay(heard: Connection) -> None:
    """Hand on a worker's log records until it ends."""
    with contextlib.suppress(EOFError, OSError), heard:
        while True:
            record = heard.recv()
            if record is None:
                heard.send(None)
            else:
                logging.getLogger(record.name).handle(record)


def _kill_group(process: BaseProcess | None) -> None:
    if process and process.pid and hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def shares(cores: list[int], workers: int) -> list[set[int]]:
    """Each worker's cores: all are used, and shared only when there are more workers than cores."""
    count = len(cores)
    if workers >= count:
        return [{cores[worker % count]} for worker in range(workers)]
    cuts = [worker * count // workers for worker in range(workers + 1)]
    return [set(cores[low:high]) for low, high in itertools.pairwise(cuts)]


def gpu_shares(workers: int, gpus: int) -> list[list[str]]:
    """The GPUs each worker sees, none where there are none; workers share when there are few.

    Raises DeviceError when one worker alone asks for more than there are.
    """
    devices.check(gpus)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    here = [str(number) for number in range(devices.count_gpus() if gpus else 0)]
    if visible is not None and here:
        here = [name for name in visible.split(",") if name]
    turns = itertools.cycle(here)
    return [list(itertools.islice(turns, gpus)) for _ in range(workers)]
