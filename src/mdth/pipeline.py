"""The story: portrait and speech become a talking video; a twin's raw folder becomes one too."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Unpack

from mdth import devices, manifest, record, twins
from mdth.artefacts import Portrait
from mdth.errors import InputError
from mdth.film import Progress, Record, shoot
from mdth.flow import Clock
from mdth.options import Choices, Options
from mdth.preprocess.speech import prepare_speech
from mdth.scene import Inputs, find_face, find_motion, gather
from mdth.storage.layout import AUDIO, IMAGE, VIDEO, stored_inference
from mdth.twins import Twin

log = logging.getLogger("mdth")

OUTPUT = "output.mp4"


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
    inputs = Inputs.of(portrait, speech, video)
    target = _checked_target(output, inputs)
    with clock.stage("prepare"):
        scene = gather(inputs, options, progress)
    made = shoot(scene, target, options, clock=clock, progress=progress)
    made["inputs"] = {kind: record.described(file) for kind, file in inputs.given().items()}
    if isinstance(target, Path):
        record.write(target.with_suffix(".json"), made)
    return made


def preprocess(
    twin_id: str,
    *,
    n_gpus: int = 1,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Path:
    """Prepare a twin: raw files of the store -> portrait, speech and motion, sealed and published.

    Gives the local folder. What is prepared already, from the same files, is not computed again.
    Of the choices, `face` and `max_size` count here. Raises MdthError.
    """
    devices.check(n_gpus)
    options, twin = Options(**choices), Twin.named(twin_id)
    sources = twins.fetch(twin)
    settings = {"face": options.face, "max_size": options.max_size}
    origin = manifest.Origin(twin_id, sources.described(), settings)
    if manifest.is_current(twin.prepared, origin):
        log.info("%s is prepared already; nothing to do", twin_id)
    else:
        with twins.replacing(twin.prepared) as folder:
            prepare_speech(sources.sound, folder / AUDIO)
            find_face(sources.image, sources.video, options).save(folder / IMAGE)
            if sources.video:
                find_motion(sources.video, progress).save(folder / VIDEO)
            manifest.seal(folder, origin)
    twins.publish_prepared(twin)
    return twin.prepared


def inference(
    twin_id: str,
    *,
    n_gpus: int = 1,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Path:
    """Film a prepared twin: `output.mp4` and its record, locally and in the store.

    Gives the local mp4. Raises MdthError: ArtefactError when the prepared data is stale or foreign.
    """
    devices.check(n_gpus)
    twin, clock = Twin.named(twin_id), Clock()
    with clock.stage("prepare"):
        sealed = twins.open_prepared(twin)
        scene = twins.load_scene(twin.prepared)
    options = Options(**{**sealed["settings"], **choices})
    target = twin.tree.serving(twin_id) / OUTPUT
    made = shoot(scene, target, options, clock=clock, progress=progress)
    made["inputs"] = sealed["sources"]
    for file in (target, record.write(target.with_suffix(".json"), made)):
        twin.store.upload(file, f"{stored_inference(twin_id)}/{file.name}")
    return target


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
