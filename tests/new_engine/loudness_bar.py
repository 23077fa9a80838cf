"""A new engine in 60 lines: the portrait, and a bar that is as long as the speech is loud."""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mdth.artefacts import Files, FloatArray, Frame, Portrait
from mdth.engine import IMAGE, Need, Progress, Source
from mdth.face.find import find_portrait, needs
from mdth.media.speech import check_length
from mdth.motion.energy import FLOOR_DB, Loudness
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
        self._image, self._levels, self._heard = image, Loudness(fps=fps), 0
        self.size, self.fps, self.look_ahead_s = image.shape[1::-1], fps, 1 / fps

    def feed(self, sound: FloatArray) -> Iterator[Frame]:
        self._heard += len(sound)
        return map(self._drawn, self._levels.feed(sound))

    def finish(self) -> Iterator[Frame]:
        check_length(self._heard)
        return map(self._drawn, self._levels.finish())

    def close(self) -> None:
        pass

    def _drawn(self, level_db: float) -> Frame:
        frame = self._image.copy()
        frame[-10:, : math.ceil(frame.shape[1] * (1 - level_db / FLOOR_DB))] = (0, 255, 0)
        return frame
