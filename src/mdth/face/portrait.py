"""A picture, or a clip's best frame -> the person's portrait: the picture and the face in it."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.errors import NoFaceFound
from mdth.face import covered, geometry, glasses, topology
from mdth.face.person import person_mask
from mdth.face.tracker import FaceTracker, Mesh

log = logging.getLogger("mdth")

MIN_FACE_PX = 64
# The detector sees the whole picture in 192 px and misses faces under a tenth of it, hence tiles;
# a tile smaller than this would hold no face of a usable size.
SMALLEST_TILE_PX = 2 * MIN_FACE_PX
TILES_PER_SIDE = (2, 3, 5)
# A mesh further than this from a face's shape, in eye distances, is a detector's fancy.
MAX_MISFIT = 0.2
# Two meshes that share more of their box are one face found twice.
MOST_OVERLAP = 0.3
# Turned further than this, half of the face has no pixels to speak with.
FRONTAL_DEG = 30.0
# Frames of a clip that are looked at for its best one.
FRAMES_LOOKED_AT = 60
FOREHEAD, CHIN = 10, 152


def prepare_portrait(
    image: Frame,
    *,
    tracker_model: Path,
    person_model: Path | None = None,
    face: int | None = None,
    known: Mesh | None = None,
) -> Portrait:
    """The picture RGB uint8 [H,W,3] and its largest face, or the `face`-th (1 is the leftmost).

    known: the mesh [478,3] px of the face, where it was found before.
    Without `person_model` nothing is known about which pixels are the person. Raises NoFaceFound
    without a face, with fewer than `face`, or with one under 64 px.
    """
    with FaceTracker(tracker_model) as tracker:
        meshes = find_faces(image, tracker, all_of_them=face is not None)
        mesh = _usable(image, meshes, face) if known is None else _usable(image, [known], None)
        person = None
        if person_model:
            person = person_mask(image, mesh, person_model, faces=meshes, find=tracker.faces)
    cover = covered.likelihood(image, mesh)
    if cover > covered.SURE:
        log.warning("something is before the mouth: it is left as it is; a bare mouth works best")
    return Portrait(image, mesh, person, glasses.likelihood(image, mesh), cover)


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


def best_frame(
    frames: Iterator[Frame],
    *,
    count: int | None,
    tracker_model: Path,
    person_model: Path | None = None,
    face: int | None = None,
) -> Portrait:
    """The frame of a clip whose face is most frontal, eyes open and mouth shut.

    frames: RGB uint8 [H,W,3]; about sixty of the `count` are looked at, one in ten where the count
    is not known. Raises NoFaceFound.
    """
    step = max(1, count // FRAMES_LOOKED_AT) if count else 10
    best: tuple[float, Frame, Mesh] | None = None
    with FaceTracker(tracker_model) as tracker:
        for index, frame in enumerate(frames):
            meshes = tracker.faces(frame) if index % step == 0 else []
            if len(meshes) < (face or 1):
                continue
            mesh = _chosen(meshes, face)
            score = portrait_score(mesh)
            if best is None or score > best[0]:
                best = score, frame, mesh
    if best is None:
        raise NoFaceFound("no face in the clip; use one that shows a face from the front")
    height, width = best[1].shape[:2]
    even = np.ascontiguousarray(best[1][: height // 2 * 2, : width // 2 * 2])
    return prepare_portrait(even, tracker_model=tracker_model, person_model=person_model, face=face)


def shrunk(portrait: Portrait, max_size: int) -> Portrait:
    """The portrait with its longer side at most `max_size` px, even sides, and the mesh with it."""
    height, width = portrait.image.shape[:2]
    scale = max_size / max(height, width)
    if scale >= 1:
        return portrait
    size = 2 * round(width * scale / 2), 2 * round(height * scale / 2)
    image = cv2.resize(portrait.image, size, interpolation=cv2.INTER_AREA)
    factors = np.array([size[0] / width, size[1] / height, scale], np.float32)
    person = portrait.person
    if person is not None:
        person = np.asarray(cv2.resize(person, size, interpolation=cv2.INTER_AREA), np.float32)
    return replace(
        portrait, image=image.astype(np.uint8), mesh=portrait.mesh * factors, person=person
    )


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
    for per_side in TILES_PER_SIDE:
        if (meshes and not all_of_them) or min(image.shape[:2]) / per_side < SMALLEST_TILE_PX / 2:
            break
        for offset, tile in _tiles(image, per_side):
            found = (mesh + offset for mesh in tracker.faces(tile) if _is_whole(mesh, tile))
            meshes += [mesh for mesh in found if is_face(mesh) and is_new(mesh, meshes)]
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
    size = max(SMALLEST_TILE_PX, 2 * min(image.shape[:2]) // (per_side + 1))
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
