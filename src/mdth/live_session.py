"""An avatar that is there: it speaks when sound comes and is alive in between, for ever.

Frame k is shown at k / fps and carries the sound of its own time, so that nothing can drift. The
engine hears `look_ahead_s` beyond a frame: where nothing was pushed it hears silence for the time
being, and unhears it (`mdth.engine.Rewinding`) when sound comes after all. With `pace`, a frame
that is late shows the picture before it, and where many are, fewer are drawn, evenly: the sound is
never late for long.
"""

import logging
import math
import threading
import time
from collections import deque
from typing import NamedTuple, Protocol, Self, Unpack, cast

import numpy as np
import numpy.typing as npt

from mdth import engines
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray, Frame
from mdth.engine import Avatar, Rewinding, Session
from mdth.errors import InputError, ours
from mdth.media.resample import Resampler, samples
from mdth.options import LIVE_MESH, Choices, Options

log = logging.getLogger("mdth")

IDLE, SPEAKING, STARVED, INTERRUPTED = "idle", "speaking", "starved", "interrupted"
# What live sessions choose unless they are told.
LIVE = Choices(fps=25, engine_mesh=LIVE_MESH)
# After an interruption the mouth is shut in this time.
SHUT_S = 0.15
# Fewer frames are drawn, one of up to MOST, when so many were late of late, and more again when so
# many were not and there would be time for them, with some to spare.
MOST, LATE, CALM, SPARE = 5, 4, 50, 0.8
NOTHING = np.zeros(0, np.float32)


