"""Pictures -> which pixels are the person, by MediaPipe's selfie segmentation."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.face import geometry, topology
from mdth.face.mediapipe import create, image

Mask = npt.NDArray[np.float32]

SEGMENTER = "selfie_segmentation.tflite"
# The network sees 256 px; a square of this many eye distances around the head is looked at again.
CLOSE_UP = 7.5
# Of that square, how much lies above the eyes.
ABOVE_EYES = 0.45
# The mask follows the picture's edges within this many eye distances of its own.
EDGE_REACH = 0.09
EDGE_CONTRAST = 0.02
# Below the first and above the second a pixel is surely not, or surely, the person.
SURE = (0.06, 0.94)
# Of this face, and of others: the face, the head, the head with all of its hair, and the shoulders,
# in eye distances from the middle of the face and what is below it.
OWN_FACE, OWN_HEAD, OWN_REACH, BODY = 0.85, 1.2, 2.0, 2.6
# What is this much nearer to one of two people is surely not the other.
CLEARLY = 1.7
# What may be somebody else is at least so large, eye distances, and looked at in so many pixels.
STRANGE, SMALLEST_PX = 0.4, 128
NOSE, CHIN = 1, 152


def person_mask(
    picture: Frame,
    mesh: FloatArray,
    *,
    faces: Sequence[FloatArray],
    find: Callable[[Frame], Sequence[FloatArray]],
) -> Mask:
    """0..1 [H,W], 1 on the person whose face is `mesh` [478,3] px, of an RGB uint8 [H,W,3].

    Soft at hair, true to the picture's edges; other people, and pictures of them, are 0. faces:
    all that are known in the picture; find: looks for smaller ones in parts of it.
    """
    head = close_up(mesh, (picture.shape[1], picture.shape[0]))
    masks = {"output_confidence_masks": True, "output_category_mask": False}
    with create("ImageSegmenter", SEGMENTER, **masks) as segmenter:

        def look(part: Frame) -> Mask:
            pixels = np.ascontiguousarray(part)  # MediaPipe reads them where they are
            result = segmenter.segment(image(pixels))
            return np.array(result.confidence_masks[0].numpy_view(), np.float32).squeeze()

        def look_twice(whole: Frame) -> Mask:
            found = look(whole)
            if found[head].size < 0.7 * found.size:
                found[head] = look(whole[head])
            return found

        found = look_twice(picture)
        theirs = _others(picture, found, mesh, faces=faces, find=find)
        if theirs.any():
            # The network sees people; it does not see those who are painted over.
            wall = picture[(found < SURE[0]) & ~theirs]
            plain = wall.mean(0) if len(wall) else np.full(3, 128.0)
            alone = np.where(theirs[..., None], plain, picture).astype(np.uint8)
            found = look_twice(alone) * ~theirs
    mask = refined(picture, found, float(geometry.eye_distance(mesh))) * ~theirs
    return own_part(mask, mesh)


def _others(
    picture: Frame,
    found: Mask,
    mesh: FloatArray,
    *,
    faces: Sequence[FloatArray],
    find: Callable[[Frame], Sequence[FloatArray]],
) -> npt.NDArray[np.bool_]:
    """Where other people are, bool [H,W]: nearer to their face and what is below than to `mesh`."""
    own = _away(mesh, picture.shape[:2])
    meshes = list(faces)
    # Where somebody is seen so far from this face, a closer look finds faces too small before.
    strange = (found > 0.3) & (own > OWN_REACH)
    strange[int(mesh[CHIN, 1]) :] = False
    for x, y, width, height in _boxes(strange, (STRANGE * float(geometry.eye_distance(mesh))) ** 2):
        side = max(width, height, SMALLEST_PX)
        left, top = (max(0, round(at)) for at in (x + (width - side) / 2, y + (height - side) / 2))
        part = picture[top : top + side, left : left + side]
        meshes += [other + np.array([left, top, 0]) for other in find(part)]
    nearest = np.full(own.shape, np.inf, np.float32)
    for other in meshes:
        x, y = np.clip(np.round(other[NOSE, :2]).astype(int), 0, np.array(own.shape)[::-1] - 1)
        # A face within this one's head is the same, or a fancy.
        if own[y, x] > OWN_HEAD:
            nearest = np.minimum(nearest, _away(other, picture.shape[:2]))
    reach = nearest < BODY
    theirs = reach & (nearest < own)
    if theirs.any():
        # Where two people touch, the picture's edges tell them apart.
        sides = np.zeros(own.shape, np.int32)
        sides[theirs & (CLEARLY * nearest < own)] = 2
        sides[(own < OWN_FACE) | (~reach | (CLEARLY * own < nearest)) & (found > 0.5)] = 1
        sides[(found < SURE[0]) & (sides == 0)] = 3
        cv2.watershed(cv2.GaussianBlur(picture, (0, 0), 1.5), sides)
        theirs = np.where(sides < 0, theirs, sides == 2) | (theirs & (sides == 3))
    return theirs


def _away(mesh: FloatArray, size: tuple[int, ...]) -> Mask:
    """How far pixels [H,W] are from a face's middle and what is below it, its eye distances."""
    y, x = np.ogrid[: size[0], : size[1]]
    middle = mesh[NOSE, :2]
    above = np.minimum(y - middle[1], 0)
    return np.asarray(np.hypot(x - middle[0], above) / geometry.eye_distance(mesh), np.float32)


