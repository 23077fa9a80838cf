"""One job's stages: each told in a log line when it has ended, how long and how many bytes.

A line's record carries `stage`, `twin`, `seconds` and `bytes`, which `--log json` prints as such.
Stages and stopwatch belong to the job that runs in this context, and to threads that were started
with a copy of it (`contextvars.copy_context`): two jobs in one process do not see each other's.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from pathlib import Path
from typing import TypeVar

log = logging.getLogger("mdth")

Item = TypeVar("Item")
Made = TypeVar("Made")


class Moved:
    """Bytes that a stage reads or writes, counted while it lasts."""

    def __init__(self) -> None:
        self.bytes: int | None = None

    def add(self, count: int) -> None:
        """Count some more."""
        self.bytes = (self.bytes or 0) + count


class Stopwatch:
    """Seconds that a job spent in each stage, in all its threads.

    What one stage spends inside another is its own. Stages in different threads overlap, so the sum
    may exceed the time by the clock on the wall.
    """

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @property
    def seconds(self) -> dict[str, float]:
        """So far, with the whole time as `total`."""
        total = time.perf_counter() - self._started
        with self._lock:
            return {
                name: round(spent, 4) for name, spent in {**self._seconds, "total": total}.items()
            }

    def add(self, name: str, seconds: float) -> None:
        """Count some more."""
        with self._lock:
            self._seconds[name] += seconds


_twin: ContextVar[str | None] = ContextVar("twin", default=None)
_open: ContextVar[tuple[Moved, ...]] = ContextVar("open", default=())
_stopwatch: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)
# What the stages inside this one have spent.
_inside: ContextVar[list[float] | None] = ContextVar("inside", default=None)


@contextmanager
def _set(variable: ContextVar[Made], value: Made) -> Iterator[Made]:
    before = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(before)


@contextmanager
def job() -> Iterator[Stopwatch]:
    """A stopwatch for all that runs inside the `with`."""
    watch = Stopwatch()
    with _set(_stopwatch, watch):
        yield watch


def in_thread(function: Callable[..., Made]) -> Callable[..., Made]:
    """The function for another thread, where the job's stages go on; called once."""
    context = copy_context()
    context.run(_inside.set, None)
    return partial(context.run, function)


def about(twin: str) -> AbstractContextManager[str | None]:
    """Every stage inside the `with` is this twin's."""
    return _set(_twin, twin)


def current_twin() -> str | None:
    """The twin that is being worked on."""
    return _twin.get()


@contextmanager
def spent(name: str) -> Iterator[None]:
    """The job's stopwatch counts the time inside the `with`, stages inside it apart."""
    watch = _stopwatch.get()
    if watch is None:
        yield
        return
    outer, inner = _inside.get(), [0.0]
    start = time.perf_counter()
    try:
        with _set(_inside, inner):
            yield
    finally:
        whole = time.perf_counter() - start
        watch.add(name, whole - inner[0])
        if outer is not None:
            outer[0] += whole


def each(name: str, items: Iterator[Item]) -> Iterator[Item]:
    """The same items; the time it takes to get them is spent in the stage."""
    end = object()
    while True:
        with spent(name):
            item = next(items, end)
        if item is end:
            return
        yield item  # type: ignore[misc]


@contextmanager
def stage(name: str) -> Iterator[Moved]:
    """Tell the stage when the `with` ends well; an error is told by who meets it."""
    moved = Moved()
    start = time.perf_counter()
    with _set(_open, (*_open.get(), moved)):
        yield moved
    tell(name, seconds=time.perf_counter() - start, moved=moved.bytes)


def size_below(folder: Path) -> int:
    """Bytes of all files in a folder and below."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def count(moved: int) -> None:
    """Bytes went to or came from a store: they belong to the stages that are open here."""
    for stage_open in _open.get():
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
