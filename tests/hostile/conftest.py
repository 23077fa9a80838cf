"""A file and a server that tell whether anybody asked for them."""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_media import make_wav, tone

from tests.support.web import Handler, serving

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


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    (tmp_path / "private").mkdir()
    watched = Canary(make_wav(tmp_path / "private" / "canary.wav", tone(1.0)))
    watched.path.with_name("canary.bin").write_bytes(b"")
    yield watched
    watched.close()


@pytest.fixture
def server(canary: Canary) -> Iterator[SimpleNamespace]:
    """Serves one file under every name, and notes who `asked`."""
    asked, content = list[str](), canary.path.read_bytes()
    assert canary.touched

    class Answer(Handler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.answer(200, content)

    with serving(Answer) as url:
        yield SimpleNamespace(url=url, asked=asked)
