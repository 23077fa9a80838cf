"""How a video is made: every choice a user has, with its default, in one place."""

from dataclasses import dataclass
from typing import TypedDict

from mdth.errors import InputError

PREVIEW_S = 1.0
# More than this much of the usual mouth or head motion is more than the renderer can show.
MOST = 2
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


# Who makes the video: our own engine, or the seed's from its checkpoints; auto: the seed's where
# these are all there.
AUTO, EMBEDDED, SEED = "auto", "embedded", "seed"
ENGINES = (AUTO, EMBEDDED, SEED)
# Who moves the mouth: our own decoder, or the seed's FaceFormer from its checkpoints, of VOCASET
# with FLAME or of BIWI.
MESH_ENGINES = ("embedded", "flame", "biwi")


@dataclass(frozen=True)
class Options:
    """The choices of one video. Raises InputError where a value cannot work.

    fps: frames a second. max_size: longest side of the picture in px; larger ones are shrunk.
    face: which face of the picture, 1 is the leftmost, None the largest. seed: of the generated
    head motion and blinks; still turns those off. mouth, motion, blink: how much the lips and the
    head move and how often the eyes blink, 1 as usual, 0 not at all. crf, preset: x264's quality
    (0 lossless .. 51) and effort. preview: only the first second. engine_mesh: "embedded", or
    "flame" or "biwi" for the seed's FaceFormer, whose files its owner has. engine: of the whole
    video, see `ENGINES`; paste: the seed's head goes back into the whole picture, which our own
    engine gives anyway.
    """

    fps: int = 30
    max_size: int = 1280
    face: int | None = None
    seed: int = 0
    still: bool = False
    mouth: float = 1.0
    motion: float = 1.0
    blink: float = 1.0
    crf: int = 18
    preset: str = "veryfast"
    preview: bool = False
    engine_mesh: str = "embedded"
    engine: str = AUTO
    paste: bool = False

    def __post_init__(self) -> None:
        """Refuse what no later step could use."""
        _within("fps", self.fps, 5, 120)
        _within("max size", self.max_size, 64, 4096)
        _within("crf", self.crf, 0, 51)
        if self.face is not None:
            _within("face", self.face, 1, 1000)
        for name in ("mouth", "motion", "blink"):
            amount = getattr(self, name)
            if not 0 <= amount <= MOST:
                raise InputError(f"{name} {amount}: give a number from 0 to {MOST}")
        if self.engine_mesh not in MESH_ENGINES:
            raise InputError(
                f"mesh engine {self.engine_mesh!r}: choose one of {', '.join(MESH_ENGINES)}"
            )
        if self.engine not in ENGINES:
            raise InputError(f"engine {self.engine!r}: choose one of {', '.join(ENGINES)}")
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
    mouth: float
    motion: float
    blink: float
    crf: int
    preset: str
    preview: bool
    engine_mesh: str
    engine: str
    paste: bool


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} {value}: give a whole number from {low} to {high}")
