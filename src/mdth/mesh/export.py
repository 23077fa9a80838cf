"""A moving mesh -> a file, by its suffix."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdth.artefacts import FloatArray, MeshSequence, Portrait
from mdth.face import geometry
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
    heads: Sequence[tuple[FloatArray, FloatArray]] = (),
    portrait: Portrait | None = None,
    sound: Path,
    rate_hz: int,
) -> None:
    """Write the 478-vertex face as `.glb`, `.npz`, `.csv` (ARKit weights) or `.usda`.

    neutral: [478,3], face frame, eye distances; offsets start from it. heads: each frame's rotation
    [3,3] and translation [3] about the neck. portrait: texture (of `.glb`, `.npz`) and its places.
    sound, rate_hz: the speech and its sampling rate, named in the file; a CSV has no place for
    them. Weights are those beyond the neutral face's own: 0 at rest.
    """
    animation = surface.of_face(sequence, neutral, heads=heads, portrait=portrait)
    extras: dict[str, Any] = {"fps": animation.fps, "sound": sound.name}
    extras |= {"rate_hz": rate_hz, "unit": "metre"}
    suffix = path.suffix.lower()
    with replacing(path) as part, part.open("wb") as file:
        if suffix == ".glb":
            file.write(glb(animation, extras))
        elif suffix == ".npz":
            np.savez_compressed(file, **_arrays(animation), **extras)
        else:
            lines = usda_lines(animation, extras) if suffix == ".usda" else _csv_lines(animation)
            file.writelines(line.encode() for line in lines)


def _arrays(animation: Animation) -> dict[str, Any]:
    """What an `.npz` has: vertices [T,V,3] with the head's motion, and what they are made of."""
    vertices: FloatArray = animation.neutral + animation.offsets
    head = animation.head
    arrays = {"neutral": animation.neutral, "uv": animation.uv}
    if head is not None:
        vertices = head.placed(vertices)
        arrays |= {"head_rotation": head.rotation, "head_translation": head.translation}
        arrays |= {"neck": head.neck}
    arrays["vertices"] = vertices
    found: dict[str, Any] = {"faces": animation.triangles.astype(np.int32)}
    if animation.texture is not None:
        found["texture"] = animation.texture
    return found | {name: a.astype(np.float32) for name, a in arrays.items() if a is not None}


def _csv_lines(animation: Animation) -> Iterator[str]:
    angles = np.zeros((len(animation.weights), 3))
    if animation.head is not None:
        turned = surface.UPRIGHT[:, None] * animation.head.rotation * surface.UPRIGHT
        angles = np.deg2rad(geometry.euler_deg(turned)) * [1, 1, -1]
    return arkit.csv_lines(animation.weights, animation.fps, angles)
