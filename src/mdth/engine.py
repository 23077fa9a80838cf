"""What an engine is: it prepares avatars and opens sessions in which they speak.

    engine = mdth.engines.choose(options)
    avatar = engine.prepare(Source(picture, clip), options)
    session = engine.open(avatar, options)
    for block in sound:
        for frame in session.feed(block): ...
    for frame in session.finish(): ...

Nobody but `mdth.engines` asks which engine it is. One of a package's own is found by its entry
point in the group `mdth.engines` (see docs/code.md).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from mdth.options import Options

if TYPE_CHECKING:
    from mdth.artefacts import Files, FloatArray, Frame, Portrait

PREPARE, SPEAK = "prepare", "speak"
# Besides SPEAK, by where the head's motion is from.
BY_CLIP, BY_VOICE = "speak by a clip", "speak by the voice"
IMAGE, VIDEO = "image", "video"

# Called with the number of frames made, and of all frames where that is known.
Progress = Callable[[int, int | None], None]


class Need(NamedTuple):
    """A file or a package that an engine reads.

    name: as people know it. path: the file, None for a package. stages: in which it is read.
    mend: what to do where it is missing. problem: what is wrong with it, "" where nothing is.
    """

    name: str
    path: Path | None
    stages: frozenset[str]
    mend: str
    problem: str = ""


def speaking(*, clip: bool) -> tuple[str, ...]:
    """The stages of an avatar that speaks; clip: a clip's motion moves it."""
    return SPEAK, BY_CLIP if clip else BY_VOICE


class Source(NamedTuple):
    """Where an avatar comes from: a picture with a face, a clip of a person, or both.

    A clip gives head, eyes and brows and, without a picture, the face of its best frame; or it is
    kept, and its frames themselves will speak.
    """

    picture: "Path | Portrait | None" = None
    clip: Path | None = None
    keep_clip: bool = False


class Avatar(Protocol):
    """What speaks, prepared once, for any number of speeches."""

    @property
    def engine(self) -> str:
        """The name of the engine that made it."""

    @property
    def portrait(self) -> "Portrait":
        """The person's picture and the face in it."""

    def save(self, folder: Path) -> None:
        """Write the folders `image` and, for what a clip gave, `video` below `folder`."""


class Session(Protocol):
    """One avatar speaking: sound goes in, frames come out. Owned by one caller at a time.

    size: width and height of the frames in px. fps: frames a second. look_ahead_s: a frame is final
    at most this long after its sound was fed, infinite where all of the sound is heard first.
    """

    size: tuple[int, int]
    fps: int
    look_ahead_s: float

    def feed(self, sound: "FloatArray") -> "Iterator[Frame]":
        """Hear float [n], mono, 16 kHz, any n; gives the frames RGB uint8 [H,W,3] that are final.

        The sound is heard at once; frames that are not taken now come with a later call.
        """

    def finish(self) -> "Iterator[Frame]":
        """The rest: round(duration * fps) frames in all, at least 1. Raises SpeechTooShort."""

    def close(self) -> None:
        """End it, also in the middle; frames that were not taken are lost."""


@runtime_checkable
class Rewinding(Protocol):
    """A session that can take sound back and leave frames out: `mdth.live` needs it."""

    def rewind(self, sample: int, *, forget: bool = False) -> None:
        """Unhear the sound from a sample on, at or after the time of the next frame not taken.

        The face goes on from where it is. forget: what was heard before is silence now.
        """

    def begin(self, sound: "FloatArray", *, drawn: bool = True) -> Iterator[Callable[[], "Frame"]]:
        """`feed`, whose frames any thread may draw by calling them; drawn: whether anybody will."""

    def listen(self, sound: "FloatArray") -> None:
        """What somebody else says meanwhile, mono, 16 kHz, for the frames to come."""


class Engine(Protocol):
    """Makes avatars and sessions.

    name: what options and records call it. libraries: the packages whose versions shape its result.
    """

    name: str
    libraries: tuple[str, ...]

    def needs(self, options: Options) -> Sequence[Need]:
        """All files and packages it reads; what is missing says so. Reads no file whole."""

    def prepare(
        self, source: Source, options: Options, *, progress: Progress | None = None
    ) -> Avatar:
        """The avatar of a picture or a clip. Raises InputError, CheckpointError."""

    def saved(self, source: Source) -> list[str]:
        """The files that its avatar of this source is saved as, such as "image/portrait.png"."""

    def load(self, files: "Mapping[str, Files]") -> Avatar:
        """What `save` wrote: the files of `image` and `video` by name. Raises ArtefactError."""

    def open(self, avatar: Avatar, options: Options, *, pool: Executor | None = None) -> Session:
        """A session; pool: threads that may draw frames, else the caller's own does.

        Raises CheckpointError, MissingDependency, DeviceError.
        """

    def traits(self) -> dict[str, str]:
        """What shapes its avatars besides options, files and versions, for the record."""

    def close(self) -> None:
        """Drop what it keeps loaded for the next session."""