class Clock(Protocol):
    """What tells the time and waits; the module `time` is one."""

    def monotonic(self) -> float:
        """Seconds."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


class LiveFrame(NamedTuple):
    """picture: RGB uint8 [H,W,3]. sound: float32 [n] of its 1 / fps s, mono, 16 kHz."""

    picture: Frame
    sound: FloatArray
    time_s: float


@ours
def live(
    avatar: Avatar, *, pace: bool = False, clock: Clock = time, **choices: Unpack[Choices]
) -> "LiveSession":
    """A session that never ends, `fps` (default: 25) frames a second.

    The mouth is `engine_mesh` live unless another one is chosen. pace: each frame waits for its
    time on the clock. choices: see `mdth.options`. Raises InputError for an engine that hears a
    speech to its end before it speaks.
    """
    options = Options.of(**(LIVE | choices))
    return LiveSession(engines.of(avatar, options).open(avatar, options), pace=pace, clock=clock)


class LiveSession:
    """An iterator of `LiveFrame`s without an end, by one thread; any thread may call the rest.

    state: of the latest frame: "speaking"; "idle"; "starved" where the sender stopped without
    `end_of_speech`; "interrupted" until the mouth is shut. size: width and height in px. repeated:
    how many frames showed the picture before for want of time. drawn_fps: frames a second that are
    drawn; fewer than fps where there is no time for all, which the log says, too.
    """

    def __init__(self, session: Session, *, pace: bool = False, clock: Clock = time) -> None:
        """Takes over an engine's session. Raises InputError for one that cannot live."""
        if not isinstance(session, Rewinding) or session.look_ahead_s == float("inf"):
            session.close()
            raise InputError("this avatar hears a speech to its end first; live needs one of the "
                             "engine embedded, and its mouth")  # fmt: skip
        self._session, self.size, self.fps = session, session.size, session.fps
        self._rewinding: Rewinding = session
        # Speech begins when this much has come, or its end; half a frame bridges uneven blocks.
        self._enough = round((session.look_ahead_s + 0.5 / self.fps) * SPEECH_RATE_HZ)
        self._pace, self._clock, self._began_s = pace, clock, 0.0
        self._lock, self._drawing = threading.Lock(), threading.Lock()
        self._pushed, self._resampler = _Queue(), Resampler(SPEECH_RATE_HZ)
        self._others, self._from_others = _Queue(), Resampler(SPEECH_RATE_HZ)
        self._ended, self._cut, self._closed = True, False, False
        self._number = self._waited = 0
        # What the engine heard from the next frame on, and the sample where sound in it ends.
        self._ahead, self._sound_end = NOTHING, 0
        self._shut_s = -SHUT_S
        self.state, self.repeated = IDLE, 0
        self._picture: Frame | None = None
        # One frame of so many is drawn; how many were late of late, and how many were not; when the
        # latest began, and how long the caller's and ours for one that is drawn take.
        self._every, self._late, self._calm = 1, 0.0, 0
        self._woke_s = self._busy_s = 0.0
        self._drew = False

    def push(self, sound: npt.ArrayLike, *, rate_hz: int = SPEECH_RATE_HZ) -> None:
        """Say float (full scale 1) or int16 [n], mono, after all that was pushed.

        Raises InputError.
        """
        block = samples(sound)
        with self._lock:
            if self._closed:
                raise InputError("the live session was closed; open another one")
            if rate_hz != self._resampler.rate_hz:
                self._pushed.add(self._resampler.finish())
                self._resampler = Resampler(rate_hz)
            self._pushed.add(self._resampler.feed(block))
            self._ended = self._ended and not len(block)

    def hear(self, sound: npt.ArrayLike, *, rate_hz: int = SPEECH_RATE_HZ) -> None:
        """What somebody else says, as `push` takes it, when it is heard: a silent avatar answers.

        Head, gaze and brows do, see `mdth.motion.listening`. Raises InputError.
        """
        block = samples(sound)
        with self._lock:
            if rate_hz != self._from_others.rate_hz:
                self._from_others = Resampler(rate_hz)
            self._others.add(self._from_others.feed(block))

    def end_of_speech(self) -> None:
        """All of an utterance was pushed: it need not wait for more, and nothing is missing."""
        with self._lock:
            self._pushed.add(self._resampler.finish())
            self._ended = True

    def interrupt(self) -> None:
        """Drop what was pushed: no sound of it comes any more, and the mouth shuts."""
        with self._lock:
            self._resampler.finish()
            self._pushed = _Queue()
            self._ended = self._cut = True

    @property
    def waiting_s(self) -> float:
        """Seconds that were pushed and that the engine has not heard yet."""
        return self._pushed.count / SPEECH_RATE_HZ

    @property
    def drawn_fps(self) -> float:
        """Frames a second that are drawn now."""
        return self.fps / self._every

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._closed = True
        with self._drawing:
            self._session.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LiveFrame:
        """The next frame. Ends only after `close`."""
        late = self._wait()
        with self._drawing:
            if self._closed:
                raise StopIteration
            start, end = self._sample(self._number), self._sample(self._number + 1)
            speaks = self._turn(start)
            with self._lock:
                heard = self._others.take(self._others.count)
            self._rewinding.listen(heard)
            drawn = self._picture is None or not (late or self._number % self._every)
            self._drew = drawn
            self.repeated += not drawn
            made, need = False, len(self._ahead) < end - start
            while not made:
                block = self._hear(end - start, speaks) if need else NOTHING
                made, need = self._made(block, drawn), True
            sound, self._ahead = self._ahead[: end - start], self._ahead[end - start :]
            with self._lock:  # while it was drawn somebody may have interrupted
                sound = np.zeros_like(sound) if self._cut else sound
                self.state = self._state(start)
            self._number += 1
            return LiveFrame(cast(Frame, self._picture), sound, (self._number - 1) / self.fps)

    def _made(self, block: FloatArray, drawn: bool) -> bool:
        """Hear a block; whether the next frame is there, which may be left out."""
        if not drawn:
            return next(self._rewinding.skip(block), 0) is None
        made = next(self._session.feed(block), None)
        self._picture = self._picture if made is None else made
        return made is not None

    def _wait(self) -> bool:
        """Until the next frame's time; whether it is later than a frame after that."""
        now_s = self._clock.monotonic()
        if not self._number:
            self._began_s = now_s
        elif self._drew:
            self._busy_s += (now_s - self._woke_s - self._busy_s) / 10
        due_s = self._began_s + self._number / self.fps
        if self._pace and due_s > now_s:
            self._clock.sleep(due_s - now_s)
        self._woke_s = max(now_s, due_s)
        late = self._pace and now_s > due_s + 1 / self.fps
        self._late, self._calm = (
            (self._late + 1, 0) if late else (0.95 * self._late, self._calm + 1)
        )
        busy = self._busy_s * self.fps
        if self._late > LATE and self._every < MOST:
            self._draw_every(max(self._every + 1, min(MOST, math.ceil(busy))))
        elif self._calm > CALM and (every := max(1, math.ceil(busy / SPARE))) < self._every:
            self._draw_every(every)
        return late

    def _draw_every(self, number: int) -> None:
        self._every, self._late, self._calm = number, 0, 0
        log.warning("live: %.1f of %d frames a second are drawn", self.drawn_fps, self.fps)

    def _sample(self, number: int) -> int:
        """Where a frame's sound begins."""
        return round(number * SPEECH_RATE_HZ / self.fps)

    def _turn(self, start: int) -> bool:
        """Before the frame at a sample: begin, go on or stop; whether pushed sound is heard now."""
        with self._lock:
            speaks = self._sound_end > start
            if self._cut:
                self._cut, self._waited = False, 0
                self._shut_s = start / SPEECH_RATE_HZ + SHUT_S
                self._rewind(start, start, forget=True)
                return False
            if not self._pushed.count:
                return speaks
            if not speaks:
                self._waited += self._sample(1)
                if max(self._pushed.count, self._waited) < self._enough and not self._ended:
                    return False
                self._sound_end, self._waited = start, 0
            if self._sound_end < start + len(self._ahead):
                self._rewind(start, self._sound_end)
            return True

    def _rewind(self, start: int, sample: int, *, forget: bool = False) -> None:
        self._rewinding.rewind(sample, forget=forget)
        self._ahead, self._sound_end = self._ahead[: sample - start], sample

    def _hear(self, count: int, speaks: bool) -> FloatArray:
        """The next block for the engine: what was pushed, then silence."""
        end = self._sample(self._number) + len(self._ahead)
        with self._lock:
            taken = self._pushed.take(count) if speaks and not self._cut else NOTHING
        if len(taken):
            self._sound_end = end + len(taken)
        block = np.pad(taken, (0, count - len(taken)))
        self._ahead = np.concatenate([self._ahead, block])
        return block

    def _state(self, start: int) -> str:
        if start / SPEECH_RATE_HZ < self._shut_s or self._cut:
            return INTERRUPTED
        if self._sound_end > start:
            return SPEAKING
        return IDLE if self._ended or self._pushed.count else STARVED


class _Queue:
    """Sound in the order it came; count: samples."""

    def __init__(self) -> None:
        self._blocks, self.count = deque[FloatArray](), 0

    def add(self, block: FloatArray) -> None:
        """Behind all."""
        if len(block):
            self._blocks.append(block)
            self.count += len(block)

    def take(self, count: int) -> FloatArray:
        """The first samples [n], at most `count`."""
        taken = [NOTHING]
        while count and self._blocks:
            block = self._blocks.popleft()
            if len(block) > count:
                self._blocks.appendleft(block[count:])
            taken.append(block[:count])
            count -= len(taken[-1])
            self.count -= len(taken[-1])
        return cast(FloatArray, np.concatenate(taken))
