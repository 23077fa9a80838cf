"""Workers and servers are killed in mid-job: each job ends once."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import EXAMPLES, Served, ended

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="kills as POSIX does")


def begun(client: httpx.Client, url: str) -> None:
    """Wait until some of it is done."""
    until = time.monotonic() + 60
    while client.get(url).json()["progress"] < 5:
        assert time.monotonic() < until, client.get(url).text
        time.sleep(0.05)


def sent(client: httpx.Client, portrait: bytes, *, fps: int = 25) -> str:
    files = {"source": portrait, "speech": (EXAMPLES / "short.wav").read_bytes()}
    options = f'{{"fps": {fps}, "preset": "ultrafast"}}'
    made = client.post("/v1/talks", data={"options": options}, files=files)
    assert made.status_code == 202, made.text
    return f"/v1/talks/{made.json()['id']}"


def tries(server: Served) -> dict[str, Any]:
    """Of the only job: how often it was begun, and how often an end of it was counted."""
    with sqlite3.connect(server.data / "serve.sqlite3") as db:
        (attempts,) = db.execute("SELECT attempts FROM jobs").fetchone()
        ends = dict(db.execute("SELECT label, value FROM counters WHERE name = 'jobs'"))
    return {"attempts": attempts, **ends}


def working(server: Served) -> list[int]:
    """The processes of a server that do jobs: those with many files in their memory."""
    found = []
    for process in server.children():
        maps = Path(f"/proc/{process}/maps").read_text()
        found += [process] if "onnxruntime" in maps else []
    return found


@pytest.fixture
def server(serve: Callable[..., Served]) -> Served:
    return serve("--workers", "1", "--grace", "0.5")


def test_a_killed_worker_costs_a_try(server: Served, portrait: bytes) -> None:
    with server.client() as anna:
        url = sent(anna, portrait)
        begun(anna, url)
        for worker in working(server):
            os.kill(worker, signal.SIGKILL)
        assert ended(anna, url)["status"] == "completed"
    assert tries(server) == {"attempts": 2, "completed": 1}


def test_a_killed_server_finishes_the_job_when_it_is_back(server: Served, portrait: bytes) -> None:
    with server.client() as anna:
        url = sent(anna, portrait)
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
    assert tries(server)["completed"] == 1


def test_a_stopped_server_hands_its_job_back(server: Served, portrait: bytes) -> None:
    with server.client() as anna:
        url = sent(anna, portrait, fps=60)
        begun(anna, url)
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 15
    server.start()
    with server.client() as anna:
        assert anna.get(url).json()["status"] in ("queued", "in_progress")
        assert ended(anna, url)["status"] == "completed"
    assert tries(server) == {"attempts": 1, "completed": 1}


def test_a_cancelled_job_stops(server: Served, portrait: bytes) -> None:
    with server.client() as anna:
        url = sent(anna, portrait, fps=60)
        begun(anna, url)
        assert anna.delete(url).json()["status"] == "cancelled"
        next_url = sent(anna, portrait, fps=10)
        assert ended(anna, next_url)["status"] == "completed"
        assert anna.get(url).json()["status"] == "cancelled"
        assert anna.delete(url).status_code == 204
        assert anna.get(url).status_code == 404
    assert not (server.data / "jobs" / url.rpartition("/")[2]).exists()
