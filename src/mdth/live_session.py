"""An avatar that is there: it speaks when sound comes and is alive in between, for ever.

Frame k is shown at k / fps and carries the sound of its own time, so that nothing can drift. The
engine hears `look_ahead_s` beyond a frame: where nothing was pushed it hears silence for the time
being, and unhears it (`mdth.engine.Rewinding`) when sound comes after all. With `pace`, threads
draw a frame while the caller has the one before; one that is late shows the picture before it, and
where many are, fewer are drawn, evenly: the sound is never late for long.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Self, Unpack, cast

import numpy as np
import numpy.typing as npt

from mdth import engines
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray, Frame
from mdth.engine import Avatar, Rewinding, Session
from mdth.errors import InputError, ours
from mdth.media.resample import SoundQueue
from mdth.options import LIVE_MESH, Choices, Options
from mdth.pace import Clock, Pace

IDLE, SPEAKING, STARVED, INTERRUPTED = "idle", "speaking", "starved", "interrupted"
# What live sessions choose unless they are told.
LIVE = Choices(fps=25, engine_mesh=LIVE_MESH)
# After an interruption the mouth is shut in this time.
SHUT_S = 0.15
# Threads that draw, and frames on their way at most.
PAINTERS = 2
NOTHING = np.zeros(0, np.float32)


class LiveFrame(NamedTuple):
    """picture: RGB uint8 [H,W,3]. sound: float32 [n] of its 1 / fps s, mono, 16 kHz."""

    picture: Frame
    sound: FloatArray
    time_s: float


class _Begun(NamedTuple):
    """A frame on its way. picture: None shows the one before. cuts: interruptions before it."""

    picture: Future[Frame] | None
    sound: FloatArray
    time_s: float
    state: str
    ended: int
    cuts: int


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
    session = engines.of(avatar, options).open(avatar, options)
    pool = ThreadPoolExecutor(PAINTERS, "mdth-paint") if pace else None
    return LiveSession(session, pace=pace, clock=clock, pool=pool)


class LiveSession:
    """An iterator of `LiveFrame`s without an end, by one thread; any thread may call the rest.

    state: of the latest frame: "speaking"; "idle"; "starved" where the sender stopped without
    `end_of_speech`; "interrupted" until the mouth is shut. ended: how many utterances, each told by
    `end_of_speech`, had their last sound in it. size: width and height in px. repeated: how many
    frames showed the picture before for want of time. drawn_fps: frames a second that are drawn;
    fewer than fps where there is no time for all, which the log says, too. closed: by `close`.
    """

    def __init__(
        self,
        session: Session,
        *,
        pace: bool = False,
        clock: Clock = time,
        pool: ThreadPoolExecutor | None = None,
    ) -> None:
        """Takes over an engine's session, and a pool of PAINTERS threads that draw its frames.

        Raises InputError for a session that cannot live.
        """
        if not isinstance(session, Rewinding) or session.look_ahead_s == float("inf"):
            session.close()
            raise InputError("this avatar hears a speech to its end first; live needs one of the "
                             "engine embedded, and its mouth")  # fmt: skip
        self._session, self.size, self.fps = session, session.size, session.fps
        self._rewinding: Rewinding = session
        # Speech begins when this much has come, or its end; half a frame bridges uneven blocks.
        self._enough = round((session.look_ahead_s + 0.5 / self.fps) * SPEECH_RATE_HZ)
        self._pool, painters = pool, PAINTERS if pool else 0
        self._pace = Pace(self.fps, clock if pace else None, painters)
        self._lock, self._drawing = threading.Lock(), threading.Lock()
        self._pushed, self._others = SoundQueue(), SoundQueue()
        self._ended, self._cut, self._cuts, self.closed = True, False, 0, False
        # Frames on their way, the number of the next one, samples that were shown.
        self._begun, self._number, self._shown = deque[_Begun](), 0, 0
        # What the engine heard from the next frame on, and the sample where sound in it ends.
        self._ahead, self._sound_end, self._waited = NOTHING, 0, 0
        self._shut_s = -SHUT_S
        self.state, self.ended, self.repeated = IDLE, 0, 0
        self._picture: Frame | None = None

    def push(self, sound: npt.ArrayLike, *, rate_hz: int = SPEECH_RATE_HZ) -> None:
        """Say float (full scale 1) or int16 [n], mono, after all that was pushed.

        Raises InputError.
        """
        with self._lock:
            if self.closed:
                raise InputError("the live session was closed; open another one")
            self._ended = not self._pushed.push(sound, rate_hz) and self._ended

    def hear(self, sound: npt.ArrayLike, *, rate_hz: int = SPEECH_RATE_HZ) -> None:
        """What somebody else says, as `push` takes it, when it is heard: a silent avatar answers.

        Head, gaze and brows do, see `mdth.motion.listening`. Raises InputError.
        """
        with self._lock:
            self._others.push(sound, rate_hz)

    def end_of_speech(self) -> None:
        """All of an utterance was pushed: it need not wait for more, and nothing is missing."""
        with self._lock:
            self._pushed.end()
            self._ended = True

    def interrupt(self) -> None:
        """Drop what was pushed: no sound of it comes any more, and the mouth shuts."""
        with self._lock:
            self._pushed = SoundQueue()
            self._ended = self._cut = True
            self._cuts += 1

    @property
    def waiting_s(self) -> float:
        """Seconds that were pushed and not shown yet."""
        with self._lock:
            begun = 0 if self._cut else max(0, self._sound_end - self._shown)
            return (self._pushed.count + begun) / SPEECH_RATE_HZ

    @property
    def drawn_fps(self) -> float:
        """Frames a second that are drawn now."""
        return self.fps / self._pace.every

    def close(self) -> None:
        """End it."""
        self.closed = True
        with self._drawing:
            if self._pool:
                self._pool.shutdown(cancel_futures=True)
            self._session.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LiveFrame:
        """The next frame. Ends only after `close`."""
        with self._drawing:
            while not self.closed and not self._ready():
                self._begin()
            if self.closed:
                raise StopIteration
            begun = self._begun.popleft()
            self.repeated += begun.picture is None
            self._picture = begun.picture.result() if begun.picture else self._picture
            with self._lock:  # while it was drawn somebody may have interrupted
                self._shown += len(begun.sound)
                if begun.cuts != self._cuts:
                    silence = np.zeros_like(begun.sound)
                    begun = begun._replace(sound=silence, state=INTERRUPTED, ended=0)
                self.state, self.ended = begun.state, begun.ended
            return LiveFrame(cast(Frame, self._picture), begun.sound, begun.time_s)

    def _ready(self) -> bool:
        """Whether a frame is there, after waiting for it until the next one is to be begun."""
        if not self._begun:
            return False
        picture = self._begun[0].picture
        if picture and not picture.done():
            self._pace.wait(picture, full=len(self._begun) >= PAINTERS)
        return picture is None or picture.done()

    def _begin(self) -> None:
        """The next frame, when it is due."""
        drawn = self._pace.begin()
        start, end = self._sample(self._number), self._sample(self._number + 1)
        speaks = self._turn(start)
        with self._lock:
            heard = self._others.take(self._others.count)
        self._rewinding.listen(heard)
        draw, need = None, len(self._ahead) < end - start
        while draw is None:
            block = self._hear(end - start, speaks) if need else NOTHING
            draw, need = next(self._rewinding.begin(block, drawn=drawn), None), True
        sound, self._ahead = self._ahead[: end - start], self._ahead[end - start :]
        picture = self._drawn(draw) if drawn else None
        with self._lock:
            ended = self._pushed.ended(end)
            told = self._number / self.fps, self._state(start), ended, self._cuts - self._cut
        self._begun.append(_Begun(picture, sound, *told))
        self._number += 1

    def _drawn(self, draw: Callable[[], Frame]) -> Future[Frame]:
        """The picture, now or by a painter."""
        if self._pool:
            return self._pool.submit(self._pace.timed, draw)
        picture = Future[Frame]()
        picture.set_result(draw())
        return picture

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
            taken = self._pushed.take(count, at=end) if speaks and not self._cut else NOTHING
            self._sound_end = end + len(taken) if len(taken) else self._sound_end
        block = np.pad(taken, (0, count - len(taken)))
        self._ahead = np.concatenate([self._ahead, block])
        return block

    def _state(self, start: int) -> str:
        if start / SPEECH_RATE_HZ < self._shut_s or self._cut:
            return INTERRUPTED
        if self._sound_end > start:
            return SPEAKING
        return IDLE if self._ended or self._pushed.count else STARVED
