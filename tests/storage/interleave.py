"""Threads that run one step at a time, in an order drawn by lot, so that it can be drawn again."""

import random
import threading
from collections.abc import Callable
from typing import Any


class Turns:
    """Lets one of several threads run, up to its next `step`."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._condition = threading.Condition()
        self._waiting: set[int] = set()
        self._running = 0
        self._next: int | None = None

    def step(self) -> None:
        """Called by a thread before each of its steps: it goes on when its turn comes."""
        me = threading.get_ident()
        with self._condition:
            if me not in self._known:
                return
            self._waiting.add(me)
            self._draw()
            self._condition.wait_for(lambda: self._next == me, timeout=60)
            self._next = None
            self._waiting.discard(me)

    def _draw(self) -> None:
        """Choose who goes on, once all that still run are waiting."""
        if self._next is None and self._waiting and len(self._waiting) == self._running:
            self._next = self._random.choice(sorted(self._waiting, key=self._known.index))
            self._condition.notify_all()

    def run(self, *calls: Callable[[], Any]) -> list[Any]:
        """What the calls return or raise, each in a thread of its own."""
        results: list[Any] = [None] * len(calls)
        self._known: list[int] = []
        self._running = len(calls)
        ready = threading.Barrier(len(calls))

        def thread(number: int) -> None:
            with self._condition:
                self._known.append(threading.get_ident())
            ready.wait()
            try:
                self.step()
                results[number] = calls[number]()
            except Exception as error:  # noqa: BLE001  the caller looks at it
                results[number] = error
            finally:
                with self._condition:
                    self._running -= 1
                    self._draw()

        threads = [threading.Thread(target=thread, args=(number,)) for number in range(len(calls))]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return results
