"""A portrait -> the source of the seed's engine."""

from collections.abc import Callable

import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.face import crop, landmarks68
from mdth.preprocess.seed.fit import Fitter
from mdth.preprocess.seed.landmarks import Marks
from mdth.seed_artefacts import Faces, SeedStill

# The rotations [B,3,3] of the heads in pictures RGB uint8 [B,256,256,3].
HeadRotations = Callable[[Frame], FloatArray]


def prepare_still(
    portrait: Portrait, fitter: Fitter, rotations: HeadRotations, marks: Marks
) -> SeedStill:
    """The aligned crop of the portrait's face, fitted; landmarks are never rounded to whole px."""
    square = crop.aligned(landmarks68.from_mesh(portrait.mesh))
    picture = square.cut(portrait.image)
    mesh = square.points(np.asarray(portrait.mesh, np.float64))
    fit = fitter.fit(marks.read(picture, mesh), landmarks68.irises(mesh))
    turned = rotations(picture[None])
    faces = Faces(fit.landmarks[None], fit.modelview[None], fit.screen[None], turned)
    return SeedStill(picture, faces, square.matrix)
