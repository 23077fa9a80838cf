"""A head in FLAME's sizes, made of arithmetic: no licensed data. For tests and trials.

5,023 vertices and 9,976 triangles: the hull of a spiral on a sphere, without 66 triangles at the
neck. 400 shapes, 36 pose correctives, 5 joints (root, neck, jaw, two eyes), 51 landmarks.
"""

import pickle
import sys
import types
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_matrix
from scipy.spatial import ConvexHull

from mdth.embedded.motion.landmarks import LANDMARKS
from mdth.face import topology

VERTICES, TRIANGLES, SHAPES = 5023, 9976, 400
EYE_DISTANCE_M = 0.09
JOINTS_M = np.array(
    [[0, -0.1, -0.02], [0, -0.05, -0.02], [0, -0.02, 0.01], [0.03, 0.03, 0.07], [-0.03, 0.03, 0.07]]
)


@cache
def arrays() -> Mapping[str, Any]:
    """What `generic_model.pkl` holds: numpy arrays, a scipy sparse matrix; not to be changed."""
    random = np.random.default_rng(0)
    turn = np.arange(VERTICES) * np.pi * (3 - 5**0.5)
    height = 1 - 2 * (np.arange(VERTICES) + 0.5) / VERTICES
    ring = np.sqrt(1 - height**2)
    sphere = np.stack([ring * np.cos(turn), height, ring * np.sin(turn)], axis=1)
    template = sphere * [0.075, 0.11, 0.09]
    hull = ConvexHull(sphere)
    faces = hull.simplices.astype(np.int64)
    a, b, c = sphere[faces].transpose(1, 0, 2)
    inward = np.einsum("fi,fi->f", np.cross(b - a, c - a), a) < 0
    faces[inward] = faces[inward][:, ::-1]
    faces = faces[np.argsort(-sphere[faces].mean(axis=1)[:, 1])][:TRIANGLES]
    distance = np.linalg.norm(template[:, None] - JOINTS_M, axis=2)
    weights = np.exp(-np.square(distance / 0.03)) + 1e-6
    weights /= weights.sum(axis=1, keepdims=True)
    regressor = np.zeros((5, VERTICES))
    for joint, near in enumerate(np.argsort(distance.T, axis=1)[:, :50]):
        regressor[joint, near] = 1 / 50
    waves = random.normal(0, 1, (SHAPES, 3, 3))
    phases = np.einsum("vi,sij->vsj", template * 20, waves)
    shapes = np.sin(phases).transpose(0, 2, 1) * 1e-3
    made = {
        "v_template": template,
        "f": faces.astype(np.uint32),
        "shapedirs": shapes,
        "posedirs": random.normal(0, 1e-4, (VERTICES, 3, 36)),
        "J_regressor": csc_matrix(regressor),
        "weights": weights,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    return MappingProxyType(made)


def embedding(model: Mapping[str, Any]) -> dict[str, Any]:
    """`flame_static_embedding.pkl`: triangles and weights of the landmarks on the front.

    model: see `arrays`.
    """
    places = topology.CANONICAL[LANDMARKS] * np.array([1, -1, -1]) * EYE_DISTANCE_M
    centres = model["v_template"][model["f"].astype(int)].mean(axis=1)
    front = np.where(centres[:, 2:] > 0, centres, np.inf)[:, :2]
    nearest = np.square(places[:, None, :2] - front).sum(axis=2).argmin(axis=1)
    corners = np.random.default_rng(1).dirichlet([5, 5, 5], len(LANDMARKS))
    return {"lmk_face_idx": nearest.astype(np.uint32), "lmk_b_coords": corners}


class Ch:
    """Like chumpy's: a value under `x` among other things."""

    def __init__(self, value: npt.NDArray[Any]) -> None:
        self.x = value
        self._dirty_vars: set[str] = set()
        self._itr = None


Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
CHUMPY = ("v_template", "shapedirs", "posedirs", "weights")


def write_official(folder: Path) -> Path:
    """The files as published: protocol 2, some arrays as chumpy objects, a sparse regressor."""
    model = arrays()
    marks = embedding(model)
    module = types.ModuleType("chumpy.ch")
    module.Ch = Ch  # type: ignore[attr-defined]
    sys.modules.update({"chumpy": types.ModuleType("chumpy"), "chumpy.ch": module})
    try:
        wrapped = {key: Ch(value) if key in CHUMPY else value for key, value in model.items()}
        path = folder / "generic_model.pkl"
        path.write_bytes(pickle.dumps(wrapped, protocol=2))
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    (folder / "flame_static_embedding.pkl").write_bytes(pickle.dumps(marks, protocol=2))
    return path


def write_ply(path: Path, vertices: npt.NDArray[np.floating]) -> None:
    """Vertices [V,3] as a PLY without faces."""
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
    header += "property float x\nproperty float y\nproperty float z\nend_header\n"
    path.write_bytes(header.encode() + vertices.astype("<f4").tobytes())
