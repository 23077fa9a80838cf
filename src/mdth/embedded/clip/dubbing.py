"""A clip saying a speech: sound in blocks of any size -> the clip's frames and their patches."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray, Frame
from mdth.embedded.clip.avatar import ClipAvatar
from mdth.embedded.clip.fit import BOUNCE, CUT, FREEZE, LOOP, SILENCE, Place, play
from mdth.embedded.clip.lower_face import Work, draw
from mdth.embedded.clip.mouths import Chooser
from mdth.embedded.clip.rest import Faces
from mdth.embedded.motion import mouth
from mdth.embedded.motion.cheeks import move_cheeks
from mdth.embedded.speech.speakers import Spoken
from mdth.embedded.speech.speech_to_mesh import SpokenMesh
from mdth.engine import Progress
from mdth.errors import InputError
from mdth.log.stages import each, spent
from mdth.media.film import FilmFrame, open_film
from mdth.media.film_writer import FilmWriter
from mdth.media.planes import Patch
from mdth.media.resample import LOUDEST, samples
from mdth.media.speech import check_length
from mdth.motion.bank import CHEEKS
from mdth.options import Options
from mdth.parallel import InOrder

# A mouth comes to rest in this time when the speech has ended.
SETTLE_S = 0.2
# A speech may be so much longer than a clip without being asked about.
SLACK_S = 0.3
Begun = tuple[Place, Work | None]
NO_CHEEKS = np.zeros((len(CHEEKS), 3))


class Dubbed(NamedTuple):
    """A frame of the clip, what of it changes, None for nothing, and when it is shown."""

    frame: FilmFrame
    patch: Patch | None
    time_s: Fraction


class Dubbing:
    """One clip and one speech.

    length_s: of the speech, None where it is not known. live: frame k is shown at k / rate whatever
    its time in the clip, which goes to and fro unless another way is asked for, and the speech's
    end is the video's.
    """

    def __init__(
        self,
        avatar: ClipAvatar,
        speak: Callable[[float], Spoken],
        options: Options,
        *,
        length_s: float | None = None,
        live: bool = False,
        pool: Executor | None = None,
    ) -> None:
        fit = options.video.fit
        if live:
            fit = fit if fit in (LOOP, FREEZE) else BOUNCE
        elif options.limit_s:
            fit = CUT
        self.film = open_film(avatar.clip)
        self.rate = max(1, round(self.film.fps)) if live else float(self.film.fps)
        count = len(avatar.person.why)
        clip_s = count / float(self.film.fps)
        if length_s and fit == SILENCE and length_s > clip_s + SLACK_S:
            raise InputError(
                f"the speech lasts {length_s:.1f} s, the clip {clip_s:.1f} s; choose another fit: "
                "bounce, loop or freeze lets the clip go on, cut ends with it"
            )
        self.total = count
        if length_s and fit != SILENCE:
            most = min if fit == CUT else max
            self.total = most(count, round(length_s * self.rate))
        self.spoken, self._cut = speak(self.rate), live or fit == CUT
        self._faces = Faces(avatar.person, float(self.film.fps))
        self._follow = mouth.followed(options.motion)
        places = play(self.film, avatar.person.mesh, fit)
        self._places = self._retimed(places) if live else places
        self._next = next(self._places, None)
        # The offsets [478,3] from number `_first` on that frames to come need.
        self._offsets: deque[FloatArray] = deque()
        self._first, self._speech_s = 0, float("inf")
        self._drawing = InOrder(self._draw, pool)
        self._mouths, self._light = avatar.mouths, avatar.light()
        self._chooser = Chooser(avatar.mouths) if avatar.mouths else None

    def write(
        self, blocks: Iterable[FloatArray], sink: FilmWriter, progress: Progress | None
    ) -> int:
        """Write all frames of a speech in blocks, and say how many. Raises SpeechTooShort."""
        done = 0
        for done, one in enumerate(self._frames(blocks), start=1):
            with spent("wait for encoder"):
                sink.write(one.frame, one.patch, time_s=one.time_s)
            if progress:
                progress(done, self.total)
        return done

    def _frames(self, blocks: Iterable[FloatArray]) -> Iterator[Dubbed]:
        for block in blocks:
            yield from self.feed(block)
            if self._next is None:  # what is said after the clip's end is not heard
                break
        yield from self.finish()

    def feed(self, sound: FloatArray) -> Iterator[Dubbed]:
        """Hear float [n], mono, 16 kHz, at once; the frames that are final, as they are taken."""
        return self._drawn(self._ready(self.spoken.feed(samples(sound, most=LOUDEST))))

    def begin(self, sound: FloatArray, *, drawn: bool = True) -> Iterator[Callable[[], Dubbed]]:
        """`feed`, whose frames are drawn by who calls them; drawn: if anybody does."""
        offsets = self.spoken.feed(samples(sound, most=LOUDEST))
        return (partial(self._draw, begun) for begun in self._ready(offsets, drawn=drawn))

    def finish(self) -> Iterator[Dubbed]:
        """The rest. Raises SpeechTooShort."""
        check_length(self.spoken.heard)
        self._speech_s = self.spoken.heard / SPEECH_RATE_HZ
        yield from self._drawn(self._ready(self.spoken.finish()))
        while self._next is not None and not self._ended(self._next):
            yield from self._drawn(self._begin(self._next))
        yield from self._drawing.finish()

    def close(self) -> None:
        """End it."""
        self._drawing.close()

    def _retimed(self, places: Iterator[Place]) -> Iterator[Place]:
        for count, place in enumerate(places):
            yield place._replace(time_s=Fraction(count, int(self.rate)))

    def _drawn(self, begun: Iterator[Begun]) -> Iterator[Dubbed]:
        for one in begun:
            yield from self._drawing.feed(one)

    def _ready(self, offsets: Iterator[FloatArray], *, drawn: bool = True) -> Iterator[Begun]:
        for way in each("speech to mesh", offsets):
            if self._next is None:
                return
            self._offsets.append(way)
            known = self._first + len(self._offsets) - 1
            while self._next is not None and float(self._next.time_s) * self.rate <= known:
                if self._ended(self._next):
                    return
                yield from self._begin(self._next, drawn=drawn)

    def _ended(self, place: Place) -> bool:
        """Whether the video ends before a frame."""
        over = float(place.time_s) > self._speech_s - 0.5 / self.rate
        return over and (self._cut or not place.first)

    def _begin(self, place: Place, *, drawn: bool = True) -> Iterator[Begun]:
        with spent("retarget"):
            work = self.work(place.number, self._offset(float(place.time_s)))
        self._next = None
        try:
            yield place, work if drawn else None
        finally:  # also for one who takes no more than this frame
            self._next = next(self._places, None)

    def work(self, number: int, way: FloatArray) -> Work | None:
        """How a frame says offsets [478,3] of the speech; None where it stays as it is.

        Frames have to come in order.
        """
        face = self._faces[number]
        if face is None:
            return None
        moved = mouth.touch_lips(face.rest + self._follow * way)
        chosen = self._chooser.choose(moved, face.rotation) if self._chooser else None
        meshes = face.spoken(moved + move_cheeks(moved, face.rest, NO_CHEEKS))
        return Work(*meshes, face.amount, chosen)

    def _offset(self, time_s: float) -> FloatArray:
        """What the speech does to a resting face at a time [478,3]."""
        position = time_s * self.rate
        while len(self._offsets) > 2 and self._first + 1 <= position:
            self._offsets.popleft()
            self._first += 1
        last = self._first + len(self._offsets) - 1
        before = min(int(position), last) - self._first
        now, then = self._offsets[before], self._offsets[min(before + 1, last - self._first)]
        said = now + min(position - self._first - before, 1) * (then - now)
        over_s = max(0.0, (position - last) / self.rate)
        return np.asarray(said * max(0.0, 1 - over_s / SETTLE_S))

    def _draw(self, begun: Begun) -> Dubbed:
        place, work = begun
        patch = None
        if work is not None:
            with spent("paint"):
                patch = draw(place.frame.rgb, work, self._light, self._mouths)
        if place.before is not None:
            patch = _dissolved(place.frame.rgb, place.before, place.share, patch)
        return Dubbed(place.frame, patch, place.time_s)


class ClipSession:
    """See `mdth.engine.Session`: the clip is shown as long as the speech lasts."""

    def __init__(self, dubbing: Dubbing, look_ahead_s: float) -> None:
        self._dubbing, film = dubbing, dubbing.film
        self.size, self.fps = (film.width, film.height), round(dubbing.rate)
        self.look_ahead_s = look_ahead_s

    def feed(self, sound: FloatArray) -> Iterator[Frame]:
        """Hear float [n], mono, 16 kHz, at once; the frames that are final, as they are taken."""
        return map(pasted, self._dubbing.feed(sound))

    def rewind(self, sample: int, *, forget: bool = False) -> None:
        """See `mdth.engine.Rewinding`."""
        if not isinstance(self._dubbing.spoken, SpokenMesh):
            raise InputError("this mouth hears all of a speech first; choose engine_mesh live")
        self._dubbing.spoken.rewind(sample, forget=forget)

    def begin(self, sound: FloatArray, *, drawn: bool = True) -> Iterator[Callable[[], Frame]]:
        """See `mdth.engine.Rewinding`."""
        draws = self._dubbing.begin(sound, drawn=drawn)
        return (lambda draw=draw: pasted(draw()) for draw in draws)  # type: ignore[misc]

    def listen(self, sound: FloatArray) -> None:
        """The clip's head does what it does."""

    def finish(self) -> Iterator[Frame]:
        """The rest. Raises SpeechTooShort."""
        return map(pasted, self._dubbing.finish())

    def close(self) -> None:
        """End it."""
        self._dubbing.close()


def _dissolved(picture: Frame, before: Frame, share: float, patch: Patch | None) -> Patch:
    """The whole picture, to which another one gives way, but for the patch."""
    both = np.asarray(cv2.addWeighted(picture, 1 - share, before, share, 0), np.uint8)
    return Patch(0, 0, laid(both, patch), np.ones(both.shape[:2], np.float32))


def pasted(dubbed: Dubbed) -> Frame:
    """A frame with its patch, RGB uint8 [H,W,3]."""
    return laid(dubbed.frame.rgb, dubbed.patch)


def laid(picture: Frame, patch: Patch | None) -> Frame:
    """A picture RGB uint8 [H,W,3] with a patch."""
    if patch is None:
        return picture
    picture = picture.copy()
    height, width = patch.alpha.shape
    part = picture[patch.y : patch.y + height, patch.x : patch.x + width]
    part[:] = np.round(part + patch.alpha[..., None] * (patch.rgb.astype(np.float32) - part))
    return picture
