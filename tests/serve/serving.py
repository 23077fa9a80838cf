"""Servers as users start them, and what is sent to them."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from made_media import make_wav

from mdth.twins import sample

EXAMPLES = Path(sample.__file__).parents[1] / "examples"
KEYS = {"anna": "anna-0123456789abcdef", "bert": "bert-0123456789abcdef"}
OPTIONS = '{"fps": 10, "preset": "ultrafast"}'
LONGEST_S = 120.0


class Served:
    """A server's process, and clients of it."""

    def __init__(self, data: Path, *flags: str, keys: bool = True, **environment: str) -> None:
        self.data, self._flags = data, flags
        given = ",".join(f"{name}:{key}" for name, key in KEYS.items()) if keys else ""
        self._environment = {**os.environ, "MDTH_API_KEYS": given, **environment}
        self.start()

    def start(self) -> None:
        """Until it says where it is."""
        command = [sys.executable, "-m", "mdth", "serve", "--port", "0", "--data", str(self.data)]
        self.log = self.data.with_suffix(".log").open("ab")
        self.process = subprocess.Popen(
            [*command, *self._flags],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=self._environment,
        )
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        assert self.url, Path(self.log.name).read_text()

    def client(self, owner: str | None = "anna") -> httpx.Client:
        headers = {"Authorization": f"Bearer {KEYS[owner]}"} if owner else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def workers(self) -> list[int]:
        """The process ids of its children that have done a job."""
        return [int(line) for line in _out("pgrep", "-P", str(self.process.pid)).split()]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.stdout
        self.process.stdout.close()
        self.log.close()
        return self.process.wait(LONGEST_S)


def _out(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """What starts servers, each with a folder of its own; they end with the module."""
    with contextlib.ExitStack() as opened:

        def start(*flags: str, **more: Any) -> Served:
            served = Served(tmp_path_factory.mktemp("served") / "data", *flags, **more)
            opened.callback(served.stop)
            return served

        yield start


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small picture: the face alone, 200 px."""
    whole = cv2.imread(str(EXAMPLES / "grace_hopper.jpg"))
    small = cv2.resize(whole[60:460, 60:460], (200, 200), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small)[1])


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Half a second."""
    sound = 0.2 * np.sin(np.arange(8000) * 0.05) * np.hanning(8000)
    return make_wav(tmp_path_factory.mktemp("sound") / "half.wav", sound).read_bytes()


def ended(client: httpx.Client, url: str) -> dict[str, Any]:
    """A job once it has ended."""
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until:
        job: dict[str, Any] = client.get(url).json()
        if job["status"] not in ("queued", "in_progress"):
            return job
        time.sleep(0.1)
    raise AssertionError(f"{url} does not end: {job}")
