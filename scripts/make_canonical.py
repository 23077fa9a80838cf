"""Read MediaPipe's canonical face mesh out of `face_landmarker.task` into `canonical.npz`.

Run once, `python scripts/make_canonical.py face_landmarker.task`; its result is in the package.
The bundle is a zip; its `geometry_pipeline_metadata_landmarks.binarypb` is a protocol buffer whose
field 1 is the mesh: field 3 the vertex buffer (floats x y z u v), field 4 the index buffer.
"""

import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

CANONICAL = Path(__file__).parents[1] / "src/mdth/face/canonical.npz"


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _fields(buffer: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(buffer):
        key, at = _varint(buffer, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(buffer, at)
            yield key >> 3, value
        elif wire == 2:
            size, at = _varint(buffer, at)
            yield key >> 3, buffer[at : at + size]
            at += size
        elif wire == 5:
            yield key >> 3, buffer[at : at + 4]
            at += 4
        else:
            raise ValueError(f"wire type {wire} is not used by this message")


def canonical_mesh(task: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [468, 3] (cm, x right, y up, z to the viewer) and triangles [898, 3]."""
    with zipfile.ZipFile(task) as bundle:
        message = bundle.read("geometry_pipeline_metadata_landmarks.binarypb")
    mesh = next(v for f, v in _fields(message) if f == 1 and isinstance(v, bytes))
    floats: list[float] = []
    indices: list[int] = []
    for field, value in _fields(mesh):
        if field == 3 and isinstance(value, bytes):
            floats += struct.unpack(f"<{len(value) // 4}f", value)
        elif field == 4 and isinstance(value, int):
            indices.append(value)
    vertices = np.asarray(floats, np.float32).reshape(-1, 5)[:, :3]
    return vertices, np.asarray(indices, np.int16).reshape(-1, 3)


if __name__ == "__main__":
    vertices, triangles = canonical_mesh(Path(sys.argv[1]))
    np.savez_compressed(CANONICAL, vertices=vertices, triangles=triangles)
