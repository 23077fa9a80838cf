"""Speech -> a moving face in a file for other programs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.artefacts import SPEECH_RATE_HZ, MeshSequence
from mdth.errors import SpeechTooShort
from mdth.face import geometry, topology
from mdth.film import take_engine
from mdth.media.audio import probe_sound, read_blocks
from mdth.media.speech import SHORTEST_S
from mdth.mesh.export import check_target, export
from mdth.options import Options
from mdth.scene import find_face

FloatArray = npt.NDArray[np.floating]

# Where irises lie in resting eyes looking ahead, from the mean of the eye's outline, and their size
# across and along: medians over tracked portraits, eye distances.
_IRIS_PLACE = np.array([0.0095, -0.0143, 0.0005])
_IRIS_RADII = np.array([[0, 0, 0], [0.072, 0, 0], [0, -0.062, 0], [-0.072, 0, 0], [0, 0.062, 0]])


def write(
    speech: Path,
    output: Path,
    *,
    portrait: Path | None = None,
    options: Options | None = None,
) -> None:
    """Write the face that says `speech` to `output`: `.glb`, `.npz`, `.csv` or `.usda`.

    Lips, jaw and cheeks move; eyes and head rest. portrait: whose face (default: MediaPipe's
    canonical one). Of the options, fps, mouth, face and engine_mesh count. Raises InputError,
    CheckpointError.
    """
    options = options or Options()
    check_target(output)
    info = probe_sound(speech)
    rest = resting_face() if portrait is None else _face_of(portrait, options)
    sequence = MeshSequence(np.stack(list(_spoken(speech, rest, options))), options.fps)
    export(
        sequence,
        output,
        neutral=rest,
        sound=speech,
        rate_hz=info.rate_hz,
    )


def resting_face() -> FloatArray:
    """The canonical face [478,3], mouth shut, eyes ahead; face frame, eye distances."""
    from mdth.embedded.motion import mouth

    face = np.zeros((topology.VERTEX_COUNT, 3))
    face[: len(topology.CANONICAL)] = topology.CANONICAL
    for iris, eye, inwards in (
        (topology.IRIS_LEFT, topology.EYE_LEFT, [-1, 1, 1]),
        (topology.IRIS_RIGHT, topology.EYE_RIGHT, [1, 1, 1]),
    ):
        face[iris] = face[eye].mean(axis=0) + _IRIS_PLACE * inwards + _IRIS_RADII
    return mouth.neutral_face(face)


def _face_of(portrait: Path, options: Options) -> FloatArray:
    from mdth.embedded.motion import mouth

    meshes: FloatArray = np.asarray(find_face(portrait, None, options).mesh, np.float64)[None]
    face = geometry.to_face(meshes, geometry.head_pose(meshes))
    return mouth.neutral_face((face / geometry.eye_distance(face)[:, None, None])[0])


def _spoken(speech: Path, rest: FloatArray, options: Options) -> Iterator[npt.NDArray[np.float32]]:
    """Offsets [478,3] of each frame from the resting face."""
    from mdth.embedded.motion import mouth

    heard = 0

    def counted() -> Iterator[FloatArray]:
        nonlocal heard
        for block in read_blocks(speech):
            heard += len(block)
            yield block

    follow = options.mouth * mouth.SPEECH_WEIGHTS[:, None]
    for offsets in take_engine(options).stream(counted(), options.fps):
        yield (mouth.touch_lips(rest + follow * offsets) - rest).astype(np.float32)
    if heard < SHORTEST_S * SPEECH_RATE_HZ:
        raise SpeechTooShort(f"{speech}: under {SHORTEST_S} s of sound")
