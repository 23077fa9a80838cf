"""Speech -> mesh: a sound at 16 kHz becomes one face of offsets for each video frame."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mdth.artefacts import MeshSequence
from mdth.faceformer.decoder import Decoder
from mdth.faceformer.speech_encoder import SpeechEncoder
from mdth.faceformer.windows import (
    SAMPLE_RATE_HZ,
    FloatArray,
    WindowScheme,
    frame_position,
    interpolate,
    level,
)


class SpeechToMesh:
    """Offsets float32 [478,3] from the neutral closed face, face frame, eye distances.

    Vertices at and above the eyes stay where they are. A file, a stream and any chunks of it give
    the same frames: see `mdth.faceformer.windows` for the scheme.
    """

    def __init__(self, encoder: Path, *, threads: int = 1) -> None:
        """Load the speech encoder from its file and the shipped decoder. Raises CheckpointError."""
        self._encoder = SpeechEncoder(encoder, threads=threads)
        self._decoder = Decoder()

    @property
    def look_ahead_s(self) -> float:
        """A frame comes out at most so many seconds of sound after its own time."""
        return self._decoder.scheme.look_ahead_s

    def stream(self, blocks: Iterable[FloatArray], fps: float) -> Iterator[FloatArray]:
        """One offsets frame for each video frame of a sound that comes in blocks of any size.

        Frame i is what the lips do at i / fps seconds; round(duration * fps) frames, at least 1.
        """
        scheme = self._decoder.scheme
        sound = SoundBuffer(scheme.start(scheme.first_window()))
        curve = CoefficientCurve(scheme)
        frame = 0
        for block in blocks:
            sound.append(block)
            while self._hear_next(sound, curve):
                while curve.reaches(frame / fps):
                    yield self._offsets(curve, frame / fps)
                    frame += 1
        count = max(1, round(sound.end / SAMPLE_RATE_HZ * fps))
        sound.finish()
        while frame < count:
            while not curve.reaches(frame / fps):
                self._hear_next(sound, curve)
            yield self._offsets(curve, frame / fps)
            frame += 1

    def mesh_sequence(self, samples: FloatArray, fps: float) -> MeshSequence:
        """All offsets [T,478,3] of a sound float32 [N] at 16 kHz."""
        return MeshSequence(np.stack(list(self.stream([samples], fps))), fps)

    def _hear_next(self, sound: "SoundBuffer", curve: "CoefficientCurve") -> bool:
        """Decode the curve's next window if its sound is there; whether it was."""
        scheme = self._decoder.scheme
        start = scheme.start(curve.next_window)
        if not sound.holds(start + scheme.samples):
            return False
        window = level(sound.take(start, scheme.samples))
        curve.append(self._decoder.coefficients(self._encoder.hear(window))[scheme.zone()])
        return True

    def _offsets(self, curve: "CoefficientCurve", time_s: float) -> FloatArray:
        coefficients = curve.at(time_s).astype(np.float32)
        offsets: FloatArray = np.tensordot(coefficients, self._decoder.basis, axes=1)
        return offsets


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
        """Add the next samples."""
        self._waiting.append(np.asarray(block, np.float32))
        self.end += len(block)

    def finish(self) -> None:
        """Silence follows."""
        self._finished = True

    def holds(self, end: int) -> bool:
        """Whether all samples before `end` are known."""
        return self._finished or end <= self.end

    def take(self, start: int, count: int) -> FloatArray:
        """Samples `start` to `start + count`; what lies before `start` is forgotten."""
        if self._waiting:
            self._kept = np.concatenate([self._kept, *self._waiting])
            self._waiting = []
        self._kept = self._kept[start - self._start :]
        self._start = start
        taken = self._kept[:count]
        return np.pad(taken, (0, count - len(taken)))


class CoefficientCurve:
    """Cross-faded coefficients on the feature grid; only what is still needed is kept."""

    def __init__(self, scheme: WindowScheme) -> None:
        self._scheme = scheme
        self._weights = scheme.weights()[:, None]
        self.next_window = scheme.first_window()
        self._first = self.next_window * scheme.hop
        self._rows: FloatArray = np.zeros((0, 0), np.float32)

    def append(self, zone: FloatArray) -> None:
        """Add the emitted rows [hop + overlap, K] of the next window."""
        scheme = self._scheme
        faded = zone * self._weights
        if not self._rows.size:
            self._rows = np.zeros((scheme.overlap, zone.shape[1]), np.float32)
        grown = np.concatenate([self._rows, np.zeros((scheme.hop, zone.shape[1]), np.float32)])
        grown[-len(faded) :] += faded
        spare = max(0, len(grown) - 2 * (scheme.hop + scheme.overlap) - 4)
        self._rows = grown[spare:]
        self._first += spare
        self.next_window += 1

    def reaches(self, time_s: float) -> bool:
        """Whether the curve is final around a time: two frames of the grid past it."""
        complete = self._first + len(self._rows) - self._scheme.overlap
        return bool(self._rows.size) and math.floor(frame_position(time_s)) + 2 < complete

    def at(self, time_s: float) -> FloatArray:
        """The coefficients [K] at a time."""
        return interpolate(self._rows, frame_position(time_s), self._first)
