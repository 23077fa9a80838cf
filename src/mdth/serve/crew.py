"""A server's workers, processes of this machine or of a Ray cluster: each does job after job.

What one has to do, how far it is and the video lie in files of the job's folder, which all of them
see; the queue is the server's alone. A worker that dies is replaced.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from mdth import devices, guard
from mdth.batch import local, run
from mdth.batch.job import Job as Task
from mdth.batch.job import Outcome, failed
from mdth.errors import LimitExceeded
from mdth.files.json import Json, read_json, write_json
from mdth.log.stages import size_below
from mdth.serve.problems import in_user_words
from mdth.serve.queue import FAILED, Job, Queue
from mdth.serve.settings import Settings
from mdth.serve.work import JOB, PROGRESS

log = logging.getLogger("mdth")

IDLE_S, BEAT_S, LOOK_S = 0.25, 1.0, 60.0
# A cancelled job that has not noticed by then loses its process.
NOTICE_S = 5.0
# By the clock a job may take so many times what it may take of a CPU.
WAITS = 2.0
MOST_WORKERS = 10_000
# What is known of an avatar that is no more.
DELETED: Job = {"request": {}, "error": {"type": "MissingInput", "detail": "it was deleted"}}
# A folder without a job may be one that is being received.
ORPHAN_S = 3600.0


class Crew:
    """Takes jobs from the queue for its workers until it is told to stop."""

    def __init__(self, settings: Settings, queue: Queue) -> None:
        """Raises InputError where there is no such cluster."""
        self._settings, self._queue = settings, queue
        self._folder = settings.data / "jobs"
        self._stopping = asyncio.Event()
        where, most = settings.cluster, settings.workers or MOST_WORKERS
        about = {"data": str(settings.data), "here": where is None}
        task = Task("mdth.serve.work:run", about, log.getEffectiveLevel())
        self._opened = ExitStack()
        self.workers = self._opened.enter_context(
            run.crew(task, where, settings.workers, most=most)
        )
        look = Task("mdth.serve.work:look")
        self._looker = local.LocalWorker(look, {*devices.usable_cores()}, [], timeout_s=None)
        self._opened.callback(self._looker.close)
        self._turn = asyncio.Lock()
        self._running: dict[str, Job] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the event loop that runs."""
        self._tasks = [asyncio.create_task(self._work(worker)) for worker in self.workers]

    async def look(self, folder: Path) -> Json:
        """What `work.look` finds in a folder. Raises LimitExceeded where that took too much."""
        async with self._turn:
            outcome = await _outcome(self._looker, str(folder), LOOK_S)
            if outcome.again:  # it may have been killed before
                outcome = await _outcome(self._looker, str(folder), LOOK_S)
        if outcome.state == "failed":
            raise LimitExceeded(self._cleaned(outcome.error))
        return dict(outcome.value)

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
        await asyncio.to_thread(self._opened.close)

    async def _work(self, worker: run.Worker) -> None:
        up = False
        while not self._stopping.is_set():
            try:
                up = up or await _is_up(worker)
                job = self._queue.claim() if up else None
                if job is None:
                    await asyncio.sleep(IDLE_S)
                else:
                    await self._do(worker, job)
            except Exception:
                log.exception("a job could not be given out; trying again")
                await asyncio.sleep(1)

    async def _do(self, worker: run.Worker, job: Job) -> None:
        begun = time.monotonic()
        self._running[job["id"]] = job
        try:
            order, limit_s = await asyncio.to_thread(self._order, job)
            ticket = f"{job['id']}/{job['claim']}"
            outcome = await _outcome(worker, ticket, limit_s, lambda: self._beat(job, order))
            if not self._stopping.is_set() or outcome.state != "failed":
                await asyncio.to_thread(self._end, job, outcome)
        finally:
            del self._running[job["id"]]
        log.info("%s: %s after %.1f s", job["id"], outcome.state, time.monotonic() - begun)

    def _order(self, job: Job) -> tuple[Path, float]:
        """Write what is to be done; and how long it may take by the clock."""
        known = self._queue.read("SELECT request, error FROM jobs WHERE id = ?", job["avatar"])
        avatar = known[0] if known else DELETED
        place = self._folder / job["id"] / job["claim"]
        place.mkdir(exist_ok=True)
        order = write_json(place / JOB, {**job, "avatar_error": avatar["error"]})
        clip_s = sum(about["request"].get("clip_s", 0.0) for about in (job, avatar))
        media_s = self._settings.seconds if job["object"] == "twin" else job["speech_s"] + clip_s
        most_s = WAITS * guard.setting(guard.TIME_S) * (1 + guard.SHARE * media_s)
        return order, most_s or float("inf")

    def _beat(self, job: Job, order: Path) -> bool:
        """Say that a job is alive and how far it is; without its order it ends."""
        told = order.with_name(PROGRESS)
        far = read_json(told) if told.exists() else {}
        own = job["id"], job["claim"]
        wanted = self._queue.beat(*own, far.get("progress", 0), far.get("left_s"))
        if not wanted:
            order.unlink(missing_ok=True)
        return wanted

    def _end(self, job: Job, outcome: Outcome) -> None:
        """Note what became of a job, and delete what nobody needs any more."""
        own = job["id"], job["claim"]
        folder, keep_s = self._folder / job["id"], self._settings.keep_s
        if outcome.again:
            self._queue.hand_back(*own, why=self._cleaned(outcome.error))
            return
        found = outcome.value
        if outcome.state == "failed":
            found = {"error": {"type": LimitExceeded.__name__, "detail": outcome.error}}
        if not found:
            return  # it was not ours any more
        if error := found.get("error"):
            error["detail"] = self._cleaned(error["detail"], job)
            if self._queue.finish(*own, error=error, keep_s=keep_s):
                shutil.rmtree(folder, ignore_errors=True)
            return
        # Who dubs compares with the clip.
        names = ("speech",) if job["object"] == "dub" else ("speech", "source")
        sent = [folder / name for name in names if (folder / name).exists()]
        size = size_below(folder) - sum(path.stat().st_size for path in sent)
        stays_s = None if job["object"] == "avatar" else keep_s
        ours = self._queue.finish(*own, result=found["result"], keep_s=stays_s, size=size)
        for path in sent if ours else ():
            path.unlink(missing_ok=True)

    def _cleaned(self, words: str, job: Job | None = None) -> str:
        return in_user_words(words, job, data=self._settings.data)


