"""A portrait -> the source of the seed's engine."""

import numpy as np

from mdth.artefacts import Portrait
from mdth.face import crop, landmarks68
from mdth.seed.artefacts import SeedStill
from mdth.seed.reader import FaceReader


def prepare_still(portrait: Portrait, reader: FaceReader) -> SeedStill:
    """The aligned crop of the portrait's face, fitted."""
    square = crop.aligned(landmarks68.from_mesh(portrait.mesh))
    picture = square.cut(portrait.image)
    mesh = square.points(np.asarray(portrait.mesh, np.float64))
    return SeedStill(picture, reader.read([picture], [mesh]), square.matrix)
