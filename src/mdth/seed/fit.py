"""68 landmarks of a square picture -> the face model's pose and the landmarks in its space."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face.crop import SIZE_PX
from mdth.seed.eos_files import EosFiles, import_eos

# The depth of the screen's origin, and how much nearer the irises lie than the tracker has them.
SCREEN_DEPTH, IRIS_NEARER = 75.0, 50.0
# Irises take the places of two points of the jaw.
IRIS_POINTS = (3, 4)


class Fit(NamedTuple):
    """landmarks: [68,3] mm, model space. modelview, screen: [4,4], see `seed_artefacts.Faces`."""

    landmarks: FloatArray
    modelview: FloatArray
    screen: FloatArray


class Fitter:
    """Fits the model to faces; keeps nothing between them."""

    def __init__(self, files: EosFiles, *, size: int = SIZE_PX) -> None:
        self._files = files
        self._size = size
        self._eos = import_eos()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From `checkpoints/landmark`. Raises CheckpointError, MissingDependency."""
        return cls(EosFiles.load(folder))

    def fit(self, landmarks: FloatArray, irises: FloatArray) -> Fit:
        """landmarks: [68,2+] px of the crop. irises: [2,3] px, the viewer's left and right."""
        named = [
            self._eos.core.Landmark(str(point + 1), np.asarray(place[:2], np.float32))
            for point, place in enumerate(landmarks)
        ]
        files = self._files
        mesh, camera, _, _ = self._eos.fitting.fit_shape_and_pose(
            files.model,
            named,
            files.mapper,
            self._size,
            self._size,
            files.edges,
            files.contour_landmarks,
            files.model_contour,
        )
        modelview = np.asarray(camera.get_modelview(), np.float64)
        screen = viewport(self._size) @ np.asarray(camera.get_projection(), np.float64)
        fitted = np.asarray(mesh.vertices, np.float64)[files.vertices]
        whole = screen @ modelview
        depths = fitted @ whole[2, :3] + whole[2, 3]
        placed = np.column_stack([np.asarray(landmarks, np.float64)[:, :2], depths])
        placed[list(IRIS_POINTS)] = irises - np.array([0, 0, IRIS_NEARER])
        return Fit(to_model(placed, whole), modelview, screen)


def viewport(size: int) -> FloatArray:
    """[4,4] from -1..1 to px, y down."""
    half = size / 2
    return np.array(
        [[half, 0, 0, half], [0, -half, 0, half], [0, 0, 1, -SCREEN_DEPTH], [0, 0, 0, 1]]
    )


def to_model(placed: FloatArray, whole: FloatArray) -> FloatArray:
    """Points [N,3] px -> model space, mm, through the inverse of `whole` [4,4]."""
    rows = np.column_stack([placed, np.ones(len(placed))])
    return np.asarray(np.linalg.solve(whole, rows.T).T[:, :3])
