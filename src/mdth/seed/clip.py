"""A clip -> what its face does, 30 frames a second: one entry per frame, found or not.

The clip is tracked, to know the square around the whole track, then cut and measured. Frames wait
for that in memory as far as `HELD_BYTES` go; a longer clip is read again.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mdth import devices
from mdth.artefacts import FloatArray, Frame
from mdth.face.crop import Crop, around
from mdth.face.track import as_found, filled, filled_rotations, nearest_rotations
from mdth.face.tracker import track
from mdth.seed.artefacts import FPS, Faces, SeedClip, joined
from mdth.seed.fit import FaceReader
from mdth.seed.fits import Fits

# Crops that the head-pose network sees at once.
BATCH = 32
HELD_BYTES = 1 << 30
# Reads the clip's frames from the start, RGB uint8 [H,W,3].
Reader = Callable[[], Iterator[Frame]]
# A crop and the mesh [478,3] px in it.
Face = tuple[Frame, FloatArray]


class Track(NamedTuple):
    """meshes: float32 [T,478,3] px, the last found one where found [T] is not; crop of them all."""

    meshes: npt.NDArray[np.float32]
    found: npt.NDArray[np.bool_]
    crop: Crop


def prepare_clip(
    read: Reader, fps: float, reader: Callable[[], FaceReader], *, model: Path
) -> SeedClip:
    """read: opens the clip, called once or twice. fps: its rate. reader: asked for after tracking.

    model: of the face tracker. Frames without a face are filled in between the found ones. Raises
    NoFaceFound.
    """
    held = Held(read)
    tracked = follow(at_rate(held.first(), fps, FPS), model)
    faces, parts = reader(), []
    with Fits(faces.fitter.folder, len(devices.usable_cores())) as fits:
        for some in _batches(_cut(at_rate(held.again(), fps, FPS), tracked), BATCH):
            pictures, meshes = zip(*some, strict=True)
            fitted = fits.begin(*faces.seen(pictures, meshes))
            parts.append((fitted, faces.poses(np.stack(pictures))))
        found = [Faces(*fitted.result(), *posed) for fitted, posed in parts]
    return SeedClip(filled_faces(joined(found), tracked.found), tracked.found)


class Held:
    """A clip's frames, of which as many are kept as `HELD_BYTES` hold."""

    def __init__(self, read: Reader) -> None:
        self._read, self._kept = read, list[Frame]()

    def first(self) -> Iterator[Frame]:
        """All frames, read."""
        self._whole = True
        for frame in self._read():
            self._whole = self._whole and (1 + len(self._kept)) * frame.nbytes <= HELD_BYTES
            if self._whole:
                self._kept.append(frame)
            else:
                self._kept.clear()
            yield frame

    def again(self) -> Iterator[Frame]:
        """All frames, from memory or read again."""
        return iter(self._kept) if self._whole else self._read()


def _batches(faces: Iterator[Face], size: int) -> Iterator[list[Face]]:
    while some := list(itertools.islice(faces, size)):
        yield some


def _cut(frames: Iterator[Frame], tracked: Track) -> Iterator[Face]:
    """Of each frame with a face the crop and the mesh in it."""
    for frame, mesh, found in zip(frames, tracked.meshes, tracked.found, strict=True):
        if found:
            yield tracked.crop.cut(frame), tracked.crop.points(mesh.astype(np.float64))


def follow(frames: Iterator[Frame], model: Path) -> Track:
    """The face in each frame, and the square around all of it. Raises NoFaceFound."""
    meshes: list[npt.NDArray[np.float32]] = []
    found: list[bool] = []
    nothing = np.zeros((478, 3), np.float32)
    for mesh in track(frames, model, fps=FPS):
        found.append(mesh is not None)
        meshes.append(nothing if mesh is None else mesh)
    stacked, is_found = np.stack(meshes), as_found(found)
    faces = stacked[is_found, :, :2]
    return Track(stacked, is_found, around(faces.min(axis=(0, 1)), faces.max(axis=(0, 1))))


def at_rate(frames: Iterable[Frame], fps: float, rate: float) -> Iterator[Frame]:
    """Frames at `rate` a second: the nearest in time, half way the later one; as long in all."""
    made = 0
    for index, frame in enumerate(frames):
        # Times k / rate belong to this frame until half way to the next; at the end, all that last.
        while made * fps < (index + 0.5) * rate:
            made += 1
            yield frame
        last, length = frame, round((index + 1) * rate / fps)
    if made:
        yield from itertools.repeat(last, max(0, length - made))


def filled_faces(faces: Faces, found: npt.NDArray[np.bool_]) -> Faces:
    """Faces of the found frames -> of all frames [T]: between two found ones on straight lines."""
    modelview = filled(faces.modelview, found)
    modelview[:, :3, :3] = nearest_rotations(modelview[:, :3, :3])
    return Faces(
        filled(faces.landmarks, found),
        modelview,
        filled(faces.screen, found),
        filled_rotations(faces.rotation, found),
        filled(faces.translation, found),
    )
