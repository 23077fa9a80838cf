"""Pictures -> face meshes, by MediaPipe's Face Landmarker."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.devices import usable_cores
from mdth.face.mediapipe import create
from mdth.face.mediapipe import image as image_of
from mdth.face.shots import thumb
from mdth.parallel import ahead, in_threads

Mesh = npt.NDArray[np.float32]

TRACKER = "face_landmarker.task"
MAX_FACES = 16
# Threads that seek, each with a tracker of 45 MB; twice as many take as long (docs/performance.md).
MAX_THREADS = 4


class FaceTracker(AbstractContextManager["FaceTracker"]):
    """Face meshes [478,3] px of RGB pictures, each looked at for itself; use it in a `with`.

    MediaPipe's video mode, which smooths, is half a frame late.
    """

    def __init__(self) -> None:
        self._landmarker = create("FaceLandmarker", TRACKER, num_faces=MAX_FACES)

    def __exit__(self, *exception: object) -> None:
        self._landmarker.close()  # MediaPipe complains at exit when this is forgotten

    def faces(self, picture: Frame) -> list[Mesh]:
        """Meshes [478,3] px of the faces in an RGB uint8 [H,W,3], from left to right."""
        # Rows padded by a decoder hide every face without an error, hence the copy, which has a
        # name because MediaPipe reads its memory and keeps no hold of it.
        pixels = np.ascontiguousarray(picture)
        result = self._landmarker.detect(image_of(pixels))
        height, width = picture.shape[:2]
        scale = np.array([width, height, width], np.float32)
        meshes = [
            np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale
            for face in result.face_landmarks
        ]
        return sorted(meshes, key=lambda mesh: float(mesh[:, 0].mean()))


class Seen(NamedTuple):
    """A frame, made small, the faces in it, and how many frames it has been the same object."""

    frame: Frame
    small: FloatArray
    faces: list[Mesh]
    same_for: int


def each(frames: Iterable[Frame], *, patience: int) -> Iterator[Seen]:
    """The faces of each frame, in order, sought by a few threads: it takes all the time there is.

    A frame that is the same object as the `patience` ones before it shows no faces any more.
    """
    threads, idle = min(MAX_THREADS, len(usable_cores())), SimpleQueue[FaceTracker]()

    def seen(item: tuple[Frame, int]) -> Seen:
        frame, same_for = item
        tracker = idle.get()
        try:
            faces = tracker.faces(frame) if same_for <= patience else []
            return Seen(frame, thumb(frame), faces, same_for)
        finally:
            idle.put(tracker)

    def counted() -> Iterator[tuple[Frame, int]]:
        before, same_for = None, 0
        for frame in frames:
            same_for = same_for + 1 if frame is before else 0
            before = frame
            yield frame, same_for

    with ExitStack() as stack:
        for _ in range(threads):  # here, where an error is told in its own words
            idle.put(stack.enter_context(FaceTracker()))
        yield from in_threads(seen, ahead(counted()), threads)