def _boxes(where: npt.NDArray[np.bool_], least: float) -> list[tuple[int, ...]]:
    """Left, top, width and height of the connected parts of at least so many pixels."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(where.astype(np.uint8))
    return [tuple(map(int, part[:4])) for part in stats[1:] if part[4] > least]


def close_up(mesh: FloatArray, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the square around a head, in a picture of (width, height)."""
    middle = mesh[list(topology.OUTER_EYE_CORNERS), :2].mean(0)
    side = CLOSE_UP * float(geometry.eye_distance(mesh))
    low = middle - side * np.array([0.5, ABOVE_EYES])
    x, y = np.clip(np.round([low, low + side]).astype(int), 0, size).T.tolist()
    return slice(*y), slice(*x)


def refined(picture: Frame, mask: Mask, unit: float) -> Mask:
    """The mask [H,W] drawn to the picture's edges by a guided filter.

    unit: px per eye distance. He, Sun, Tang, "Guided image filtering", ECCV 2010.
    """
    radius = max(2, round(EDGE_REACH * unit))
    guide = picture.astype(np.float32) / 255
    fine = cv2.ximgproc.guidedFilter(guide, mask, radius, EDGE_CONTRAST**2)
    return np.asarray(np.clip((fine - SURE[0]) / (SURE[1] - SURE[0]), 0, 1), np.float32)


def own_part(mask: Mask, mesh: FloatArray) -> Mask:
    """Only what is connected to the face; holes in the face are closed. Empty if it is not there.

    A face of which the mask covers less than two thirds was not found.
    """
    face = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(face, [np.round(mesh[topology.FACE_OVAL, :2]).astype(np.int32)], 1)
    if not face.any() or mask[face > 0].mean() < 2 / 3:
        return np.zeros_like(mask)
    count, labels = cv2.connectedComponents(np.asarray(mask > 0.5, np.uint8))
    sizes = np.bincount(labels[face > 0], minlength=count)
    sizes[0] = 0
    own = np.asarray(labels == sizes.argmax(), np.uint8)
    around = cv2.dilate(own, np.ones((3, 3), np.uint8), iterations=max(2, mask.shape[0] // 100))
    inner = cv2.erode(face, np.ones((3, 3), np.uint8), iterations=2)
    return np.asarray(np.maximum(mask * around, inner), np.float32)
