"""A clip -> what its face does, 30 frames a second: one entry per frame, found or not.

The clip is tracked, to know the square around the whole track, then cut and measured. Frames wait
for that in memory as far as `HELD_BYTES` go; a longer clip is read again.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from mdth import devices
from mdth.artefacts import FloatArray, Frame
from mdth.face.crop import Crop, around
from mdth.face.follow import Followed, follow
from mdth.face.track import filled, filled_rotations, nearest_rotations
from mdth.parallel import in_threads
from mdth.seed.apart import Fits
from mdth.seed.artefacts import FPS, Faces, SeedClip, joined
from mdth.seed.fit import FaceReader, stacked

# Crops that the head-pose network sees at once.
BATCH = 32
HELD_BYTES = 1 << 30
CUTTERS = 4
# Reads the clip's frames from the start, RGB uint8 [H,W,3].
Reader = Callable[[], Iterator[Frame]]
# A crop and the mesh [478,3] px in it.
Face = tuple[Frame, FloatArray]


def prepare_clip(
    read: Reader, fps: float, reader: Callable[[], FaceReader], *, fits: Fits
) -> SeedClip:
    """read: opens the clip, called once or twice. fps: its rate. reader: asked for after tracking.

    fits: who fits. Of several people it is who speaks (`face.follow`).
    Frames without the face are filled in between the found ones. Raises NoFaceFound.
    """
    held = Held(read)
    person = follow(at_rate(held.first(), fps, FPS), fps=FPS)
    points = person.mesh[person.found, :, :2]
    crop = around(points.min(axis=(0, 1)), points.max(axis=(0, 1)))
    faces, parts = reader(), []
    for some in _batches(_cut(at_rate(held.again(), fps, FPS), person, crop), BATCH):
        pictures, meshes = zip(*some, strict=True)
        begun = fits.begin(*faces.seen(pictures, meshes))
        parts.append((begun, faces.poses(np.stack(pictures))))
    found = [Faces(*stacked(fit.result() for fit in begun), *posed) for begun, posed in parts]
    return SeedClip(filled_faces(joined(found), person.found), person.found)


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


def _cut(frames: Iterator[Frame], person: Followed, crop: Crop) -> Iterator[Face]:
    """Of each frame with the face the crop and the mesh in it."""

    def cut(face: tuple[Frame, FloatArray]) -> Face:
        frame, mesh = face
        return crop.cut(frame), crop.points(mesh.astype(np.float64))

    faces = itertools.compress(zip(frames, person.mesh, strict=True), person.found)
    return in_threads(cut, faces, min(CUTTERS, len(devices.usable_cores())))


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
