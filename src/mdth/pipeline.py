"""The story: portrait and speech become a talking video; a twin's raw folder becomes one too."""

import itertools
import logging
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Unpack

from mdth import record
from mdth.artefacts import Frame, Portrait
from mdth.errors import InputError
from mdth.film import Scene, frames
from mdth.flow import Clock
from mdth.media.video import RawWriter, VideoWriter
from mdth.options import Choices, Options
from mdth.scene import find_face, gather

log = logging.getLogger("mdth")

# Called with the number of frames made, and of all frames where that is known.
Progress = Callable[[int, int | None], None]
Record = dict[str, Any]


def prepare(
    portrait: Path | str, *, face: int | None = None, max_size: int = Options.max_size
) -> Portrait:
    """A picture with its face found, ready for any number of `talk`s.

    face: 1 is the leftmost, None the largest. Raises InputError, CheckpointError.
    """
    return find_face(Path(portrait), None, Options(face=face, max_size=max_size))


def talk(
    portrait: Portrait | Path | str | None,
    speech: Path | str | None,
    output: Path | str | BinaryIO,
    *,
    video: Path | str | None = None,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Record:
    """Write the talking video `output` (mp4) and beside it its record (json), which is returned.

    At least one face and one sound among portrait, speech and video: without a portrait the clip's
    best frame is used, without a speech its sound; where it is given, its head, eyes and brows move
    the portrait. An open binary file as `output` gets raw rgb24 frames instead, and no json.
    choices: see `mdth.options.Options`. Raises MdthError, and leaves nothing half-written.
    """
    options, clock = Options(**choices), Clock()
    given = {"portrait": portrait, "speech": speech, "video": video}
    inputs = {kind: Path(f) if isinstance(f, str) else f for kind, f in given.items() if f}
    target = _checked_target(output, inputs.values())
    with clock.stage("prepare"):
        scene = gather(options, **inputs)
    made = shoot(scene, target, options, clock=clock, progress=progress)
    made["inputs"] = {kind: record.described(file) for kind, file in inputs.items()}
    if isinstance(target, Path):
        record.write(target.with_suffix(".json"), made)
    return made


def shoot(
    scene: Scene,
    target: Path | BinaryIO,
    options: Options,
    *,
    clock: Clock,
    progress: Progress | None,
) -> Record:
    """Film the scene into `target`; gives what the record says about it. Raises MdthError."""
    total = scene.frame_count(options)
    with closing(frames(scene, options, clock)) as film:
        # Whatever is wrong with the inputs shows before the first frame: nothing is opened yet.
        first = next(film)
        with _sink(target, first, scene, options) as sink:
            for frame in itertools.chain([first], film):
                with clock.stage("wait for encoder"):
                    sink.write(frame)
                if progress:
                    progress(sink.frames_written, total)
    log.info("%d frames in %.1f s", sink.frames_written, clock.seconds["total"])
    return record.of_film(options, frames=sink.frames_written, shape=first.shape, clock=clock)


def _sink(
    target: Path | BinaryIO, first: Frame, scene: Scene, options: Options
) -> VideoWriter | RawWriter:
    height, width = first.shape[:2]
    if not isinstance(target, Path):
        log.warning("raw frames: rgb24, %dx%d, %d frames/s", width, height, options.fps)
        return RawWriter(target)
    return VideoWriter(
        target,
        width=width,
        height=height,
        fps=options.fps,
        sound=scene.sound,
        crf=options.crf,
        preset=options.preset,
        metadata=record.SYNTHETIC,
    )


def _checked_target(output: Path | str | BinaryIO, inputs: Iterable[object]) -> Path | BinaryIO:
    """Where to write. Raises InputError where that would go wrong or cost an input."""
    if not isinstance(output, Path | str):
        return output
    path = Path(output)
    if path.suffix.lower() != ".mp4":
        raise InputError(f"{path}: the video is an mp4; give a name that ends in .mp4")
    if path.exists() and any(
        isinstance(f, Path) and f.exists() and path.samefile(f) for f in inputs
    ):
        raise InputError(f"{path}: is an input too; write to another place")
    return path
