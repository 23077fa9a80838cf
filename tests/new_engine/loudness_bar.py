"""A new engine in 60 lines: the portrait, and a bar that is as long as the speech is loud."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, Files, FloatArray, Frame, Portrait
from mdth.engine import IMAGE, Need, Progress, Source
from mdth.face.find import find_portrait, needs
from mdth.media.speech import check_length
from mdth.options import Options


@dataclass(frozen=True)
class Picture:
    portrait: Portrait
    engine: ClassVar[str] = "bar"

    def save(self, folder: Path) -> None:
        self.portrait.save(folder / IMAGE)


class Bar:
    name, libraries = "bar", ()

    def needs(self, options: Options) -> Sequence[Need]:
        return needs()

    def prepare(
        self, source: Source, options: Options, *, progress: Progress | None = None
    ) -> Picture:
        return Picture(find_portrait(source, options.portrait))

    def saved(self, source: Source) -> list[str]:
        return [f"{IMAGE}/{name}" for name in ("person.png", "portrait.npz", "portrait.png")]

    def load(self, files: Mapping[str, Files]) -> Picture:
        return Picture(Portrait.load(files[IMAGE]))

    def open(
        self, avatar: Picture, options: Options, *, pool: Executor | None = None
    ) -> "BarSession":
        return BarSession(avatar.portrait.image, options.motion.fps)

    def traits(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass


class BarSession:
    def __init__(self, image: Frame, fps: int) -> None:
        self._image, self._sound, self._shown = image, np.zeros(0, np.float32), 0
        self.size, self.fps, self.look_ahead_s = image.shape[1::-1], fps, 1 / fps

    def feed(self, sound: FloatArray) -> Iterator[Frame]:
        self._sound = np.concatenate([self._sound, sound])
        return self._until(len(self._sound) * self.fps // SPEECH_RATE_HZ)

    def finish(self) -> Iterator[Frame]:
        check_length(len(self._sound))
        return self._until(round(len(self._sound) / SPEECH_RATE_HZ * self.fps))

    def close(self) -> None:
        pass

    def _until(self, count: int) -> Iterator[Frame]:
        first, self._shown = self._shown, max(self._shown, count)
        return map(self._drawn, range(first, count))

    def _drawn(self, number: int) -> Frame:
        start, end = (round(k * SPEECH_RATE_HZ / self.fps) for k in (number, number + 1))
        frame, loud = self._image.copy(), np.abs(self._sound[start:end]).mean() ** 0.25
        frame[-10:, : int(np.ceil(frame.shape[1] * min(1.0, loud)))] = (0, 255, 0)
        return frame
