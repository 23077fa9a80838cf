"""Pictures -> which pixels are the person, by MediaPipe's selfie segmentation."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.errors import CheckpointError
from mdth.face import geometry, topology

Mask = npt.NDArray[np.float32]

# The network sees 256 px; a square of this many eye distances around the head is looked at again.
CLOSE_UP = 7.5
# Of that square, how much lies above the eyes.
ABOVE_EYES = 0.45
# The mask follows the picture's edges within this many eye distances of its own.
EDGE_REACH = 0.09
EDGE_CONTRAST = 0.02
# Below the first and above the second a pixel is surely not, or surely, the person.
SURE = (0.06, 0.94)


def person_mask(picture: Frame, mesh: FloatArray, model: Path) -> Mask:
    """0..1 [H,W], 1 on the person whose face is `mesh` [478,3] px, of an RGB uint8 [H,W,3].

    Soft at hair, true to the picture's edges; other people are 0 unless they touch this one.
    Raises CheckpointError without the model.
    """
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    if not model.is_file():
        raise CheckpointError(f"{model}: no person model there; run `mdth assets fetch`")
    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_buffer=model.read_bytes()),
        output_confidence_masks=True,
        output_category_mask=False,
    )
    with vision.ImageSegmenter.create_from_options(options) as segmenter:

        def look(part: Frame) -> Mask:
            rgb = np.ascontiguousarray(part)
            result = segmenter.segment(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb))
            return np.array(result.confidence_masks[0].numpy_view(), np.float32).squeeze()

        found = look(picture)
        head = close_up(mesh, (picture.shape[1], picture.shape[0]))
        if found[head].size < 0.7 * found.size:
            found[head] = look(picture[head])
    return own_part(refined(picture, found, float(geometry.eye_distance(mesh))), mesh)


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
