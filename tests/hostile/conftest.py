"""A file and a server that tell whether anybody asked for them."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mdth.artefacts import FloatArray
from tests.support.web import Handler

IN_ACCESS, IN_OPEN = 0x1, 0x20


class Canary:
    """A readable wav; `touched` once anything in this machine has opened it (Linux' inotify)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if sys.platform != "linux":
            pytest.skip("inotify is Linux'")
        libc = ctypes.CDLL(None, use_errno=True)
        self._watch = libc.inotify_init1(os.O_NONBLOCK)
        assert self._watch >= 0
        assert libc.inotify_add_watch(self._watch, os.fsencode(path), IN_OPEN | IN_ACCESS) >= 0

    @property
    def touched(self) -> bool:
        try:
            return bool(os.read(self._watch, 65536))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._watch)


def tone(seconds: float = 1.0) -> FloatArray:
    return (0.3 * np.sin(np.arange(round(16_000 * seconds)) / 10)).astype(np.float32)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    from made_media import make_wav

    (tmp_path / "private").mkdir()
    watched = Canary(make_wav(tmp_path / "private" / "canary.wav", tone()))
    watched.path.with_name("canary.bin").write_bytes(b"")
    yield watched
    watched.close()


class Server(ThreadingHTTPServer):
    """Serves one file under every name and counts who asks."""

    content = b""
    asked: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(Handler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802  the name the library wants
        self.server.asked.append(self.path)
        self.answer(200, self.server.content)


@pytest.fixture
def server(canary: Canary) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Answer) as running:
        running.asked, running.content = [], canary.path.read_bytes()
        assert canary.touched
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()
