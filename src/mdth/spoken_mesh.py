"""A speech -> a moving face for other programs."""

from pathlib import Path
from typing import Unpack

import numpy as np

from mdth import engines, record
from mdth.artefacts import MeshSequence
from mdth.embedded.engine import Embedded
from mdth.engine import PREPARE, SPEAK, Source
from mdth.errors import ours
from mdth.face.find import find_portrait
from mdth.files.json import Json
from mdth.files.output import check_output, recorded
from mdth.log.stages import job
from mdth.media.audio import probe_sound, read_blocks
from mdth.mesh.export import SUFFIXES, export
from mdth.options import Choices, Options


@ours
def export_mesh(
    speech: Path | str,
    output: Path | str,
    *,
    portrait: Path | str | None = None,
    **choices: Unpack[Choices],
) -> Json:
    """Write the face that says `speech` to `output`: `.glb`, `.npz`, `.csv` or `.usda`.

    Beside it comes its record, `face.glb.mdth.json`, which is given back too. Head, eyes and brows
    move as in the video, unless `still`. portrait: whose face, with its texture (default:
    MediaPipe's canonical one). Of the choices, those of motion and face count. Raises InputError,
    CheckpointError.
    """
    options, sound = Options.of(**choices), Path(speech)
    given = {"speech": sound, "portrait": Path(portrait) if portrait else None}
    target = check_output(Path(output), SUFFIXES, filter(None, given.values()))
    rate_hz = probe_sound(sound).rate_hz
    with job() as watch, recorded(target) as write:
        picture = given["portrait"]
        found = find_portrait(Source(picture), options.portrait) if picture else None
        neutral, session = Embedded().open_mesh(found, options)
        moved = [frame for block in read_blocks(sound) for frame in session.feed(block)]
        moved += session.finish()
        sequence = MeshSequence(np.stack([offsets for offsets, _ in moved]), options.motion.fps)
        export(
            sequence,
            target,
            neutral=neutral,
            heads=[] if options.motion.still else [head[:2] for _, head in moved],
            portrait=found,
            sound=sound,
            rate_hz=rate_hz,
        )
        engine, more = engines.get(engines.EMBEDDED), {"sound_rate_hz": rate_hz}
        stages = (PREPARE, SPEAK) if picture else (SPEAK,)
        made = record.of_result(
            engine, options, frames=len(moved), seconds=watch.seconds, stages=stages, **more
        )
        write(made := {**made, "inputs": record.inputs(given)})
    return made
