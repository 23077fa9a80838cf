"""Speech -> mesh: a sound at 16 kHz becomes one face of offsets for each video frame."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray, MeshSequence
from mdth.embedded.speech.decoder import Decoder, Scheme
from mdth.embedded.speech.speech_encoder import SpeechEncoder
from mdth.embedded.speech.windows import SAMPLE_RATE_HZ, LiveScheme, level
from mdth.errors import InputError
from mdth.face.smoothing import smoothstep

# After sound was taken back the mouth goes over to what it says now in this time.
EASE_S = 0.12


class SpeechToMesh:
    """Offsets float32 [478,3] from the neutral closed face, face frame, eye distances.

    Vertices at and above the eyes stay where they are. A file, a stream and any chunks of it give
    the same frames: see `mdth.embedded.speech.windows` for the scheme.
    """

    def __init__(
        self,
        encoder: Path,
        *,
        live: bool = False,
        scheme: Scheme | None = None,
        threads: int = 1,
    ) -> None:
        """Load the speech encoder from its file and a shipped decoder. Raises CheckpointError.

        live: the one that hears least ahead. scheme: another one with windows of the same length,
        to compare (default: the decoder's).
        """
        self._encoder = SpeechEncoder(encoder, threads=threads)
        self._decoder = Decoder(live=live)
        self._silence: FloatArray | None = None
        self.scheme = scheme or self._decoder.scheme
        if self.scheme.frames != self._decoder.scheme.frames:
            raise ValueError(f"{self.scheme}: the decoder needs {self._decoder.scheme.frames}")

    @property
    def look_ahead_s(self) -> float:
        """A frame comes out at most so many seconds of sound after its own time."""
        return self.scheme.look_ahead_s

    def open(self, fps: float) -> "SpokenMesh":
        """A speech that begins, `fps` frames a second."""
        scheme = self.scheme
        scheme = replace(scheme, fps=fps) if isinstance(scheme, LiveScheme) else scheme
        return SpokenMesh(scheme, self._hear, self._decoder.basis, fps=fps)

    def stream(self, blocks: Iterable[FloatArray], fps: float) -> Iterator[FloatArray]:
        """One offsets frame for each video frame of a whole speech in blocks of any size."""
        spoken = self.open(fps)
        for block in blocks:
            yield from spoken.feed(block)
        yield from spoken.finish()

    def mesh_sequence(self, samples: FloatArray, fps: float) -> MeshSequence:
        """All offsets [T,478,3] of a sound float32 [N] at 16 kHz."""
        return MeshSequence(np.stack(list(self.stream([samples], fps))), fps)

    def _hear(self, window: FloatArray) -> FloatArray:
        """Coefficients [T,K] of a window's samples."""
        silent = not window.any()
        if silent and self._silence is not None:
            return self._silence
        found = self._decoder.coefficients(self._encoder.hear(level(window)))
        self._silence = found if silent else self._silence
        return found


class SpokenMesh:
    """One speech on its way: sound in blocks of any size goes in, offsets [478,3] come out.

    Frame i is what the lips do at i / fps seconds; round(duration * fps) frames, at least 1. The
    same frames come of any cutting into blocks. heard: samples so far.
    """

    def __init__(
        self,
        scheme: Scheme,
        hear: Callable[[FloatArray], FloatArray],
        basis: FloatArray,
        *,
        fps: float,
    ) -> None:
        first = scheme.last_window(0.0) - 1
        self._scheme, self._hear, self._basis, self._fps = scheme, hear, basis, fps
        self._sound, self._frame = SoundBuffer(scheme.start(first)), 0
        # The coefficients [T,K] of the two latest windows, and the number of the next one.
        self._before = self._last = np.zeros((0, 0), np.float32)
        self._window = first
        # The coefficients [K] of the latest frame, and how far it was from them at a rewind.
        self._given: FloatArray | None = None
        self._apart: FloatArray | None = None
        self._left_s, self._skips = 0.0, False

    @property
    def heard(self) -> int:
        """Samples so far."""
        return self._sound.end

    def feed(self, block: FloatArray, *, seen: bool = True) -> Iterator[FloatArray]:
        """Hear float [n], mono, 16 kHz, at once; gives the frames that are final, as taken.

        seen: whether anybody looks at them; a window that serves one unseen alone is not heard.
        """
        alone = isinstance(self._scheme, LiveScheme) and bool(len(self._last))
        self._skips = alone and not seen
        self._sound.append(block)
        return self._ready()

    def finish(self) -> Iterator[FloatArray]:
        """The rest, when the sound has ended."""
        count = max(1, round(self._sound.end / SAMPLE_RATE_HZ * self._fps))
        self._sound.finish()
        while self._frame < count:
            while not self._knows(self._frame / self._fps):
                self._hear_next()
            yield self._next()

    def rewind(self, sample: int, *, forget: bool = False) -> None:
        """Take back the sound from `sample` on, at or after the next frame's time.

        Frames to come hear anew what they heard of it, and the mouth goes on from where it is.
        forget: what came before was silence, too.
        """
        time_s = self._frame / self._fps
        reached = self._scheme.start(self._window - 1) + self._scheme.samples
        self._sound.cut(sample, forget=forget)
        if reached <= sample and not forget:
            return
        self._apart = self._blend(time_s) if self._knows(time_s) else self._given
        self._left_s = EASE_S
        self._window = min(self._window, self._scheme.last_window(time_s) - 1)

    def _ready(self) -> Iterator[FloatArray]:
        while True:
            while self._knows(self._frame / self._fps):
                yield self._next()
            if not self._hear_next():
                return

    def _next(self) -> FloatArray:
        time_s = self._frame / self._fps
        self._frame += 1
        rows = self._given = self._eased(self._blend(time_s))
        return np.asarray(np.tensordot(rows, self._basis, axes=1))

    def _blend(self, time_s: float) -> FloatArray:
        return self._scheme.blend(time_s, self._before, self._last).astype(np.float32)

    def _eased(self, rows: FloatArray) -> FloatArray:
        """Coefficients that go on from those before a rewind."""
        if self._apart is None:
            return rows
        if self._left_s == EASE_S:
            self._apart = self._apart - rows
        self._left_s -= 1 / self._fps
        eased = rows + np.float32(smoothstep(self._left_s / EASE_S)) * self._apart
        if self._left_s <= 0:
            self._apart = None
        return np.asarray(eased)

    def _hear_next(self) -> bool:
        """Decode the next window if its sound is there; whether it was."""
        start = self._scheme.start(self._window)
        if not self._sound.holds(start + self._scheme.samples):
            return False
        window = self._sound.take(start, self._scheme.samples, before=self._scheme.hop_samples)
        heard = self._last if self._skips else self._hear(window)
        self._before, self._last = self._last, heard
        self._window += 1
        return True

    def _knows(self, time_s: float) -> bool:
        return self._scheme.last_window(time_s) < self._window


class SoundBuffer:
    """The part of a sound that windows to come still need; silence before and after it."""

    def __init__(self, first: int) -> None:
        """`first`: the first sample that will be taken, 0 or negative."""
        self._kept = np.zeros(max(0, -first), np.float32)
        self._start = min(0, first)
        self._waiting: list[FloatArray] = []
        self.end = 0
        self._finished = False

    def append(self, block: FloatArray) -> None:
        """Add the next samples. Raises InputError after `finish`."""
        if self._finished:
            raise InputError("the speech has ended; open another session for the next one")
        self._waiting.append(np.asarray(block, np.float32))
        self.end += len(block)

    def finish(self) -> None:
        """Silence follows."""
        self._finished = True

    def holds(self, end: int) -> bool:
        """Whether all samples before `end` are known."""
        return self._finished or end <= self.end

    def take(self, start: int, count: int, *, before: int = 0) -> FloatArray:
        """Samples `start` to `start + count`; what lies `before` that and more is forgotten."""
        self._gather()
        first = max(self._start, start - before)
        self._kept = self._kept[first - self._start :]
        self._start = first
        taken = self._kept[start - first :][:count]
        return np.pad(taken, (0, count - len(taken)))

    def cut(self, end: int, *, forget: bool) -> None:
        """Take back all from the sample `end` on; forget: what is left is silence."""
        self._gather()
        self._kept = self._kept[: end - self._start]
        if forget:
            self._kept = np.zeros_like(self._kept)
        self.end = end

    def _gather(self) -> None:
        if self._waiting:
            self._kept = np.concatenate([self._kept, *self._waiting])
            self._waiting = []