async def _is_up(worker: run.Worker) -> bool:
    """Start a worker; whether it can take part."""
    if problem := await asyncio.wrap_future(await asyncio.to_thread(worker.start)):
        log.error("a worker does not start: %s", problem)
        await asyncio.sleep(NOTICE_S)
    return not problem


async def _outcome(
    worker: run.Worker, ticket: str, limit_s: float, beat: Callable[[], bool] = lambda: True
) -> Outcome:
    """What a worker makes of a ticket; it ends where that takes too long, or is not wanted."""
    begun, unwanted_s, seconds = time.monotonic(), 0.0, 0.0
    future = asyncio.wrap_future(await asyncio.to_thread(worker.begin, ticket))
    while unwanted_s < NOTICE_S and seconds < limit_s:
        if (await asyncio.wait([future], timeout=min(BEAT_S, limit_s)))[0]:
            break
        seconds = time.monotonic() - begun
        unwanted_s = 0.0 if await asyncio.to_thread(beat) else unwanted_s + BEAT_S
    try:
        if future.done():
            return future.result()
        words = f"took more than {limit_s:g} s; use less speech or a smaller file"
        outcome = failed(words, seconds=seconds)
        future.cancel()
    except Exception as error:  # noqa: BLE001 (what pebble or Ray raise, `lost` knows)
        outcome = worker.lost(error, time.monotonic() - begun)
    await _is_up(worker)  # whatever its process says, it is broken
    return outcome


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
