"""How a video is made: every choice a user has, once, by what it is for.

The fields' metadata is the one table that the command line, Python's keywords, the JSON schema and
the page of options are made from.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from difflib import get_close_matches
from typing import Any, Self, TypedDict, get_type_hints

from mdth.errors import InputError
from mdth.fields import Group, option, type_of

PREVIEW_S = 1.0
# More than this much of the usual mouth or head motion is more than the renderer can show.
MOST = 2.0
PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster"),
    *("fast", "medium", "slow", "slower", "veryslow"),
)
# auto: the seed's engine where its checkpoints are all there, else the embedded one.
AUTO = "auto"
# Who moves the mouth: our own decoder, the one that hears less ahead, or the seed's FaceFormer from
# its checkpoints, of VOCASET with FLAME or of BIWI.
LIVE_MESH = "live"
MESH_ENGINES = ("embedded", LIVE_MESH, "flame", "biwi")
# What a clip is kept for: its motion and its best frame, or itself, with another mouth.
KEEP_CLIP = "clip"
KEEPS = ("motion", KEEP_CLIP)
# Where a dubbed clip and its speech differ in length.
FITS = ("silence", "cut", "loop", "bounce", "freeze")
MANNERS = ("calm", "natural", "lively")


@dataclass(frozen=True)
class PortraitOptions(Group):
    """Which face, and how large its picture."""

    face: int | None = option(
        None, "which face, 1 is the leftmost (default: the largest)", within=(1, 1000), unit="N"
    )
    max_size: int = option(
        1280, "longest side; larger pictures are shrunk", within=(64, 4096), unit="PX"
    )
    keep: str = option(
        "motion", "of a clip: what moves, or the clip itself, to be dubbed", among=KEEPS,
        only="embedded",
    )  # fmt: skip
    point: str = option(
        "", "of a clip that is kept: who is nearest to X,Y px when first seen", only="embedded",
        unit="X,Y",
    )  # fmt: skip

    @property
    def point_px(self) -> tuple[float, float] | None:
        """The point, None where there is none. Raises InputError."""
        if not self.point:
            return None
        try:
            x, y = (float(part) for part in self.point.split(","))
        except ValueError as error:
            raise InputError(f"point {self.point!r}: give it as X,Y, such as 320,180") from error
        return x, y


@dataclass(frozen=True)
class MotionOptions(Group):
    """What mouth, head and eyes do: amounts are 1 as usual, 0 not at all."""

    mouth: float = option(1.0, "how much the lips move", within=(0, MOST), unit="X")
    lip_width: float = option(
        1.0, "how far lips spread and round", within=(0, MOST), only="embedded", unit="X"
    )
    motion: float = option(1.0, "how much head, brows and cheeks move", within=(0, MOST), unit="X")
    manner: str = option("natural", "how lively the speaker is", among=MANNERS, unit="HOW")
    blink: float = option(1.0, "how often the eyes blink", within=(0, MOST), unit="X")
    still: bool = option(False, "no head motion and no blinks")
    random_seed: int = option(
        0, "of the generated motion", within=(0, 2**63 - 1), unit="N", alias="seed"
    )
    engine_mesh: str = option(
        "embedded",
        "what moves the mouth; live: sooner; flame and biwi need the seed's checkpoints",
        among=MESH_ENGINES,
        only="embedded",
    )
    fps: int = option(30, "frames a second", within=(5, 120), unit="N")


@dataclass(frozen=True)
class SpeechOptions(Group):
    """Who says a text, where there is no sound."""

    voice: str = option("af_heart", "who says a text; `mdth voices` lists them", unit="NAME")
    voice_speed: float = option(1.0, "how fast a text is said", within=(0.5, 2), unit="X")


@dataclass(frozen=True)
class VideoOptions(Group):
    """How the frames are written."""

    crf: int | None = option(
        None,
        "x264's quality, 0 lossless to 51 (default: 18, of a dubbed clip its own)",
        within=(0, 51),
        unit="N",
    )
    preset: str = option(
        "veryfast", f"x264's effort, {PRESETS[0]} to {PRESETS[-1]}", among=PRESETS, unit="PRESET"
    )
    preview: bool = option(False, "only the first second")
    fit: str = option(
        "silence",
        "a dubbed clip and a speech of other length: the mouth rests, both are cut, or the clip "
        "goes on in a loop, to and fro, or stands still",
        among=FITS,
        only="embedded",
    )
    paste: bool = option(False, "the head back in the whole picture", only="seed")


@dataclass(frozen=True)
class EngineOptions(Group):
    """Who makes it, and with what."""

    engine: str = option(
        AUTO, "who makes the video; auto: the seed's where its checkpoints are all there"
    )
    n_gpus: int = option(
        1, "GPUs of the seed's engine; 0 and 1 run anywhere", within=(0, 1024), unit="N"
    )


@dataclass(frozen=True)
class Options:
    """The choices of one video, by what they are for. Raises InputError where a value cannot work.

    `Options.of(fps=25, face=2)` takes the flat names, which are all different.
    """

    portrait: PortraitOptions = PortraitOptions()
    motion: MotionOptions = MotionOptions()
    speech: SpeechOptions = SpeechOptions()
    video: VideoOptions = VideoOptions()
    engine: EngineOptions = EngineOptions()

    @classmethod
    def of(cls, **choices: Any) -> Self:
        """From flat names. Raises InputError, also for a name that is none."""
        named = {ALIASES.get(name, name): value for name, value in choices.items()}
        for name in sorted(set(named) - set(TABLE)):
            meant = "".join(f"; {close}?" for close in get_close_matches(name, TABLE, 1))
            raise InputError(f"there is no option {name}{meant}")
        chosen = {
            group: kind(**{entry.name: named[entry.name] for entry in own if entry.name in named})
            for group, (kind, own) in GROUPS.items()
        }
        return cls(**chosen)

    def flat(self, groups: tuple[str, ...] = ()) -> dict[str, Any]:
        """The choices of these groups (default: all) by their flat names."""
        return {
            entry.name: getattr(getattr(self, group), entry.name)
            for group, (_, own) in GROUPS.items()
            if not groups or group in groups
            for entry in own
        }

    def settings(self, engine: str, groups: tuple[str, ...]) -> dict[str, Any]:
        """What shapes a result of this engine: the flat choices that it heeds, and its name."""
        chosen = self.flat(groups).items()
        return {name: value for name, value in chosen if _heeds(engine, name)} | {"engine": engine}

    def idle(self, engine: str) -> list[str]:
        """The choices that were made and do nothing for this engine."""
        made = [name for name, value in self.flat().items() if value != TABLE[name].default]
        return [name for name in made if not _heeds(engine, name)]

    @property
    def limit_s(self) -> float | None:
        """Seconds of speech to use, None for all of it."""
        return PREVIEW_S if self.video.preview else None


GROUPS: Mapping[str, tuple[Any, tuple[Field[Any], ...]]] = {
    group: (kind, fields(kind)) for group, kind in get_type_hints(Options).items()
}
TABLE: Mapping[str, Field[Any]] = {entry.name: entry for _, own in GROUPS.values() for entry in own}
ALIASES = {
    entry.metadata["alias"]: name for name, entry in TABLE.items() if entry.metadata["alias"]
}
TYPES: Mapping[str, type] = {name: type_of(entry) for name, entry in TABLE.items()}


def _heeds(engine: str, name: str) -> bool:
    return TABLE[name].metadata["only"] in (None, engine)


class Choices(TypedDict, total=False):
    """The table's names as keyword arguments, for type checkers; a test holds it to the table."""

    face: int | None
    max_size: int
    keep: str
    point: str
    mouth: float
    lip_width: float
    motion: float
    manner: str
    blink: float
    still: bool
    random_seed: int
    seed: int
    engine_mesh: str
    fps: int
    voice: str
    voice_speed: float
    crf: int | None
    preset: str
    preview: bool
    fit: str
    paste: bool
    engine: str
    n_gpus: int


def schema() -> dict[str, Any]:
    """The table as a JSON schema (draft 2020-12) of one object."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _described(entry) for name, entry in TABLE.items()},
    }


def _described(entry: Field[Any]) -> dict[str, Any]:
    names = {int: "integer", float: "number", bool: "boolean", str: "string"}
    kind = names[type_of(entry)]
    about: dict[str, Any] = {"description": entry.metadata["words"], "default": entry.default}
    about["type"] = kind if entry.default is not None else [kind, "null"]
    if entry.metadata["within"]:
        about["minimum"], about["maximum"] = entry.metadata["within"]
    if entry.metadata["among"]:
        about["enum"] = list(entry.metadata["among"])
    return about
