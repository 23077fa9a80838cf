"""FLAME's own files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.errors import CheckpointError
from mdth.files import pickle as model_pickle
from mdth.flame.model import Embedding, Flame

_NUMBERS = {
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1"},
    **{"short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2"},
    **{"int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}

LANDMARK_COUNT = 51
POSE_NUMBERS = 15
# Our name -> FLAME's.
_MODEL = {
    "template": "v_template",
    "triangles": "f",
    "pose_correctives": "posedirs",
    "regressor": "J_regressor",
    "weights": "weights",
    "parents": "kintree_table",
}
_EMBEDDING = {"triangle": "lmk_face_idx", "corners": "lmk_b_coords"}


def read_model(path: Path) -> Flame:
    """The model of `generic_model.pkl` (2019, 2020, 2023).

    Raises CheckpointError: not that file, or parts whose sizes do not fit each other.
    """
    arrays = _arrays(path, _MODEL)
    parents = arrays["parents"]
    if parents.ndim == 2:
        parents = parents[0]
    parents = np.concatenate([[-1], parents[1:].astype(np.intp)])
    numbers = {name: np.asarray(arrays[name], np.float64) for name in _MODEL if name != "parents"}
    triangles = arrays["triangles"].astype(np.intp)
    model = Flame(**{**numbers, "triangles": triangles, "parents": parents})
    _check_model(model, path)
    return model


def read_embedding(path: Path) -> Embedding:
    """The 51 landmarks of `flame_static_embedding.pkl`. Raises CheckpointError."""
    arrays = _arrays(path, _EMBEDDING)
    triangle = arrays["triangle"].astype(np.intp).ravel()
    corners = np.asarray(arrays["corners"], np.float64)
    if triangle.shape != (LANDMARK_COUNT,) or corners.shape != (LANDMARK_COUNT, 3):
        raise CheckpointError(
            f"{path}: {triangle.shape} triangles and {corners.shape} weights, not 51 landmarks"
        )
    return Embedding(triangle, corners)


def read_placement(path: Path) -> tuple[FloatArray, FloatArray]:
    """Pose [15] and translation [3] m of the seed's `params.npy`. Raises CheckpointError."""
    found = model_pickle.arrays(path)
    try:
        pose = np.asarray(found["pose"], np.float64).ravel()
        translation = np.asarray(found["trans"], np.float64).ravel()
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: no pose and translation in it ({error})") from error
    if pose.shape != (POSE_NUMBERS,) or translation.shape != (3,):
        raise CheckpointError(f"{path}: {pose.size} pose numbers and {translation.size} of a place")
    return pose, translation


def _arrays(path: Path, names: Mapping[str, str]) -> dict[str, Any]:
    """The arrays of a pickle under our names."""
    found = model_pickle.arrays(path)
    missing = [name for name in names.values() if name not in found]
    if missing:
        raise CheckpointError(f"{path}: no {', '.join(missing)} in it; another model's file?")
    return {ours: found[theirs] for ours, theirs in names.items()}


def _check_model(model: Flame, path: Path) -> None:
    joints, count = len(model.parents), len(model.template)
    expected = {
        "template": (count, 3),
        "triangles": (len(model.triangles), 3),
        "pose_correctives": (count, 3, 9 * (joints - 1)),
        "regressor": (joints, count),
        "weights": (count, joints),
    }
    for name, shape in expected.items():
        found = getattr(model, name).shape
        if found != shape:
            raise CheckpointError(f"{path}: {name} is {found}, but {shape} fits the rest")
    if model.triangles.size and not 0 <= model.triangles.min() <= model.triangles.max() < count:
        raise CheckpointError(f"{path}: triangles of vertices that are not there")
    later = np.arange(1, joints)
    if ((model.parents[1:] < 0) | (model.parents[1:] >= later)).any():
        raise CheckpointError(f"{path}: joints that come before their parents")


def read_vertices(path: Path) -> npt.NDArray[np.float64]:
    """The vertices [V,3] in the file's unit. Raises CheckpointError."""
    try:
        content = path.read_bytes()
        header, found, body = content.partition(b"end_header\n")
        if not found:
            header, found, body = content.partition(b"end_header\r\n")
        if not found or not header.startswith(b"ply"):
            raise ValueError("no header")
        return _ply_vertices(header.decode("ascii").split("\n"), body)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, IndexError) as error:
        raise CheckpointError(f"{path}: no ply mesh ({error}); copy it again") from error


def _ply_vertices(header: list[str], body: bytes) -> npt.NDArray[np.float64]:
    words = [line.split() for line in header if line.split()]
    (order,) = [_ORDERS[line[1]] for line in words if line[0] == "format"]
    elements = [place for place, line in enumerate(words) if line[0] == "element"]
    first = words[elements[0]]
    if first[1] != "vertex":
        raise ValueError("vertices do not come first")
    count = int(first[2])
    end = elements[1] if len(elements) > 1 else len(words)
    fields = [line for line in words[elements[0] + 1 : end] if line[0] == "property"]
    row = np.dtype([(line[2], order + _NUMBERS[line[1]]) for line in fields])
    if order == "=":
        lines = body.decode("ascii").split("\n")[:count]
        table = np.array([line.split()[: len(fields)] for line in lines], np.float64)
        columns = [table[:, [line[2] for line in fields].index(axis)] for axis in "xyz"]
    else:
        rows = np.frombuffer(body, row, count)
        columns = [rows[axis].astype(np.float64) for axis in "xyz"]
    vertices = np.stack(columns, axis=1)
    if vertices.shape != (count, 3):
        raise ValueError(f"{len(vertices)} of {count} vertices")
    return vertices
