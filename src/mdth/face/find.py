"""A picture, or a clip's best frame -> the portrait: what every engine's avatar begins with."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mdth.artefacts import LARGEST_PICTURE_PX, Frame, Portrait
from mdth.devices import missing_libraries
from mdth.engine import PREPARE, Need, Progress, Source
from mdth.errors import INSTALL_LIBRARIES, MissingInput
from mdth.face import worn
from mdth.face.follow import Followed, Why, follow
from mdth.face.person import SEGMENTER
from mdth.face.portrait import portrait_score, prepare_portrait
from mdth.face.tracker import TRACKER
from mdth.files import assets
from mdth.log.stages import count, stage
from mdth.media.film import Film
from mdth.media.image import read_image
from mdth.media.video import VideoInfo, probe_video, read_frames
from mdth.options import PortraitOptions

# Frames of a clip that are looked at for its best one, and what counts where it does not say.
FRAMES_LOOKED_AT, UNKNOWN_FRAMES = 60, 600


def needs() -> list[Need]:
    """What finding a face reads."""
    ours = [
        Need(path.name, path, frozenset({PREPARE}), "install mdth again")
        for path in (worn.GLASSES.weights, worn.COVERED.weights)
    ]
    libraries = [
        Need(name, None, frozenset({PREPARE}), INSTALL_LIBRARIES, "missing")
        for name in missing_libraries()
    ]
    return [*libraries, *(asset_need(name, PREPARE) for name in (TRACKER, SEGMENTER)), *ours]


def asset_need(name: str, *stages: str) -> Need:
    """An outside model; it is fetched on first use, so it is never missing."""
    (asset,) = assets.named([name])
    return Need(name, asset.file, frozenset(stages), "")


@stage("prepare portrait")
def find_portrait(
    source: Source, options: PortraitOptions, *, person: Followed | None = None
) -> Portrait:
    """The portrait of a picture, else of the clip's best frame. Raises InputError.

    person: who it is in the clip, where they were followed; else some frames are, for that.
    """
    if source.picture is not None and not isinstance(source.picture, Path):
        return source.picture
    face, most = options.face, options.max_size
    if source.picture is not None:
        picture = read_image(source.picture, max_size=LARGEST_PICTURE_PX)
        count(source.picture.stat().st_size)
        return prepare_portrait(picture, face=face, max_size=most)
    if source.clip is None:
        raise MissingInput("no face: give a portrait or a clip")
    info = probe_video(source.clip)
    count(source.clip.stat().st_size)
    step = 1
    if person is None:
        step = max(1, (frame_count(info) or UNKNOWN_FRAMES) // FRAMES_LOOKED_AT)
        some = itertools.islice(read_frames(source.clip), 0, None, step)
        person = follow(some, fps=float(info.fps / step), face=face)
    number = _best_number(person)
    frame = next(itertools.islice(read_frames(source.clip), step * number, None))
    return prepare_portrait(frame, known=np.array(person.mesh[number]), max_size=most)


def _best_number(person: Followed) -> int:
    """Which frame shows a person best: most frontal, eyes open and mouth shut."""
    usable = np.flatnonzero(person.why == Why.USABLE)
    seen = usable if len(usable) else np.flatnonzero(person.found)
    looked_at = seen[:: max(1, len(seen) // FRAMES_LOOKED_AT)]
    return int(max(looked_at, key=lambda number: portrait_score(person.mesh[number])))


def frame_count(clip: VideoInfo | Film) -> int | None:
    """About how many frames a clip has, None where the file does not say."""
    return round(clip.duration_s * clip.fps) if clip.duration_s else None


def reported(
    frames: Iterable[Frame], clip: VideoInfo | Film, progress: Progress | None
) -> Iterator[Frame]:
    """The clip's frames; each is reported when the next is asked for."""
    total = frame_count(clip)
    for done, frame in enumerate(frames, start=1):
        yield frame
        if progress:
            progress(done, total)
