"""Servers as users start them, and what is sent to them."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import jsonschema
import numpy as np
import pytest
from made_media import make_wav

import mdth
from mdth.twins import sample

API = json.loads((Path(mdth.__file__).parent / "serve/openapi.json").read_bytes())
EXAMPLES = Path(sample.__file__).parents[1] / "examples"
KEYS = {"anna": "anna-0123456789abcdef", "bert": "bert-0123456789abcdef"}
OPTIONS = '{"fps": 10, "preset": "ultrafast"}'
LONGEST_S = 120.0
FOLDER = "its data"  # of which no answer tells anything


def as_promised(answer: httpx.Response) -> None:
    """An answer is one of those that openapi.json has for its request, and has its schema."""
    path = answer.request.url.path.removesuffix("\n")  # which `$` in Starlette's routes passes by
    method = answer.request.method.lower().replace("head", "get")
    named = [name for name in API["paths"] if re.fullmatch(_pattern(name), path)]
    operations = [API["paths"][name][method] for name in named if method in API["paths"][name]]
    if not operations:
        assert answer.status_code in (404, 405), answer
        return
    promised = operations[0]["responses"]
    assert str(answer.status_code) in promised, f"{method} {path}: {answer.status_code}"
    about = promised[str(answer.status_code)]
    about = API["components"]["responses"].get(about.get("$ref", "").rpartition("/")[2], about)
    kind = answer.headers.get("content-type", "").partition(";")[0]
    kinds = about.get("content", {})
    assert kind in kinds or not kinds or "video/*" in kinds, f"{path}: {kind}, not {[*kinds]}"
    whole = answer.request.method != "HEAD" and answer.status_code != 206
    if kind.endswith("json") and whole:
        schema = {**kinds[kind]["schema"], "components": API["components"]}
        jsonschema.validate(json.loads(answer.read()), schema)
        assert FOLDER not in answer.text and "data/" not in answer.text


def _pattern(template: str) -> str:
    return re.sub(r"\{\w+\}", "[^/]+", template)


class Served:
    """A server's process, and clients of it.

    hasty: constants of `mdth.serve` that have another value there, such as `queue.LEASE_S`.
    """

    def __init__(
        self,
        data: Path,
        *flags: str,
        keys: bool = True,
        hasty: dict[str, float] | None = None,
        **environment: str,
    ) -> None:
        self.data, self._flags = data, flags
        changed = "".join(
            f"import mdth.serve.{name.split('.')[0]}; mdth.serve.{name} = {value}; "
            for name, value in (hasty or {}).items()
        )
        run = "import sys; from mdth.cli import main; sys.exit(main(sys.argv[1:]))"
        self._main = ["-c", changed + run] if changed else ["-m", "mdth"]
        given = ",".join(f"{name}:{key}" for name, key in KEYS.items()) if keys else ""
        self.mark = os.urandom(8).hex().encode()  # in the environment of all its processes
        mark = {"MDTH_MARK": self.mark.decode()}
        self._environment = {**os.environ, **mark, "MDTH_API_KEYS": given, **environment}
        self.start()

    def start(self) -> None:
        """Until it says where it is."""
        command = [sys.executable, *self._main, "serve", "--port", "0", "--data", str(self.data)]
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
        hooks = {"response": [as_promised]}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, event_hooks=hooks)

    def children(self) -> list[int]:
        """The processes that it has started."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for thread in threads for child in thread.read_text().split()]

    def connections(self) -> int:
        """How many are open at its side: established, or left by the other."""
        port = f":{httpx.URL(self.url).port:04X}"
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(port) and row[3] in ("01", "08") for row in rows)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.stdout
        self.process.stdout.close()
        self.log.close()
        return self.process.wait(LONGEST_S)


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """What starts servers, each with a folder of its own; they end with the module."""
    with contextlib.ExitStack() as opened:

        def start(*flags: str, **more: Any) -> Served:
            served = Served(tmp_path_factory.mktemp("served") / FOLDER, *flags, **more)
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
