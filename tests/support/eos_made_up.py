"""Stand-ins for the face model's files, in their exact layout: a face made of our own mesh.

3,448 vertices: MediaPipe's canonical face, its edges halved once, its largest triangles cut in
three. Shapes and blendshapes are smooth functions of place. For tests and trials, not for looks.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.face import landmarks68, topology
from mdth.seed import eos_files

FloatArray = npt.NDArray[np.floating]
IndexArray = npt.NDArray[np.intp]

VERTICES = 3448
# Outer eye corners are about 92 mm apart; the model's origin lies inside of the head.
EYE_DISTANCE_MM, DEPTH_MM, DOWN_MM = 92.0, 60.0, 25.0
SPREAD_MM = 4.0
EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
# Landmarks without a vertex in the mapping: the jaw but for the chin, the mouth's inner corners.
UNMAPPED = {*range(8), *range(9, 17), 60, 64}
# Which of the model's vertices the 68 landmarks are, by the published description.
PUBLISHED = np.array(
    (
        "2127 2508 2076 2257 2083 1767 945 2505 33 2237 946 1773 1886 900 1890 1749 776 225 229 "
        "233 2086 157 590 2091 666 662 658 2842 379 272 114 100 2794 270 2797 537 177 172 191 "
        "181 173 174 614 624 605 610 607 606 398 315 413 329 825 736 812 841 693 411 264 431 "
        "3253 416 423 828 821 817 442 404"
    ).split(),
    np.intp,
)
_CHIN = 152


def write(folder: Path) -> list[Path]:
    """All of `eos_files.NAMES` into `folder`. Raises MissingDependency."""
    eos = eos_files.import_eos()
    folder.mkdir(parents=True, exist_ok=True)
    vertices, triangles = _mesh()
    paths = {name: folder / name for name in eos_files.NAMES}
    basis, variances = _shapes(vertices)
    flat = vertices.astype(np.float32).reshape(-1)
    model = eos.morphablemodel.PcaModel(flat, basis, variances, triangles.tolist())
    eos.morphablemodel.save_model(
        eos.morphablemodel.MorphableModel(model, eos.morphablemodel.PcaModel()),
        str(paths[eos_files.SHAPE]),
    )
    shapes = [eos.morphablemodel.Blendshape(name, way) for name, way in _expressions(vertices)]
    eos.morphablemodel.save_blendshapes(shapes, str(paths[eos_files.BLENDSHAPES]))
    edges = eos.morphablemodel.EdgeTopology(*_edges(triangles))
    eos.morphablemodel.save_edge_topology(edges, str(paths[eos_files.EDGES]))
    paths[eos_files.MAPPING].write_text(_mapping(), "utf-8")
    paths[eos_files.CONTOURS].write_text(_contours(), "utf-8")
    return list(paths.values())


def _mesh() -> tuple[FloatArray, IndexArray]:
    """Vertices [3448,3] mm, x to the person's left, y up, z forwards, and triangles [F,3]."""
    face = topology.CANONICAL * np.array([1, -1, -1]) * EYE_DISTANCE_MM
    placed: FloatArray = face + np.array([0, DOWN_MM, DEPTH_MM])
    vertices, triangles = _halved(placed, topology.TRIANGLES)
    vertices, triangles = _cut_in_three(vertices, triangles, VERTICES - len(vertices))
    return vertices[_order()], np.argsort(_order())[triangles]


def _order() -> IndexArray:
    """[3448], where each vertex of the model comes from: landmarks have their published numbers."""
    order = np.empty(VERTICES, np.intp)
    order[PUBLISHED] = landmarks68.VERTICES
    others = np.setdiff1d(np.arange(VERTICES), PUBLISHED)
    order[others] = np.setdiff1d(np.arange(VERTICES), landmarks68.VERTICES)
    return order


def _halved(vertices: FloatArray, triangles: IndexArray) -> tuple[FloatArray, IndexArray]:
    """Every edge gets a vertex in its middle, every triangle becomes four."""
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, place = np.unique(sides, axis=0, return_inverse=True)
    middles = len(vertices) + place.reshape(-1, 3)
    a, b, c = triangles.T
    ab, bc, ca = middles.T
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    finer = np.concatenate([np.stack(part, axis=1) for part in parts])
    return np.concatenate([vertices, vertices[edges].mean(axis=1)]), finer


