"""The worker processes of a server: each does job after job, and is replaced when it dies."""

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from mdth import devices
from mdth.batch import local
from mdth.batch.job import Job as Task
from mdth.batch.job import Outcome
from mdth.errors import LimitExceeded
from mdth.files.json import Json, read_json
from mdth.serve.queue import FAILED, Job, Queue
from mdth.serve.settings import Settings

log = logging.getLogger("mdth")

IDLE_S, LOOK_S = 0.25, 60.0
# A folder without a job may be one that is being received.
ORPHAN_S = 3600.0


class Crew:
    """Takes jobs from the queue for its workers until it is told to stop."""

    def __init__(self, settings: Settings, queue: Queue) -> None:
        self._settings, self._queue = settings, queue
        self._stopping = asyncio.Event()
        about = {"data": str(settings.data), "keep_s": settings.keep_s}
        task = Task("mdth.serve.work:run", about, log.getEffectiveLevel())
        cores = local.shares(devices.usable_cores(), settings.workers)
        gpus = local.gpu_shares(settings.workers, 1)
        self._workers = [
            local.LocalWorker(task, own, seen, timeout_s=None)
            for own, seen in zip(cores, gpus, strict=True)
        ]
        look = Task("mdth.serve.work:look")
        self._looker = local.LocalWorker(look, {*devices.usable_cores()}, [], timeout_s=LOOK_S)
        self._turn = asyncio.Lock()
        self._running: dict[str, Job] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the event loop that runs."""
        self._tasks = [asyncio.create_task(self._work(worker)) for worker in self._workers]

    async def look(self, folder: Path) -> Json:
        """What `work.look` finds in a folder. Raises LimitExceeded where that took too much."""
        async with self._turn:
            outcome = await _outcome(self._looker, str(folder))
            if outcome.again:  # it may have been killed before
                outcome = await _outcome(self._looker, str(folder))
        if outcome.state == "failed":
            raise LimitExceeded(outcome.error)
        return read_json(folder / "look.json")

    async def stop(self) -> None:
        """Take no more; what has not ended after the time of grace goes back to the queue."""
        self._stopping.set()
        if self._running:
            log.warning("stopping: %d jobs run on for a while", len(self._running))
        await asyncio.wait(self._tasks, timeout=self._settings.grace_s)
        for job in list(self._running.values()):
            log.warning("%s: handed back to the queue", job["id"])
            self._queue.hand_back(job["id"], job["claim"], counted=False)
        for task in self._tasks:
            task.cancel()
        closing = (*self._workers, self._looker)
        await asyncio.gather(*(asyncio.to_thread(worker.close) for worker in closing))

    async def _work(self, worker: local.LocalWorker) -> None:
        while not self._stopping.is_set():
            try:
                job = self._queue.claim()
                if job is None:
                    await asyncio.sleep(IDLE_S)
                else:
                    await self._do(worker, job)
            except Exception:
                log.exception("a job could not be given out; trying again")
                await asyncio.sleep(1)

    async def _do(self, worker: local.LocalWorker, job: Job) -> None:
        own, begun = (job["id"], job["claim"]), time.monotonic()
        self._running[job["id"]] = job
        try:
            outcome = await _outcome(worker, f"{own[0]}/{own[1]}")
            if outcome.state == "failed" and not self._stopping.is_set():
                if outcome.again:
                    self._queue.hand_back(*own, why=outcome.error)
                else:
                    error = {"type": LimitExceeded.__name__, "detail": outcome.error}
                    self._queue.finish(*own, error=error, keep_s=self._settings.keep_s)
        finally:
            del self._running[job["id"]]
        log.info("%s: %s after %.1f s", own[0], outcome.state, time.monotonic() - begun)


async def repeated(step: Callable[[], Awaitable[None]], *, pause_s: float) -> None:
    """Do it again and again until cancelled; what goes wrong is logged."""
    while True:
        try:
            await step()
        except Exception:
            log.exception("something went wrong beside the jobs; trying again")
        await asyncio.sleep(pause_s)


def swept(queue: Queue, folder: Path) -> None:
    """Delete what has expired, folders of no job, and files of jobs that failed."""
    now = time.time()
    for job in queue.read("SELECT id FROM jobs WHERE expires < ?", now):
        queue.remove(job["id"])
        shutil.rmtree(folder / job["id"], ignore_errors=True)
    known = {job["id"]: job["status"] for job in queue.read("SELECT id, status FROM jobs")}
    for left in folder.iterdir():
        status = known.get(left.name)
        if status == FAILED or (not status and now - left.stat().st_mtime > ORPHAN_S):
            shutil.rmtree(left, ignore_errors=True)


async def _outcome(worker: local.LocalWorker, ticket: str) -> Outcome:
    begun = time.monotonic()
    future = await asyncio.to_thread(worker.begin, ticket)
    try:
        return await asyncio.wrap_future(future)
    except Exception as error:  # noqa: BLE001 (which of them pebble raises, `lost` knows)
        outcome = worker.lost(error, time.monotonic() - begun)
        await asyncio.to_thread(worker.start)  # its pool is broken, whatever its process says
        return outcome
