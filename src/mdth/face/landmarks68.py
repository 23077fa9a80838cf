"""The 68-point scheme of faces, read from the 478-vertex mesh.

Points 0..16 run along the jaw from the viewer's left to the right, 17..26 along the brows, 27..35
down the nose, 36..47 around the eyes, 48..59 around the outer and 60..67 around the inner lips.
Sagonas, Tzimiropoulos, Zafeiriou, Pantic, "300 faces in-the-wild challenge", ICCVW 2013.
"""

import numpy as np

from mdth.artefacts import FloatArray

COUNT = 68
# The vertex that is nearest to each point of a 68-point predictor, mirrored alike on both sides, on
# average over 180 stills.
VERTICES = np.array(
    "127 234 93 215 138 136 149 176 152 400 378 365 367 435 323 454 356 "
    "70 63 105 66 107 336 296 334 293 300 168 197 195 4 240 97 2 326 460 "
    "33 160 158 133 153 144 362 385 387 263 373 380 "
    "61 39 37 0 267 269 291 405 314 17 84 181 78 82 13 312 308 317 14 87".split(),
    np.intp,
)
JAW = np.arange(0, 17)
BROWS = np.arange(17, 27)
NOSE = np.arange(27, 36)
EYES = np.arange(36, 48)
MOUTH = np.arange(48, 68)
# Outer corners, the viewer's left and right: their distance is the unit of landmark errors.
OUTER_EYE_CORNERS = (36, 45)
# The centres of the irises on the mesh, the viewer's left and right.
IRISES = np.array([468, 473])


def from_mesh(meshes: FloatArray) -> FloatArray:
    """Points [...,68,3] of meshes [...,478,3], in the meshes' frame."""
    return meshes[..., VERTICES, :]


def irises(meshes: FloatArray) -> FloatArray:
    """Iris centres [...,2,3] of meshes [...,478,3]."""
    return meshes[..., IRISES, :]
