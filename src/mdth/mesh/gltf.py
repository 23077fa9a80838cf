"""Binary glTF 2.0: one mesh with morph targets, one animation of their weights and of the head."""

import io
import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mdth.artefacts import FloatArray
from mdth.mesh.surface import Animation, named_shapes, normals

_FLOAT, _UINT = 5126, 5125
_VERTICES, _TRIANGLES = 34962, 34963


def glb(animation: Animation, extras: dict[str, Any]) -> bytes:
    """The file. extras: kept with the asset, for people and scripts."""
    names, shapes, weights = named_shapes(animation)
    parts = _Parts()
    neutral = animation.neutral
    facing = normals(neutral, animation.triangles)
    attributes = {"POSITION": parts.vectors(neutral), "NORMAL": parts.vectors(facing)}
    if animation.uv is not None:
        attributes["TEXCOORD_0"] = parts.add(animation.uv, "VEC2", _VERTICES)
    targets = [
        {
            "POSITION": parts.vectors(shape),
            "NORMAL": parts.vectors(normals(neutral + shape, animation.triangles) - facing),
        }
        for shape in shapes
    ]
    corners = parts.add(animation.triangles.ravel().astype("<u4"), "SCALAR", _TRIANGLES)
    primitive = {"attributes": attributes, "indices": corners, "targets": targets, "material": 0}
    nodes, moving = _nodes(animation, parts, weights)
    document = {
        "asset": {"version": "2.0", "generator": "mdth", "extras": extras},
        "scene": 0,
        "scenes": [{"nodes": [len(nodes) - 1]}],
        "nodes": nodes,
        "meshes": [
            {
                "name": "face",
                "primitives": [primitive],
                "weights": [0.0] * len(shapes),
                "extras": {"targetNames": names},
            }
        ],
        **_skin(animation, parts),
        "animations": [{"name": "speech", **moving}],
        **parts.described(),
    }
    return _packed(document, parts.content)


def _nodes(
    animation: Animation, parts: "_Parts", weights: FloatArray
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The face, in a head that turns about its neck if it moves, and what moves them."""
    times = parts.add(np.arange(len(weights)) / animation.fps, "SCALAR", None, bounds=True)
    nodes: list[dict[str, Any]] = [{"mesh": 0, "name": "face"}]
    tracks = [(0, "weights", parts.add(weights.ravel(), "SCALAR", None))]
    if head := animation.head:
        nodes[0]["translation"] = (-head.neck).tolist()
        nodes.append({"name": "head", "children": [0], "translation": head.neck.tolist()})
        turns = parts.add(quaternions(head.rotation), "VEC4", None)
        moves = parts.add(head.neck + head.translation, "VEC3", None)
        tracks += [(1, "rotation", turns), (1, "translation", moves)]
    samplers = [
        {"input": times, "output": values, "interpolation": "LINEAR"} for _, _, values in tracks
    ]
    channels = [
        {"sampler": place, "target": {"node": node, "path": path}}
        for place, (node, path, _) in enumerate(tracks)
    ]
    return nodes, {"samplers": samplers, "channels": channels}


def _skin(animation: Animation, parts: "_Parts") -> dict[str, Any]:
    """The material, of the texture if there is one."""
    surface: dict[str, Any] = {"metallicFactor": 0, "roughnessFactor": 0.6}
    skin = {"name": "skin", "pbrMetallicRoughness": surface, "doubleSided": True}
    if animation.texture is None:
        surface["baseColorFactor"] = [0.8, 0.62, 0.54, 1]
        return {"materials": [skin]}
    surface["baseColorTexture"] = {"index": 0}
    file = io.BytesIO()
    Image.fromarray(animation.texture).save(file, "JPEG", quality=92)
    picture = {"bufferView": parts.view(file.getvalue()), "mimeType": "image/jpeg"}
    return {"materials": [skin], "textures": [{"source": 0}], "images": [picture]}


def quaternions(rotations: FloatArray) -> FloatArray:
    """Unit quaternions x, y, z, w [T,4] of rotations [T,3,3] by less than half a turn."""
    w = np.sqrt(np.maximum(1 + np.trace(rotations, axis1=1, axis2=2), 1e-12)) / 2
    axes = [(2, 1), (0, 2), (1, 0)]
    xyz = [(rotations[:, a, b] - rotations[:, b, a]) / (4 * w) for a, b in axes]
    return np.stack([*xyz, w], axis=1)


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
        accessor: dict[str, Any] = {
            "bufferView": self.view(stored.tobytes(), target),
            "componentType": _UINT if stored.dtype == "<u4" else _FLOAT,
            "count": len(stored),
            "type": kind,
        }
        if bounds:
            rows = stored.reshape(len(stored), -1)
            accessor["min"] = rows.min(axis=0).tolist()
            accessor["max"] = rows.max(axis=0).tolist()
        self._accessors.append(accessor)
        return len(self._accessors) - 1

    def view(self, content: bytes, target: int | None = None) -> int:
        """Store bytes; the number of their view."""
        view = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(content)}
        self._views.append(view if target is None else {**view, "target": target})
        self.content += content + b"\0" * (-len(content) % 4)
        return len(self._views) - 1

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
