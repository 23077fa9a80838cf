"""How a video is made: every choice a user has, with its default, in one place."""

from dataclasses import dataclass
from typing import TypedDict

from mdth.errors import InputError

PREVIEW_S = 1.0
PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)


@dataclass(frozen=True)
class Options:
    """The choices of one video. Raises InputError where a value cannot work.

    fps: frames a second. max_size: longest side of the picture in px; larger ones are shrunk.
    face: which face of the picture, 1 is the leftmost, None the largest. seed: of the generated
    head motion and blinks; still turns those off. crf, preset: x264's quality (0 lossless .. 51)
    and effort. preview: only the first second.
    """

    fps: int = 30
    max_size: int = 1280
    face: int | None = None
    seed: int = 0
    still: bool = False
    crf: int = 18
    preset: str = "veryfast"
    preview: bool = False

    def __post_init__(self) -> None:
        """Refuse what no later step could use."""
        _within("fps", self.fps, 5, 120)
        _within("max size", self.max_size, 64, 4096)
        _within("crf", self.crf, 0, 51)
        if self.face is not None:
            _within("face", self.face, 1, 1000)
        if self.preset not in PRESETS:
            raise InputError(f"preset {self.preset!r}: choose one of {', '.join(PRESETS)}")

    @property
    def limit_s(self) -> float | None:
        """Seconds of speech to use, None for all of it."""
        return PREVIEW_S if self.preview else None


class Choices(TypedDict, total=False):
    """The same names as keyword arguments of `mdth.talk` and its kin."""

    fps: int
    max_size: int
    face: int | None
    seed: int
    still: bool
    crf: int
    preset: str
    preview: bool


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} {value}: give a whole number from {low} to {high}")
