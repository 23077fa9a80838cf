"""Stages of the work, each told in one log line when it has ended: how long, how many bytes.

A line's record carries `stage`, `twin`, `seconds` and `bytes`, which `--log json` prints as such.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

log = logging.getLogger("mdth")

_twin: ContextVar[str | None] = ContextVar("twin", default=None)


class Moved:
    """Bytes that a stage reads or writes, counted while it lasts."""

    def __init__(self) -> None:
        self.bytes: int | None = None

    def add(self, count: int) -> None:
        """Count some more."""
        self.bytes = (self.bytes or 0) + count


_open: list[Moved] = []


@contextmanager
def about(twin: str) -> Iterator[None]:
    """Every stage inside the `with` is this twin's."""
    before = _twin.set(twin)
    try:
        yield
    finally:
        _twin.reset(before)


def current_twin() -> str | None:
    """The twin that is being worked on."""
    return _twin.get()


@contextmanager
def stage(name: str) -> Iterator[Moved]:
    """Tell the stage when the `with` ends well; an error is told by who meets it."""
    moved = Moved()
    _open.append(moved)
    start = time.perf_counter()
    try:
        yield moved
    finally:
        _open.remove(moved)
    tell(name, seconds=time.perf_counter() - start, moved=moved.bytes)


def size_below(folder: Path) -> int:
    """Bytes of all files in a folder and below."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def count(moved: int) -> None:
    """Bytes went to or came from a store: they belong to the stages that are open."""
    for stage_open in list(_open):
        stage_open.add(moved)


def tell(name: str, *, seconds: float, moved: int | None = None) -> None:
    """One line for a stage that has ended; moved: bytes."""
    twin = current_twin()
    size = "" if moved is None else f", {moved} bytes"
    log.info(
        "%s%s: %.2f s%s",
        *(f"{twin}: " if twin else "", name, seconds, size),
        extra={"stage": name, "twin": twin, "seconds": round(seconds, 4), "bytes": moved},
    )
