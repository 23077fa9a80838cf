"""When a live session's frames are due, and which of them there is time to draw."""

import logging
import math
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, Protocol, TypeVar

log = logging.getLogger("mdth")
Made = TypeVar("Made")

# Fewer frames are drawn, one of up to MOST, when so many were late of late, and more again when so
# many were not and there would be time for them, with some to spare.
MOST, LATE, CALM, SPARE = 5, 4, 50, 0.8


class Clock(Protocol):
    """What tells the time and waits; the module `time` is one."""

    def monotonic(self) -> float:
        """Seconds."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


class Pace:
    """Frame k is due k / fps after the first; without a clock frames are due at once.

    painters: threads that draw, 0 for the caller's own. every: one frame of so many is drawn.
    """

    def __init__(self, fps: int, clock: Clock | None, painters: int) -> None:
        self._fps, self._clock, self._painters = fps, clock, painters
        self.every, self._number, self._began_s = 1, 0, 0.0
        # How many were late of late, and how many were not since; when the latest was begun.
        self._late, self._calm, self._woke_s = 0.0, 0, 0.0
        # How long a drawn frame keeps the caller, of which it only waited, and a painter.
        self._busy_s = self._idle_s = self._drawing_s = 0.0
        self._drew = False

    def now_s(self) -> float:
        """Seconds."""
        return self._clock.monotonic() if self._clock else 0.0

    def wait(self, made: "Future[Any]", *, full: bool) -> None:
        """For a frame on its way, until the next one is due; full: until it is made."""
        now_s = self.now_s()
        left_s = max(0.0, self._due_s - now_s) if self._clock and not full else None
        wait([made], left_s)
        self._idle_s += self.now_s() - now_s

    def begin(self) -> bool:
        """The next frame, when it is due; whether it is drawn."""
        now_s = self.now_s()
        if not self._number:
            self._began_s = now_s
        elif self._drew:
            self._busy_s += (now_s - self._woke_s - self._idle_s - self._busy_s) / 10
        due_s = self._due_s
        if self._clock and due_s > now_s:
            self._clock.sleep(due_s - now_s)
        self._woke_s, self._idle_s = max(now_s, due_s), 0.0
        late = self._clock is not None and now_s > due_s + 1 / self._fps
        self._choose(late)
        self._drew = not self._number or not (late or self._number % self.every)
        self._number += 1
        return self._drew

    def timed(self, draw: Callable[[], Made]) -> Made:
        """What a painter draws; it takes note of how long that takes."""
        began_s = self.now_s()
        made = draw()
        self._drawing_s += (self.now_s() - began_s - self._drawing_s) / 10
        return made

    @property
    def _due_s(self) -> float:
        return self._began_s + self._number / self._fps

    def _choose(self, late: bool) -> None:
        """Of how many one is drawn."""
        self._late, self._calm = (
            (self._late + 1, 0) if late else (0.95 * self._late, self._calm + 1)
        )
        busy = max(self._busy_s, self._drawing_s / max(1, self._painters)) * self._fps
        every = self.every
        if self._late > LATE and every < MOST:
            every = max(every + 1, min(MOST, math.ceil(busy)))
        elif self._calm > CALM:
            every = min(every, max(1, math.ceil(busy / SPARE)))
        if every != self.every:
            self.every, self._late, self._calm = every, 0, 0
            log.warning("live: %.1f of %d frames a second are drawn", self._fps / every, self._fps)
