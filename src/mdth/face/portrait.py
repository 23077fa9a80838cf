"""A picture -> the person's portrait: the picture and the face in it."""

import logging
from collections.abc import Iterator

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.errors import NoFaceFound
from mdth.face import geometry, topology, worn
from mdth.face.person import person_mask
from mdth.face.tracker import FaceTracker, Mesh

log = logging.getLogger("mdth")

MIN_FACE_PX = 64
# A face that is too small in the whole picture, shrunk, is cut out of it at this size.
CUT_FACE_PX = 128
# The detector sees the whole picture in 192 px and misses faces under a tenth of it, hence tiles;
# a tile smaller than this would hold no face of a usable size.
SMALLEST_TILE_PX = 2 * MIN_FACE_PX
# So many a side, where the shorter side has this many px; one is for pictures that are oblong.
TILES_PER_SIDE = {1: 64, 2: 128, 3: 192, 5: 320, 8: 1536}
# A mesh further than this from a face's shape, in eye distances, is a detector's fancy.
MAX_MISFIT = 0.2
# Face heights from the middle of a face to the edge of a picture that shows it alone.
CLOSE = 1.2
# Two meshes that share more of their box are one face found twice.
MOST_OVERLAP = 0.3
# Turned further than this, half of the face has no pixels to speak with.
FRONTAL_DEG = 30.0
FOREHEAD, CHIN = 10, 152


def prepare_portrait(
    image: Frame,
    *,
    face: int | None = None,
    known: Mesh | None = None,
    max_size: int | None = None,
) -> Portrait:
    """The picture RGB uint8 [H,W,3] and its largest face, or the `face`-th (1 is the leftmost).

    The longer side becomes at most `max_size` px, once the face is found; where the face would
    become too small, the picture is cut. known: the mesh [478,3] px of the face, where it was found
    before. Raises NoFaceFound without a face, with fewer than `face`, or with one under 64 px.
    """
    with FaceTracker() as tracker:
        meshes = find_faces(image, tracker, all_of_them=face is not None)
        mesh = _usable(image, meshes, face) if known is None else _usable(image, [known], None)
        image, start, scale = _framed(image, mesh, max_size or max(image.shape))
        mesh, *meshes = ((each - start) * scale for each in (mesh, *meshes))
        person = person_mask(image, mesh, faces=meshes, find=tracker.faces)
    cover = worn.COVERED.likelihood(image, mesh)
    if cover > worn.SURELY_COVERED:
        log.warning("something is before the mouth: it is left as it is; a bare mouth works best")
    return Portrait(image, mesh, person, worn.GLASSES.likelihood(image, mesh), cover)


def _usable(image: Frame, meshes: list[Mesh], face: int | None) -> Mesh:
    """The face that is asked for. Raises NoFaceFound where it is not there, or too small."""
    height, width = image.shape[:2]
    if not meshes:
        raise NoFaceFound(
            f"no face in the picture ({width}x{height}); use one that shows a face from the front"
        )
    mesh = _chosen(meshes, face)
    size = face_height_px(mesh)
    if size < MIN_FACE_PX:
        raise NoFaceFound(
            f"the face is {size:.0f} px high in a picture of {width}x{height}, at least "
            f"{MIN_FACE_PX} are needed; crop the picture to the face or use a larger one"
        )
    yaw, pitch, _ = geometry.euler_deg(geometry.head_pose(mesh[None]).rotation)[0]
    turn = max(abs(yaw), abs(pitch))
    if turn > FRONTAL_DEG:
        log.warning("the face is turned by %.0f degrees; one seen from the front works best", turn)
    return mesh


def _framed(image: Frame, mesh: Mesh, max_size: int) -> tuple[Frame, Mesh, Mesh]:
    """The picture shrunk, or cut around the face and shrunk less, sides even.

    Then where it starts in the given one, x y 0 px, and by how much it is scaled, x y z.
    """
    whole = np.array(image.shape[1::-1])
    scale, height_px = max_size / whole.max(), face_height_px(mesh)
    start = np.zeros(2, int)
    if scale >= 1:
        return image, np.zeros(3, np.float32), np.ones(3, np.float32)
    size = 2 * np.maximum(1, np.round(whole * scale / 2)).astype(int)
    if height_px * scale < MIN_FACE_PX:
        part = np.round(size / min(1.0, CUT_FACE_PX / height_px)).astype(int)
        middle = mesh[:, :2].mean(axis=0)
        start = np.clip(np.round(middle - part / 2).astype(int), 0, whole - part)
        log.warning("a small face: the picture is cut to the %d x %d px around it", *part)
        image, whole = image[start[1] :, start[0] :][: part[1], : part[0]], part
    picture = cv2.resize(image, size.tolist(), interpolation=cv2.INTER_AREA)
    factors = np.append(size / whole, (size / whole).mean()).astype(np.float32)
    return np.asarray(picture, np.uint8), np.append(start, 0).astype(np.float32), factors


