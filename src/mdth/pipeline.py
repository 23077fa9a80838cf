"""The story: portrait and speech become a talking video; a twin's raw folder becomes one too."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Unpack

from mdth import devices, engines, record
from mdth.artefacts import Portrait
from mdth.errors import InputError
from mdth.film import Progress, Record, shoot
from mdth.flow import Clock
from mdth.options import SEED, Choices, Options
from mdth.scene import Inputs, find_face, gather
from mdth.storage.sealed import write_json
from mdth.twins.tasks import inference, preprocess

__all__ = ["inference", "prepare", "preprocess", "talk"]


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
    n_gpus: int = 1,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Record:
    """Write the talking video `output` (mp4) and beside it its record (json), which is returned.

    At least one face and one sound among portrait, speech and video: without a portrait the clip's
    best frame is used, without a speech its sound; where it is given, its head, eyes and brows move
    the portrait. An open binary file as `output` gets raw rgb24 frames instead, and no json.
    n_gpus: over how many the seed's engine spreads. choices: see `mdth.options.Options`. Raises
    MdthError, and leaves nothing half-written.
    """
    options, clock = engines.resolved(Options(**choices)), Clock()
    if n_gpus > 1 or options.engine == SEED:
        devices.check(n_gpus, used=options.engine == SEED)
    inputs = Inputs.of(portrait, speech, video)
    target = _checked_target(output, inputs)
    with clock.stage("prepare"):
        scene = gather(inputs, options, progress, n_gpus=n_gpus)
    made = shoot(scene, target, options, clock=clock, progress=progress)
    made["inputs"] = {kind: record.described(file) for kind, file in inputs.given().items()}
    if isinstance(target, Path):
        write_json(target.with_suffix(".json"), made)
    return made


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
