"""Iterators that run ahead in a thread of their own, and how long each stage took."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


class _End:
    """Marks the end of an iterator."""


_END: Final = _End()


def ahead(items: Iterable[Item], *, depth: int) -> Generator[Item, None, None]:
    """The same items in the same order, made up to `depth` ahead by a thread of their own.

    An error in the making comes out at its place. Closing the generator ends the thread.
    """
    iterator = iter(items)
    worker = ThreadPoolExecutor(1)
    waiting = deque(worker.submit(next, iterator, _END) for _ in range(depth))
    try:
        while not isinstance(item := waiting.popleft().result(), _End):
            waiting.append(worker.submit(next, iterator, _END))
            yield item
    finally:
        worker.shutdown(cancel_futures=True)
        close(iterator)


def side_by_side(
    function: Callable[[Item], Made], items: Iterable[Item], *, workers: int, depth: int
) -> Generator[Made, None, None]:
    """`map` in several threads: the same results in the same order, up to `depth` ahead.

    The items are taken by the caller's own thread. An error comes out at its place.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Made]] = deque()
    try:
        for item in iterator:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        close(iterator)


def close(items: object) -> None:
    """Close a generator; other iterators hold nothing that needs closing."""
    if isinstance(items, Generator):
        items.close()


class Clock:
    """Seconds spent in each stage, in all threads; what one stage spends inside another is its own.

    Stages in different threads overlap, so the sum may exceed the time by the clock on the wall.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._threads = threading.local()
        self._start = time.perf_counter()

    @property
    def seconds(self) -> dict[str, float]:
        """Stage -> seconds so far, and `total` by the clock on the wall."""
        with self._lock:
            stages = {stage: round(spent, 4) for stage, spent in self._seconds.items()}
        return {**stages, "total": round(time.perf_counter() - self._start, 4)}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the `with` as `name`."""
        inner: list[float] = self._threads.__dict__.setdefault("inner", [])
        inner.append(0.0)
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            own = spent - inner.pop()
            if inner:
                inner[-1] += spent
            with self._lock:
                self._seconds[name] += own

    def each(self, name: str, items: Iterable[Item]) -> Generator[Item, None, None]:
        """The same items; the time it takes to make them counts as `name`."""
        iterator = iter(items)
        try:
            while True:
                with self.stage(name):
                    item = next(iterator, _END)
                if isinstance(item, _End):
                    return
                yield item
        finally:
            close(iterator)
