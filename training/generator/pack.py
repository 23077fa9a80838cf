"""Clips of faces -> one file to train on: square crops as JPEG, with landmarks.

    python -m training.generator.pack data/grid/s1 work/generator/clips.npz --clips 100

The file is an npz without pickles that needs numpy and Pillow alone to be read: it may travel to a
machine that has no face tracker. A frame without a face is left out; the count is printed.
"""

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image as PillowImage

from mdth.artefacts import FloatArray, Frame
from mdth.errors import NoFaceFound
from mdth.face import geometry, landmarks68
from mdth.face.crop import Crop, around
from mdth.face.follow import follow
from training import command
from training.generator.packed import Packed
from training.tracks import CLIP_SUFFIXES, read_pictures

if TYPE_CHECKING:
    from mdth.bfv2v.landmarks import Landmarks

log = logging.getLogger("mdth")

MM_PER_UNIT = 92.0
"""Between the outer corners of the eyes of the face model that the seed fits."""
# The face frame has y down and z away from the viewer, model space both the other way.
MODEL_AXES = np.array([1.0, -1.0, -1.0])
IRIS_POINTS = [3, 4]
QUALITY = 90


class Sample(NamedTuple):
    """One frame of a clip: a crop RGB uint8 [256,256,3] and its landmarks."""

    picture: Frame
    landmarks: "Landmarks"


Reader = Callable[[Path], Iterator[Sample]]
"""What makes samples of a clip. Raises NoFaceFound."""


def read_clip(path: Path) -> Iterator[Sample]:
    """Samples from the 478-vertex mesh: one square around the whole track, pose from the skull.

    Raises NoFaceFound.
    """
    fps, pictures = read_pictures(path)
    person = follow(pictures, fps=fps)
    flat = person.mesh[person.found, :, :2].reshape(-1, 2)
    crop = around(flat.min(axis=0), flat.max(axis=0))
    for mesh, found, picture in zip(person.mesh, person.found, read_pictures(path)[1], strict=True):
        if found:
            yield Sample(crop.cut(picture), landmarks(mesh, crop))


def landmarks(mesh: FloatArray, crop: Crop) -> "Landmarks":
    """Normalised landmarks of a mesh [478,3] px of the picture, and the way to the crop's px.

    Model space is the face frame in mm, y up and z towards the viewer; irises take the places of
    two points of the jaw.
    """
    placed = crop.points(mesh.astype(np.float64))
    pose = geometry.head_pose(placed[None])
    face = geometry.to_face(placed[None], pose)[0] * MODEL_AXES * MM_PER_UNIT
    points = landmarks68.from_mesh(face)
    points[IRIS_POINTS] = landmarks68.irises(face)
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(MODEL_AXES) @ pose.rotation[0].T * (pose.scale[0] / MM_PER_UNIT)
    matrix[3, :3] = pose.translation[0]
    # Depth is counted from the middle of the head, in px like the rest.
    matrix[3, 2] = 0
    from mdth.bfv2v.landmarks import SCALE, Landmarks

    return Landmarks(points / SCALE, matrix)


def pack(clips: list[Path], *, every: int, reader: Reader = read_clip) -> Packed:
    """Every so many frames of the clips; those without a face are skipped."""
    parts: list[bytes] = []
    faces: list[Landmarks] = []
    clip: list[int] = []
    names: list[str] = []
    for path in clips:
        try:
            samples = list(reader(path))[::every]
        except NoFaceFound as error:
            log.info("skipped: %s", error)
            continue
        parts += [_jpeg(sample.picture) for sample in samples]
        faces += [sample.landmarks for sample in samples]
        clip += [len(names)] * len(samples)
        names.append(path.stem)
        log.info("%s: %d frames", path.stem, len(samples))
    return Packed(
        np.frombuffer(b"".join(parts), np.uint8),
        np.cumsum([len(part) for part in parts]),
        np.array(clip, np.int32),
        np.array([face.value for face in faces], np.float32),
        np.array([face.U for face in faces], np.float32),
        np.array(names),
    )


def _jpeg(picture: Frame) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(picture).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def main() -> None:
    parser = command.parser("training.generator.pack", __doc__)
    parser.add_argument("folder", type=Path, help="of clips")
    parser.add_argument("out", type=Path, help="the file to write, .npz")
    parser.add_argument("--clips", type=int, default=100, help="how many, evenly chosen by name")
    parser.add_argument("--every", type=int, default=2, help="one frame of so many")
    given = parser.parse_args()
    files = command.files_in(given.folder, "*.*")
    clips = [path for path in files if path.suffix in CLIP_SUFFIXES]
    packed = pack(clips[:: max(1, len(clips) // given.clips)][: given.clips], every=given.every)
    packed.save(given.out)
    log.info("%s: %d frames, %.1f MB", given.out, len(packed.ends), len(packed.jpeg) / 1e6)


if __name__ == "__main__":
    command.run(main)
