"""Crops and the meshes in them -> faces as the seed's networks see them: pose and landmarks."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.face import crop, landmarks68
from mdth.face.crop import SIZE_PX
from mdth.seed.artefacts import Faces, SeedStill
from mdth.seed.eos_files import DEPTH_VERTICES, EosFiles, import_eos
from mdth.seed.landmarks import Marks

# The depth of the screen's origin, and how much nearer the irises lie than the tracker has them.
SCREEN_DEPTH, IRIS_NEARER = 75.0, 50.0
# Irises take the places of two points of the jaw.
IRIS_POINTS = (3, 4)
# Rotations [B,3,3] and translations [B,3] of the heads in pictures RGB uint8 [B,256,256,3].
HeadPoses = Callable[[Frame], tuple[FloatArray, FloatArray]]


class Fit(NamedTuple):
    """landmarks: [68,3] mm, model space. modelview, screen: [4,4], see `Faces`."""

    landmarks: FloatArray
    modelview: FloatArray
    screen: FloatArray


class Fitter:
    """Fits the model to faces; keeps nothing between them."""

    def __init__(self, folder: Path, *, size: int = SIZE_PX) -> None:
        """folder: `checkpoints/landmark`. Raises CheckpointError, MissingDependency."""
        self.folder, self._size = folder, size
        self._eos, self._files = import_eos(), EosFiles.load(folder)

    def fit(self, landmarks: FloatArray, irises: FloatArray) -> Fit:
        """landmarks: [68,2+] px of the crop. irises: [2,3] px, the viewer's left and right."""
        named = [
            self._eos.core.Landmark(str(point + 1), np.asarray(place[:2], np.float32))
            for point, place in enumerate(landmarks)
        ]
        files = self._files
        contours = files.edges, files.contour_landmarks, files.model_contour
        mesh, camera, _, _ = self._eos.fitting.fit_shape_and_pose(
            files.model, named, files.mapper, self._size, self._size, *contours
        )
        modelview = np.asarray(camera.get_modelview(), np.float64)
        screen = viewport(self._size) @ np.asarray(camera.get_projection(), np.float64)
        fitted = np.asarray(mesh.vertices, np.float64)[DEPTH_VERTICES]
        whole = screen @ modelview
        depths = fitted @ whole[2, :3] + whole[2, 3]
        placed = np.column_stack([np.asarray(landmarks, np.float64)[:, :2], depths])
        placed[list(IRIS_POINTS)] = irises - np.array([0, 0, IRIS_NEARER])
        return Fit(to_model(placed, whole), modelview, screen)


def stacked(fits: Iterable[Fit]) -> Fit:
    """Fits one after the other."""
    return Fit(*map(np.stack, zip(*fits, strict=True)))


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


class FaceReader(NamedTuple):
    """Who reads the landmarks, who fits the model to them, who tells how the head is turned."""

    marks: Marks
    fitter: Fitter
    poses: HeadPoses

    def read(self, pictures: Sequence[Frame], meshes: Sequence[FloatArray]) -> Faces:
        """The face of each picture RGB uint8 [256,256,3]; meshes: [478,3] px of the picture.

        Landmarks are never rounded to whole px; pictures are red, green, blue for stills and clips.
        """
        fits = stacked(map(self.fitter.fit, *self.seen(pictures, meshes)))
        return Faces(*fits, *self.poses(np.stack(pictures)))

    def seen(
        self, pictures: Sequence[Frame], meshes: Sequence[FloatArray]
    ) -> tuple[list[FloatArray], list[FloatArray]]:
        """What is to be fitted: 68 landmarks [68,2+] and irises [2,3] of each, px."""
        marks = [self.marks.read(*face) for face in zip(pictures, meshes, strict=True)]
        return marks, list(map(landmarks68.irises, meshes))

    def still(self, portrait: Portrait) -> SeedStill:
        """The source: the aligned crop of the portrait's face, fitted."""
        square = crop.aligned(landmarks68.from_mesh(portrait.mesh))
        picture = square.cut(portrait.image)
        mesh = square.points(np.asarray(portrait.mesh, np.float64))
        return SeedStill(picture, self.read([picture], [mesh]), square.matrix)
