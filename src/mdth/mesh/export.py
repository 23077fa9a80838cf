"""A moving mesh -> a file, by its suffix."""

from pathlib import Path
from typing import Any

import numpy as np

from mdth.artefacts import FloatArray, MeshSequence
from mdth.errors import InputError
from mdth.face import topology
from mdth.files.output import check_output
from mdth.files.write import replacing
from mdth.mesh import arkit, surface
from mdth.mesh.gltf import glb
from mdth.mesh.surface import Animation
from mdth.mesh.usd import usda_lines

SUFFIXES = (".glb", ".npz", ".csv", ".usda")


def export(
    sequence: MeshSequence,
    path: Path,
    *,
    neutral: FloatArray,
    sound: Path | None = None,
    rate_hz: int | None = None,
) -> None:
    """Write the 478-vertex face as `.glb`, `.npz`, `.csv` (ARKit weights) or `.usda`.

    neutral: [478,3], face frame, eye distances; offsets start from it. sound, rate_hz: the speech
    and its sampling rate, named in the file; a CSV has no place for them. Weights are those beyond
    the neutral face's own: 0 at rest. Raises InputError for another suffix or no frames.
    """
    if len(neutral) != topology.VERTEX_COUNT:
        raise InputError(f"{len(neutral)} vertices, not the {topology.VERTEX_COUNT} of the face")
    if path.suffix.lower() != ".csv":
        export_animation(surface.of_face(sequence, neutral), path, sound=sound, rate_hz=rate_hz)
        return
    _check(path, len(sequence.offsets))
    weights = arkit.weights(np.concatenate([neutral[None], neutral + sequence.offsets]))
    lines = arkit.csv_lines(arkit.beyond_rest(weights[1:], weights[0]), sequence.fps)
    with replacing(path) as part:
        part.write_text("".join(lines), "utf-8")


def export_animation(
    animation: Animation, path: Path, *, sound: Path | None = None, rate_hz: int | None = None
) -> None:
    """Write any moving mesh as `.glb`, `.npz` or `.usda`. Raises InputError."""
    _check(path, len(animation.offsets))
    extras = {**_extras(animation.fps, sound, rate_hz), "unit": "metre"}
    suffix = path.suffix.lower()
    if suffix == ".csv":
        raise InputError(f"{path}: ARKit weights are those of the 478-vertex face only")
    with replacing(path) as part, part.open("wb") as file:
        if suffix == ".glb":
            file.write(glb(animation, extras))
        elif suffix == ".npz":
            arrays: dict[str, Any] = {
                "vertices": (animation.neutral + animation.offsets).astype(np.float32),
                "faces": animation.triangles.astype(np.int32),
                "neutral": animation.neutral.astype(np.float32),
                **extras,
            }
            np.savez_compressed(file, **arrays)
        else:
            file.writelines(line.encode() for line in usda_lines(animation, extras))


def _extras(fps: float, sound: Path | None, rate_hz: int | None) -> dict[str, Any]:
    extras: dict[str, Any] = {"fps": fps}
    if sound:
        extras["sound"] = sound.name
    if rate_hz:
        extras["rate_hz"] = rate_hz
    return extras


def _check(path: Path, frames: int) -> None:
    check_output(path, SUFFIXES, ())
    if not frames:
        raise InputError(f"{path}: a mesh of no frames")
