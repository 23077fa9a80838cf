"""Workers and servers are killed in mid-job: each job ends once."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import EXAMPLES, LONGEST_S, Served, ended

from mdth.batch.job import Job as Task
from mdth.serve import crew
from mdth.serve.queue import Queue
from mdth.serve.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="kills as POSIX does"),
]


def begun(client: httpx.Client, url: str) -> None:
    """Wait until some of it is done."""
    until = time.monotonic() + 60
    while client.get(url).json()["progress"] < 5:
        assert time.monotonic() < until, client.get(url).text
        time.sleep(0.05)


def sent(client: httpx.Client, portrait: bytes, *, fps: int = 60) -> str:
    """A job that is not done before a test has done something to it, or one of few frames."""
    speech = EXAMPLES / ("speech.wav" if fps == 60 else "short.wav")
    files = {"source": portrait, "speech": speech.read_bytes()}
    options = f'{{"fps": {fps}, "preset": "ultrafast"}}'
    made = client.post("/v1/talks", data={"options": options}, files=files)
    assert made.status_code == 202, made.text
    return f"/v1/talks/{made.json()['id']}"


def tries(server: Served, url: str) -> int:
    """How often a job was begun."""
    with sqlite3.connect(server.data / "serve.sqlite3") as db:
        query = "SELECT attempts FROM jobs WHERE id = ?"
        return int(db.execute(query, (url.rpartition("/")[2],)).fetchone()[0])


def ends(server: Served) -> dict[str, int]:
    """How many ends of jobs were counted."""
    with sqlite3.connect(server.data / "serve.sqlite3") as db:
        return dict(db.execute("SELECT label, value FROM counters WHERE name = 'jobs'"))


def working(server: Served) -> list[int]:
    """The processes of a server that do jobs: those with onnxruntime in their memory."""
    found = server.children()
    for name in Path("/proc").glob("[0-9]*"):  # Ray's are not its children
        with contextlib.suppress(OSError):
            ray = b"ray::" in (name / "cmdline").read_bytes()
            found += [int(name.name)] * (ray and server.mark in (name / "environ").read_bytes())
    return [one for one in found if "onnxruntime" in Path(f"/proc/{one}/maps").read_text()]


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    return serve("--workers", "1", "--grace", "0.5")


@pytest.mark.parametrize("cluster", [[], ["--cluster", "local"]], ids=["here", "ray"])
def test_a_killed_worker_costs_a_try(
    serve: Callable[..., Served], portrait: bytes, cluster: list[str]
) -> None:
    if cluster:
        pytest.importorskip("ray", reason="ray, the extra `cluster`, is not installed")
    server = serve("--workers", "1", "--grace", "0.5", *cluster)
    with server.client() as anna:
        url = sent(anna, portrait)
        begun(anna, url)
        (worker,) = working(server)
        os.kill(worker, signal.SIGKILL)
        assert ended(anna, url)["status"] == "completed"
        assert (tries(server, url), ends(server)) == (2, {"completed": 1})
        # Also those that do nothing, and the one that looks at files; not what Ray itself runs.
        for _ in range(0 if cluster else 2):
            for child in server.children():
                os.kill(child, signal.SIGKILL)
            assert ended(anna, sent(anna, portrait, fps=10))["status"] == "completed"


def test_a_killed_server_finishes_the_job_when_it_is_back(server: Served, portrait: bytes) -> None:
    with server.client() as anna:
        url, before = sent(anna, portrait), ends(server).get("completed", 0)
        begun(anna, url)
        workers = working(server)
    server.process.kill()
    server.stop()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until, "a worker outlives its server"
        time.sleep(0.1)
    server.start()
    with server.client() as anna:
        job = ended(anna, url)
        assert job["status"] == "completed"
        assert anna.get(job["content_url"]).content[4:8] == b"ftyp"
    assert ends(server)["completed"] == before + 1


def test_a_stopped_server_hands_its_job_back(server: Served, portrait: bytes) -> None:
    with server.client() as anna:
        url, before = sent(anna, portrait), ends(server).get("completed", 0)
        begun(anna, url)
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 15
    server.start()
    with server.client() as anna:
        assert anna.get(url).json()["status"] in ("queued", "in_progress")
        assert ended(anna, url)["status"] == "completed"
    assert (tries(server, url), ends(server)["completed"]) == (1, before + 1)


def test_a_cancelled_job_stops(server: Served, portrait: bytes) -> None:
    with server.client() as anna:
        url = sent(anna, portrait)
        begun(anna, url)
        assert anna.delete(url).json()["status"] == "cancelled"
        next_url = sent(anna, portrait, fps=10)
        assert ended(anna, next_url)["status"] == "completed"
        assert anna.get(url).json()["status"] == "cancelled"
        assert anna.delete(url).status_code == 204
        assert anna.get(url).status_code == 404
    assert not (server.data / "jobs" / url.rpartition("/")[2]).exists()


def hangs(ticket: str, **_: Any) -> bool:
    """A job that waits for ever, without any CPU time."""
    time.sleep(600)
    return True


def done(data: Path, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """What a crew of its own makes of talks."""
    queue, settings = Queue(data), Settings(data)
    for number, more in enumerate(jobs):
        (data / f"jobs/talk_{number}").mkdir(parents=True)
        about = {"id": f"talk_{number}", "object": "talk", "owner": "anna", "created": time.time()}
        queue.add(about | {"name": "n", "bytes": 0, "request": "{}", **more}, settings)

    async def run() -> None:
        workers = crew.Crew(settings, queue)
        workers.start()
        while queue.read("SELECT 1 FROM jobs WHERE completed IS NULL"):
            await asyncio.sleep(0.1)
        await workers.stop()

    asyncio.run(asyncio.wait_for(run(), LONGEST_S))
    return queue.read("SELECT * FROM jobs ORDER BY n")


def test_a_job_that_hangs_fails_and_the_next_one_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock, in a time that grows with its speech."""
    monkeypatch.setattr(crew, "WAITS", 1 / 300)
    monkeypatch.setattr(crew, "Task", lambda *_: Task(f"{__name__}:hangs"))
    jobs = done(tmp_path, {"speech_s": 0.5}, {"speech_s": 10})
    for job, limit in zip(jobs, ("1.1", "3"), strict=True):
        assert (job["status"], job["error"]["type"]) == ("failed", "LimitExceeded")
        assert f"took more than {limit} s" in job["error"]["detail"]
        assert float(limit) <= job["completed"] - job["started"] < float(limit) + 10


def test_a_job_whose_avatar_was_deleted_says_so(tmp_path: Path) -> None:
    (job,) = done(tmp_path, {"speech_s": 1, "avatar": "av_1", "request": '{"options": {}}'})
    assert job["error"] == {"type": "MissingInput", "detail": "the avatar: it was deleted"}
    assert job["attempts"] == 1
