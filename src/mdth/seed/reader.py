"""Crops and the meshes in them -> faces as the seed's networks see them; the source among them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.face import crop, landmarks68
from mdth.seed.artefacts import Faces, SeedStill
from mdth.seed.fit import Fitter
from mdth.seed.landmarks import Marks

# The rotations [B,3,3] of the heads in pictures RGB uint8 [B,256,256,3].
HeadRotations = Callable[[Frame], FloatArray]


class FaceReader(NamedTuple):
    """Who reads the landmarks, who fits the model to them, who tells how the head is turned."""

    marks: Marks
    fitter: Fitter
    rotations: HeadRotations

    def read(self, pictures: Sequence[Frame], meshes: Sequence[FloatArray]) -> Faces:
        """The face of each picture RGB uint8 [256,256,3]; meshes: [478,3] px of the picture.

        Landmarks are never rounded to whole px; pictures are red, green, blue for stills and clips.
        """
        fits = [
            self.fitter.fit(self.marks.read(picture, mesh), landmarks68.irises(mesh))
            for picture, mesh in zip(pictures, meshes, strict=True)
        ]
        landmarks, modelview, screen = (np.stack(column) for column in zip(*fits, strict=True))
        return Faces(landmarks, modelview, screen, self.rotations(np.stack(pictures)))

    def still(self, portrait: Portrait) -> SeedStill:
        """The source: the aligned crop of the portrait's face, fitted."""
        square = crop.aligned(landmarks68.from_mesh(portrait.mesh))
        picture = square.cut(portrait.image)
        mesh = square.points(np.asarray(portrait.mesh, np.float64))
        return SeedStill(picture, self.read([picture], [mesh]), square.matrix)