def _cut_in_three(
    vertices: FloatArray, triangles: IndexArray, count: int
) -> tuple[FloatArray, IndexArray]:
    """The `count` largest triangles get a vertex in their middle."""
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    cut = np.zeros(len(triangles), bool)
    cut[np.argsort(-areas, kind="stable")[:count]] = True
    middle = len(vertices) + np.arange(count)
    a, b, c = triangles[cut].T
    parts = [np.stack(part, axis=1) for part in ((a, b, middle), (b, c, middle), (c, a, middle))]
    whole = np.concatenate([vertices, vertices[triangles[cut]].mean(axis=1)])
    return whole, np.concatenate([triangles[~cut], *parts])


def _shapes(vertices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Orthonormal directions [10344,n] and their variances [n]: wider, longer, deeper, and bent."""
    x, y, z = ((vertices - vertices.mean(axis=0)) / 60).T
    fields = (x, y, z, x * y, x * z, y * z, y**2, x**2, y**3 - y, x**2 * y)
    ways = []
    for axis in range(3):
        # A face's left and right stay alike: x moves by what is odd in x, the rest by what is even.
        odd = (0, 3, 4) if axis == 0 else (1, 2, 5, 6, 7, 8, 9)
        for field in odd:
            way = np.zeros_like(vertices)
            way[:, axis] = fields[field]
            ways.append(way.reshape(-1))
    basis, _ = np.linalg.qr(np.stack(ways, axis=1))
    variances = np.full(len(ways), SPREAD_MM**2 * VERTICES / 2)
    return basis.astype(np.float32), variances.astype(np.float32)


def _expressions(vertices: FloatArray) -> list[tuple[str, FloatArray]]:
    """A name and a way [10344] mm for each blendshape: brows, lips and jaw, up or down."""
    below = np.clip((vertices[PUBLISHED[51], 1] - vertices[:, 1]) / 40, 0, 1)
    above = np.clip((vertices[:, 1] - vertices[PUBLISHED[27], 1]) / 20, 0, 1)
    lips = vertices[PUBLISHED[landmarks68.MOUTH]]
    near = np.exp(-np.square((vertices - lips.mean(axis=0)) / 25).sum(axis=1))
    side = (vertices[:, 0] - lips.mean(axis=0)[0]) / 25
    moved = {
        "anger": (0 * side, -5 * above),
        "disgust": (0 * side, 4 * near),
        "fear": (-3 * side * near, 4 * above - 5 * below),
        "happiness": (6 * side * near, 5 * np.abs(side) * near),
        "sadness": (-2 * side * near, -5 * np.abs(side) * near),
        "surprise": (0 * side, 7 * above - 15 * below),
    }
    found = []
    for name in EXPRESSIONS:
        way = np.zeros_like(vertices)
        way[:, 0], way[:, 1] = moved[name]
        found.append((name, way.astype(np.float32).reshape(-1)))
    return found


def _edges(triangles: IndexArray) -> tuple[list[list[int]], list[list[int]]]:
    """Faces and vertices at each edge, counted from 1; no first face at the rim, as eos has it."""
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, place = np.unique(sides, axis=0, return_inverse=True)
    faces = np.zeros((len(edges), 2), int)
    for side, edge in enumerate(place.reshape(-1)):
        faces[edge] = faces[edge, 1], side // 3 + 1
    return faces.tolist(), (edges + 1).tolist()


def _mapping() -> str:
    lines = ["[landmark_mappings]"]
    for point, vertex in enumerate(PUBLISHED):
        if point not in UNMAPPED:
            lines.append(f"{point + 1} = {vertex}")
    lines += ["[contour_landmarks]"]
    for side, points in (("right", range(1, 9)), ("left", range(10, 18))):
        lines.append(f"{side} = {json.dumps([str(point) for point in points])}")
    return "\n".join(lines) + "\n"


def _contours() -> str:
    """The rim of the face from the temples to the chin, on both sides."""
    oval = topology.FACE_OVAL
    chin = int(np.flatnonzero(oval == _CHIN)[0])
    left, right = oval[7:chin], oval[chin + 1 : len(oval) - 6]
    numbers = np.argsort(_order())
    sides = {"right_contour": numbers[right].tolist(), "left_contour": numbers[left].tolist()}
    return json.dumps({"model_contour": sides}, indent=1) + "\n"
