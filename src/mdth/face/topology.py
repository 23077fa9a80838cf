"""The 478-vertex face mesh: triangles, canonical shape and named groups of vertices.

Vertex numbers are MediaPipe's: 0..467 the face, 468..472 the iris of the person's right eye (left
in the picture; 468 its centre), 473..477 the other. "Left" and "right" in the names below are the
viewer's, as the picture shows them.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

IndexArray = npt.NDArray[np.intp]

VERTEX_COUNT = 478


def _indices(text: str) -> IndexArray:
    return np.array(text.split(), np.intp)


# Closed outlines, in order around, starting at the viewer's left corner and going over the top.
LIPS_OUTER = _indices("61 185 40 39 37 0 267 269 270 409 291 375 321 405 314 17 84 181 91 146")
LIPS_INNER = _indices("78 191 80 81 82 13 312 311 310 415 308 324 318 402 317 14 87 178 88 95")
EYE_LEFT = _indices("33 246 161 160 159 158 157 173 133 155 154 153 145 144 163 7")
EYE_RIGHT = _indices("362 398 384 385 386 387 388 466 263 249 390 373 374 380 381 382")
FACE_OVAL = _indices(
    "10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 152 148 176 149 150 "
    "136 172 58 132 93 234 127 162 21 54 103 67 109"
)

# Upper and lower inner lip, facing pairs from left to right, corners left out.
LIP_PAIRS = np.stack([LIPS_INNER[1:10], LIPS_INNER[:10:-1]], axis=1)
LIP_MID_PAIR = (13, 14)
MOUTH_CORNERS = (78, 308)
OUTER_EYE_CORNERS = (33, 263)
# Facing pairs of the lids, from the outer corner (left eye) or the inner (right eye) on.
LID_PAIRS_LEFT = np.stack([EYE_LEFT[1:8], EYE_LEFT[:8:-1]], axis=1)
LID_PAIRS_RIGHT = np.stack([EYE_RIGHT[1:8], EYE_RIGHT[:8:-1]], axis=1)
IRIS_LEFT = np.arange(468, 473)
IRIS_RIGHT = np.arange(473, 478)

BROW_LEFT = _indices("70 63 105 66 107 55 65 52 53 46")
BROW_RIGHT = _indices("300 293 334 296 336 285 295 282 283 276")
BROWS = np.concatenate([BROW_LEFT, BROW_RIGHT])
IRISES = (IRIS_LEFT, IRIS_RIGHT)
# Two rings of skin around each eye, from the outline outwards.
LIDS_LEFT = _indices(
    "130 247 30 29 27 28 56 190 243 112 26 22 23 24 110 25 "
    "226 113 225 224 223 222 221 189 244 233 232 231 230 229 228 31"
)
LIDS_RIGHT = _indices(
    "359 467 260 259 257 258 286 414 463 341 256 252 253 254 339 255 "
    "446 342 445 444 443 442 441 413 464 453 452 451 450 449 448 261"
)
# Each eye [3,16]: outline and both rings, from the outer corner over the top and back below.
EYES = (
    np.concatenate([EYE_LEFT, LIDS_LEFT]).reshape(3, 16),
    np.concatenate([np.roll(EYE_RIGHT[::-1], -7), LIDS_RIGHT]).reshape(3, 16),
)
UPPER_FACE = np.unique(np.concatenate([EYES, *IRISES, BROWS], axis=None))

# What does not move with speech, brows or lids: nose bridge and root, eye corners, temples.
RIGID = _indices(
    "168 6 197 195 5 4 122 351 196 419 3 248 33 263 133 362 "
    "127 356 162 389 234 454 21 251 139 368 34 264 143 372 10 151 9 8"
)


def _canonical() -> tuple[npt.NDArray[np.float32], IndexArray]:
    with np.load(Path(__file__).with_name("canonical.npz")) as file:
        vertices, triangles = file["vertices"], file["triangles"].astype(np.intp)
    # Centimetres with y up and z to the viewer -> y down and z away, as in pictures.
    face = vertices * np.array([1, -1, -1], np.float32)
    left, right = OUTER_EYE_CORNERS
    face = face - (face[left] + face[right]) / 2
    return (face / np.linalg.norm(face[left] - face[right])).astype(np.float32), triangles


# [468, 3] in the face frame: x right, y down, z away from the viewer, origin between the outer eye
# corners, unit their distance. TRIANGLES [898, 3] cover the whole oval, eyes and mouth included.
CANONICAL, TRIANGLES = _canonical()
MOUTH_TRIANGLES = TRIANGLES[np.isin(TRIANGLES, LIPS_INNER).all(axis=1)]
EYE_TRIANGLES = TRIANGLES[
    np.isin(TRIANGLES, EYE_LEFT).all(axis=1) | np.isin(TRIANGLES, EYE_RIGHT).all(axis=1)
]
