"""Binary glTF 2.0: one mesh, a few morph targets, one animation of their weights."""

import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth.mesh.surface import Animation, normals, principal_shapes

# Shapes and the error they may leave; weaker ones move no vertex by as much as the tracker's noise.
MOST_SHAPES = 32
TOLERANCE_M = 2e-5

_FLOAT, _UINT = 5126, 5125
_VERTICES, _TRIANGLES = 34962, 34963


def glb(animation: Animation, extras: dict[str, Any]) -> bytes:
    """The file. extras: kept with the asset, for people and scripts."""
    shapes, weights = principal_shapes(animation.offsets, most=MOST_SHAPES, tolerance=TOLERANCE_M)
    parts = _Parts()
    neutral = animation.neutral
    facing = normals(neutral, animation.triangles)
    attributes = {"POSITION": parts.vectors(neutral), "NORMAL": parts.vectors(facing)}
    targets = [
        {
            "POSITION": parts.vectors(shape),
            "NORMAL": parts.vectors(normals(neutral + shape, animation.triangles) - facing),
        }
        for shape in shapes
    ]
    corners = parts.add(animation.triangles.ravel().astype("<u4"), "SCALAR", _TRIANGLES)
    times = parts.add(np.arange(len(weights)) / animation.fps, "SCALAR", None, bounds=True)
    values = parts.add(weights.ravel(), "SCALAR", None)
    names = [f"shape{place:02d}" for place in range(len(shapes))]
    primitive = {"attributes": attributes, "indices": corners, "targets": targets, "material": 0}
    sampler = {"input": times, "output": values, "interpolation": "LINEAR"}
    skin = {"baseColorFactor": [0.8, 0.62, 0.54, 1], "metallicFactor": 0, "roughnessFactor": 0.6}
    document = {
        "asset": {"version": "2.0", "generator": "mdth", "extras": extras},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "face"}],
        "meshes": [
            {
                "name": "face",
                "primitives": [primitive],
                "weights": [0.0] * len(shapes),
                "extras": {"targetNames": names},
            }
        ],
        "materials": [{"name": "skin", "pbrMetallicRoughness": skin, "doubleSided": True}],
        "animations": [
            {
                "name": "speech",
                "samplers": [sampler],
                "channels": [{"sampler": 0, "target": {"node": 0, "path": "weights"}}],
            }
        ],
        **parts.described(),
    }
    return _packed(document, parts.content)


class _Parts:
    """The binary chunk and what the document says about it."""

    def __init__(self) -> None:
        self.content = b""
        self._views: list[dict[str, int]] = []
        self._accessors: list[dict[str, Any]] = []

    def vectors(self, values: npt.NDArray[np.floating]) -> int:
        """[V,3] as an attribute of vertices."""
        return self.add(values, "VEC3", _VERTICES, bounds=True)

    def add(
        self, values: npt.NDArray[Any], kind: str, target: int | None, *, bounds: bool = False
    ) -> int:
        """Store numbers; the number of their accessor."""
        stored = values.astype(values.dtype if values.dtype == "<u4" else "<f4")
        content = stored.tobytes()
        view = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(content)}
        self._views.append(view if target is None else {**view, "target": target})
        accessor: dict[str, Any] = {
            "bufferView": len(self._views) - 1,
            "componentType": _UINT if stored.dtype == "<u4" else _FLOAT,
            "count": len(stored),
            "type": kind,
        }
        if bounds:
            rows = stored.reshape(len(stored), -1)
            accessor["min"] = rows.min(axis=0).tolist()
            accessor["max"] = rows.max(axis=0).tolist()
        self._accessors.append(accessor)
        self.content += content
        return len(self._accessors) - 1

    def described(self) -> dict[str, Any]:
        """Buffers, views and accessors of the document."""
        return {
            "buffers": [{"byteLength": len(self.content)}],
            "bufferViews": self._views,
            "accessors": self._accessors,
        }


def _packed(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
