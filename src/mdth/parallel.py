"""A function over items that come one by one, by the caller or by threads of somebody's pool."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Generic, TypeVar, cast

import numpy as np

from mdth.log.stages import in_thread

Item = TypeVar("Item")
Made = TypeVar("Made")

# glibc returns memory that a thread frees to the system above twice the largest piece ever freed,
# counted up to this many bytes; a frame's arrays would be faulted in anew, 2,000 to 3,000 pages
# where nothing else has freed so much (docs/performance.md).
LARGEST_KEPT = (32 << 20) - (64 << 10)
# Items on their way: enough that threads have work while the caller makes the next ones.
DEPTH = 4


class InOrder(Generic[Item, Made]):
    """What `function` makes of each item, in the items' order; an error comes out at its place.

    pool: who calls it, up to `depth` items at once; None: the caller's own thread.
    """

    def __init__(
        self, function: Callable[[Item], Made], pool: Executor | None = None, *, depth: int = DEPTH
    ) -> None:
        np.empty(LARGEST_KEPT, np.uint8)
        self._function, self._pool, self._depth = function, pool, depth
        self._waiting: deque[Future[Made]] = deque()

    def feed(self, item: Item) -> Iterator[Made]:
        """Begin an item; gives what is due."""
        if self._pool is None:
            yield self._function(item)
            return
        self._waiting.append(self._pool.submit(in_thread(self._function), item))
        if len(self._waiting) > self._depth:
            yield self._waiting.popleft().result()

    def finish(self) -> Iterator[Made]:
        """The rest."""
        while self._waiting:
            yield self._waiting.popleft().result()

    def close(self) -> None:
        """Let go of what was begun: what runs runs to its end, the rest is not begun."""
        for waiting in self._waiting:
            waiting.cancel()
        for waiting in self._waiting:
            if not waiting.cancelled():
                waiting.exception()
        self._waiting.clear()

    def map(self, items: Iterable[Item]) -> Iterator[Made]:
        """All of them."""
        try:
            for item in items:
                yield from self.feed(item)
            yield from self.finish()
        finally:
            self.close()


def in_threads(
    function: Callable[[Item], Made], items: Iterable[Item], threads: int
) -> Iterator[Made]:
    """What `function` makes of each item, in the items' order, by so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        yield from InOrder(function, pool, depth=threads).map(items)


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, made by a thread of their own, two of them before they are asked for."""
    end, source = object(), iter(items)
    made = in_threads(lambda _: next(source, end), itertools.repeat(None), 1)
    yield from cast(Iterator[Item], itertools.takewhile(lambda item: item is not end, made))
