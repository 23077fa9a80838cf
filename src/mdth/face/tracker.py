"""Pictures -> face meshes, by MediaPipe's Face Landmarker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from mdth.artefacts import Frame
from mdth.face.mediapipe import create
from mdth.face.mediapipe import image as image_of

Mesh = npt.NDArray[np.float32]

MAX_FACES = 16


class FaceTracker:
    """Face meshes [478,3] px of RGB pictures; use it in a `with`.

    video=True follows one face from frame to frame (temporal smoothing, give frames in order and
    one tracker per clip); otherwise each picture is searched for up to 16 faces.
    """

    def __init__(self, model: Path, *, video: bool = False, fps: float = 30.0) -> None:
        self._video = video
        self._step_ms = 1000.0 / fps
        self._frames = 0
        self._landmarker = create(
            "FaceLandmarker", model, video=video, num_faces=1 if video else MAX_FACES
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the network; MediaPipe complains at exit when this is forgotten."""
        self._landmarker.close()

    def faces(self, picture: Frame) -> list[Mesh]:
        """Meshes [478,3] px of the faces in an RGB uint8 [H,W,3], from left to right."""
        # Rows padded by a decoder hide every face without an error, hence the copy.
        image = image_of(np.ascontiguousarray(picture))
        if self._video:
            result = self._landmarker.detect_for_video(image, round(self._frames * self._step_ms))
            self._frames += 1
        else:
            result = self._landmarker.detect(image)
        height, width = picture.shape[:2]
        scale = np.array([width, height, width], np.float32)
        meshes = [
            np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale
            for face in result.face_landmarks
        ]
        return sorted(meshes, key=lambda mesh: float(mesh[:, 0].mean()))


def track(frames: Iterator[Frame], model: Path, *, fps: float) -> Iterator[Mesh | None]:
    """One mesh [478,3] px for each frame, None where no face is found: the length is kept."""
    with FaceTracker(model, video=True, fps=fps) as tracker:
        for frame in frames:
            found = tracker.faces(frame)
            yield found[0] if found else None
