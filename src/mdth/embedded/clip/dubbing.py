"""A clip saying a speech: sound in blocks of any size -> the clip's frames and their patches."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray, Frame
from mdth.embedded.clip.avatar import ClipAvatar
from mdth.embedded.clip.fit import BOUNCE, CUT, FREEZE, LOOP, Place, play
from mdth.embedded.clip.lower_face import draw
from mdth.embedded.clip.rest import Face, Faces
from mdth.embedded.motion import mouth
from mdth.embedded.motion.cheeks import move_cheeks
from mdth.embedded.speech.speakers import Spoken
from mdth.log.stages import each, spent
from mdth.media.film import FilmFrame, open_film
from mdth.media.film_writer import Patch
from mdth.media.speech import check_length
from mdth.motion.bank import CHEEKS
from mdth.options import MotionOptions
from mdth.parallel import InOrder

# A mouth comes to rest in this time when the speech has ended.
SETTLE_S = 0.2
NO_CHEEKS = np.zeros((len(CHEEKS), 3))


class Dubbed(NamedTuple):
    """A frame of the clip, what of it changes, None for nothing, and when it is shown."""

    frame: FilmFrame
    patch: Patch | None
    time_s: float


class Dubbing:
    """One clip and one speech. fit: what happens where they differ in length."""

    def __init__(
        self,
        avatar: ClipAvatar,
        speak: Callable[[float], Spoken],
        options: MotionOptions,
        *,
        fit: str,
        pool: Executor | None = None,
    ) -> None:
        self.film = open_film(avatar.clip)
        self._rate = float(self.film.fps)
        self._spoken, self._cut = speak(self._rate), fit == CUT
        self._faces = Faces(avatar.person, self._rate)
        self._follow = mouth.followed(options)
        self._places = play(self.film, len(avatar.person.why), fit)
        self._next = next(self._places, None)
        # The offsets [478,3] from number `_first` on that frames to come need.
        self._offsets: deque[FloatArray] = deque()
        self._first, self._speech_s = 0, float("inf")
        self._drawing = InOrder(self._draw, pool)

    def feed(self, sound: FloatArray) -> Iterator[Dubbed]:
        """Hear float [n], mono, 16 kHz, at once; the frames that are final, as they are taken."""
        return self._ready(self._spoken.feed(np.asarray(sound, np.float32)))

    def finish(self) -> Iterator[Dubbed]:
        """The rest. Raises SpeechTooShort."""
        check_length(self._spoken.heard)
        self._speech_s = self._spoken.heard / SPEECH_RATE_HZ
        yield from self._ready(self._spoken.finish())
        while self._next is not None and not self._ended(self._next):
            yield from self._begin(self._next)
        yield from self._drawing.finish()

    def close(self) -> None:
        """End it."""
        self._drawing.close()

    def _ready(self, offsets: Iterator[FloatArray]) -> Iterator[Dubbed]:
        for way in each("speech to mesh", offsets):
            self._offsets.append(way)
            known = self._first + len(self._offsets) - 1
            while self._next is not None and self._next.time_s * self._rate <= known:
                if self._ended(self._next):
                    return
                yield from self._begin(self._next)

    def _ended(self, place: Place) -> bool:
        """Whether the video ends before a frame."""
        over = place.time_s > self._speech_s - 0.5 / self._rate
        return over and (self._cut or not place.first)

    def _begin(self, place: Place) -> Iterator[Dubbed]:
        with spent("retarget"):
            face = self._faces[place.number]
            wanted = None if face is None else self._wanted(face, place.time_s)
        self._next = None
        yield from self._drawing.feed((place, face, wanted))
        self._next = next(self._places, None)

    def _wanted(self, face: Face, time_s: float) -> FloatArray:
        """The mesh [478,3] px that speaks."""
        moved = mouth.touch_lips(face.rest + self._follow * self._offset(time_s))
        return face.spoken(moved + move_cheeks(moved, face.rest, NO_CHEEKS))

    def _offset(self, time_s: float) -> FloatArray:
        """What the speech does to a resting face at a time [478,3]."""
        position = time_s * self._rate
        while len(self._offsets) > 2 and self._first + 1 <= position:
            self._offsets.popleft()
            self._first += 1
        last = self._first + len(self._offsets) - 1
        before = min(int(position), last) - self._first
        now, then = self._offsets[before], self._offsets[min(before + 1, last - self._first)]
        said = now + min(position - self._first - before, 1) * (then - now)
        over_s = max(0.0, (position - last) / self._rate)
        return np.asarray(said * max(0.0, 1 - over_s / SETTLE_S))

    def _draw(self, work: tuple[Place, Face | None, FloatArray | None]) -> Dubbed:
        place, face, wanted = work
        patch = None
        if face is not None and wanted is not None:
            with spent("paint"):
                patch = draw(place.frame.rgb, face.mesh, wanted, face.amount)
        return Dubbed(place.frame, patch, place.time_s)


class ClipSession:
    """See `mdth.engine.Session`: the clip goes to and fro as long as the speech lasts."""

    def __init__(
        self,
        avatar: ClipAvatar,
        speak: Callable[[float], Spoken],
        options: MotionOptions,
        *,
        fit: str,
        look_ahead_s: float,
        pool: Executor | None = None,
    ) -> None:
        fit = fit if fit in (LOOP, FREEZE) else BOUNCE
        self._dubbing = Dubbing(avatar, speak, options, fit=fit, pool=pool)
        film = self._dubbing.film
        self.size, self.fps = (film.width, film.height), max(1, round(film.fps))
        self.look_ahead_s = look_ahead_s

    def feed(self, sound: FloatArray) -> Iterator[Frame]:
        """Hear float [n], mono, 16 kHz, at once; the frames that are final, as they are taken."""
        return map(pasted, self._dubbing.feed(sound))

    def finish(self) -> Iterator[Frame]:
        """The rest. Raises SpeechTooShort."""
        return map(pasted, self._dubbing.finish())

    def close(self) -> None:
        """End it."""
        self._dubbing.close()


def pasted(dubbed: Dubbed) -> Frame:
    """A frame with its patch, RGB uint8 [H,W,3]."""
    picture, patch = dubbed.frame.rgb, dubbed.patch
    if patch is None:
        return picture
    picture = picture.copy()
    height, width = patch.alpha.shape
    part = picture[patch.y : patch.y + height, patch.x : patch.x + width]
    part[:] = np.round(part + patch.alpha[..., None] * (patch.rgb.astype(np.float32) - part))
    return picture