def portrait_score(mesh: FloatArray) -> float:
    """How well a mesh [478,3] px suits as a portrait, 0 the best.

    One point is lost for each 10 degrees of turn, 0.1 eye distances of open mouth and 0.05 of
    eyes closed under a lid gap of 0.12.
    """
    pose = geometry.head_pose(mesh[None])
    face = geometry.to_face(mesh[None], pose)[0]
    turn = float(np.abs(geometry.euler_deg(pose.rotation)[0]).sum())
    shut = float(np.clip(0.12 - geometry.eye_openings(face), 0, None).max())
    return -turn / 10 - float(geometry.lip_opening(face)) / 0.1 - shut / 0.05


def face_height_px(mesh: FloatArray) -> float:
    """From the top of the forehead to the chin, px."""
    return float(np.linalg.norm(mesh[FOREHEAD] - mesh[CHIN]))


def find_faces(image: Frame, tracker: FaceTracker, *, all_of_them: bool = False) -> list[Mesh]:
    """Meshes [478,3] px of the faces in a picture, from left to right.

    Small faces are looked for in overlapping tiles, smaller and smaller, until one is found; all of
    them where the faces are to be counted, so that the count depends on the picture alone.
    """
    meshes = [mesh for mesh in tracker.faces(image) if is_face(mesh)]
    for per_side, smallest in TILES_PER_SIDE.items():
        if (meshes and not all_of_them) or min(image.shape[:2]) < smallest:
            break
        for offset, tile in _tiles(image, per_side):
            found = [mesh + offset for mesh in tracker.faces(tile) if _is_whole(mesh, tile)]
            for mesh in (each for each in found if is_new(each, meshes)):
                meshes += [again for again in _seen_close(image, mesh, tracker) if is_face(again)]
    return sorted(meshes, key=lambda mesh: float(mesh[:, 0].mean()))


def _chosen(meshes: list[Mesh], face: int | None) -> Mesh:
    if face is None:
        return max(meshes, key=face_height_px)
    if face > len(meshes):
        raise NoFaceFound(
            f"face {face} was asked for, the picture shows {len(meshes)}; "
            f"choose 1 to {len(meshes)}, counted from the left"
        )
    return meshes[face - 1]


def _tiles(image: Frame, per_side: int) -> Iterator[tuple[Mesh, Frame]]:
    """Places x y 0 px and pixels of tiles that overlap by half."""
    shorter, longer = sorted(image.shape[:2])
    if per_side == 1 and shorter == longer:  # the picture itself
        return
    size = max(SMALLEST_TILE_PX, 2 * shorter // (per_side + 1))
    rows, columns = (
        np.linspace(0, last, 1 + -(-last // (size // 2))).round().astype(int)
        for last in (max(0, length - size) for length in image.shape[:2])
    )
    for top in rows:
        for left in columns:
            yield (
                np.array([left, top, 0], np.float32),
                image[top : top + size, left : left + size],
            )


def _seen_close(image: Frame, mesh: Mesh, tracker: FaceTracker) -> list[Mesh]:
    """The same face found in what lies around it, more exactly; a detector's fancy is not."""
    reach = CLOSE * face_height_px(mesh)
    left, top = np.clip(mesh[:, :2].mean(axis=0) - reach, 0, None).astype(int)
    close = tracker.faces(image[top:, left:][: round(2 * reach), : round(2 * reach)])
    found = (each + np.array([left, top, 0], np.float32) for each in close)
    return [each for each in found if not is_new(each, [mesh])][:1]


def is_face(mesh: FloatArray) -> bool:
    """Whether a mesh [478,3] px has the shape of a face."""
    rigid, pose = topology.RIGID, geometry.head_pose(mesh[None])
    misfit = geometry.to_face(mesh[None, rigid], pose)[0] - topology.CANONICAL[rigid]
    return float(np.sqrt((misfit[:, :2] ** 2).sum(axis=1).mean())) < MAX_MISFIT


def _is_whole(mesh: FloatArray, tile: Frame) -> bool:
    """Whether a face lies well inside its tile: one cut by the edge gets a squeezed mesh."""
    margin = face_height_px(mesh) / 8
    inside = np.array([tile.shape[1], tile.shape[0]]) - margin
    return bool((mesh[:, :2] > margin).all() and (mesh[:, :2] < inside).all())


def is_new(mesh: FloatArray, meshes: list[Mesh]) -> bool:
    """Whether no other face shares much of its box, relative to the smaller box of the two."""
    low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
    for other in meshes:
        first, last = other[:, :2].min(axis=0), other[:, :2].max(axis=0)
        shared = np.clip(np.minimum(high, last) - np.maximum(low, first), 0, None).prod()
        if shared > MOST_OVERLAP * min((high - low).prod(), (last - first).prod()):
            return False
    return True
