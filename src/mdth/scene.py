"""Files -> a scene: which of them gives the face, which the sound, which the motion."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from mdth.artefacts import Frame, Motion, Portrait
from mdth.embedded.motion.prepare import prepare_motion
from mdth.errors import MissingInput, UnreadableMedia
from mdth.face.portrait import best_frame, prepare_portrait, shrunk
from mdth.files import assets
from mdth.film import SEGMENTER, TRACKER, Progress, Scene
from mdth.log.stages import count, stage
from mdth.media.audio import probe_sound, read_blocks
from mdth.media.image import read_image
from mdth.media.video import VideoInfo, probe_video, read_frames
from mdth.options import SEED, Options

if TYPE_CHECKING:
    from mdth.seed.engine import SeedScene


class Inputs(NamedTuple):
    """What a user gives; at least one face and one sound among them."""

    portrait: Portrait | Path | None = None
    speech: Path | None = None
    video: Path | None = None

    @classmethod
    def of(
        cls,
        portrait: Portrait | Path | str | None,
        speech: Path | str | None,
        video: Path | str | None,
    ) -> Self:
        """The same with paths for strings."""
        return cls(
            Path(portrait) if isinstance(portrait, str) else portrait,
            Path(speech) if speech else None,
            Path(video) if video else None,
        )

    def given(self) -> dict[str, Portrait | Path]:
        """Those that are there, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def gather(
    inputs: Inputs, options: Options, progress: Progress | None = None, *, n_gpus: int = 1
) -> Scene:
    """The scene of these files; the clip fills in for a face or a sound that is not given.

    n_gpus: how many the seed's engine may use. Raises InputError: MissingInput when there is no
    face or no sound among them.
    """
    portrait, speech, video = inputs
    if portrait is None and video is None:
        raise MissingInput("no face: give a portrait, or a clip of the person with --video")
    sound = speech or video
    if sound is None:
        raise MissingInput("no sound: give a speech, or a clip that has sound with --video")
    info = probe_sound(sound)
    face = find_face(portrait, video, options)
    clip = None if options.still else video
    seed = options.engine == SEED
    return Scene(
        portrait=face,
        blocks=read_blocks(sound),
        sound=sound,
        duration_s=info.duration_s,
        motion=find_motion(clip, progress) if clip and not seed else None,
        seed=_seed_scene(face, clip, n_gpus, progress=progress) if seed else None,
        n_gpus=n_gpus,
    )


def _seed_scene(
    face: Portrait, clip: Path | None, n_gpus: int, *, progress: Progress | None
) -> "SeedScene":
    from mdth.seed import engine as seed_engine

    return seed_engine.prepare(face, clip, n_gpus=n_gpus, progress=progress)


@stage("prepare portrait")
def find_face(portrait: Portrait | Path | None, video: Path | None, options: Options) -> Portrait:
    """The portrait of a picture, else of the clip's best frame. Raises InputError."""
    if isinstance(portrait, Portrait):
        return portrait
    models = {"tracker_model": assets.path(TRACKER), "person_model": assets.path(SEGMENTER)}
    if portrait is not None:
        picture = read_image(portrait, max_size=options.max_size)
        count(portrait.stat().st_size)
        return prepare_portrait(picture, face=options.face, **models)
    if video is None:
        raise MissingInput("no face: give a portrait or a clip")
    info = probe_video(video)
    count(video.stat().st_size)
    best = best_frame(read_frames(video), count=frame_count(info), face=options.face, **models)
    return shrunk(best, options.max_size)


@stage("prepare motion")
def find_motion(video: Path, progress: Progress | None = None) -> Motion:
    """What the person in a clip does. Raises UnreadableMedia, NoFaceFound."""
    info = probe_video(video)
    count(video.stat().st_size)
    frames = read_frames(video)
    told = counted(frames, frame_count(info), progress) if progress else frames
    return prepare_motion(told, float(info.fps), assets.path(TRACKER))


def frame_count(info: VideoInfo) -> int | None:
    """About how many frames a clip has, None where the file does not say."""
    return round(info.duration_s * info.fps) if info.duration_s else None


def counted(
    frames: Iterator[Frame], total: int | None, progress: Progress
) -> Generator[Frame, None, None]:
    """The same frames; each is reported when the next is asked for."""
    for done, frame in enumerate(frames, start=1):
        yield frame
        progress(done, total)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its content."""
    try:
        read_image(path, max_size=64)
    except UnreadableMedia:
        return False
    return True
