"""A strip of pictures of an animated `.glb`, drawn from the file alone.

    python scripts/mesh_preview.py talk.glb strip.png --frames 8

Reads what `mdth.mesh.gltf` writes: one primitive with morph targets and one animation.
"""

import argparse
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth.errors import UnreadableMedia
from mdth.mesh.surface import Animation, Head, normals

Image = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.floating]

_KINDS = {5126: "<f4", 5125: "<u4", 5123: "<u2"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_SKIN = np.array([214, 172, 150])
_LIGHT = np.array([0.35, 0.45, 0.82])
_BACKGROUND = 40


def read_glb(path: Path) -> Animation:
    """The moving mesh of a `.glb`, its frames as sampled. Raises UnreadableMedia."""
    try:
        return _animation(*_chunks(path.read_bytes()))
    except (OSError, struct.error, ValueError, KeyError, IndexError) as error:
        raise UnreadableMedia(f"{path}: no animated glb ({error})") from error


def _chunks(content: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, length = struct.unpack_from("<4sII", content)
    if magic != b"glTF" or version != 2 or length != len(content):
        raise ValueError("not a glTF 2 file, or cut short")
    size = struct.unpack_from("<I", content, 12)[0]
    document: dict[str, Any] = json.loads(content[20 : 20 + size])
    return document, content[28 + size :]


def _animation(document: dict[str, Any], binary: bytes) -> Animation:
    def numbers(place: int) -> npt.NDArray[Any]:
        accessor = document["accessors"][place]
        view = document["bufferViews"][accessor["bufferView"]]
        width = _WIDTHS[accessor["type"]]
        kind = np.dtype(_KINDS[accessor["componentType"]])
        flat = np.frombuffer(binary, kind, accessor["count"] * width, view["byteOffset"])
        return flat.reshape(-1, width) if width > 1 else flat

    primitive = document["meshes"][0]["primitives"][0]
    shapes = np.stack([numbers(target["POSITION"]) for target in primitive["targets"]])
    samplers = document["animations"][0]["samplers"]
    times = numbers(samplers[0]["input"])
    weights = numbers(samplers[0]["output"]).reshape(len(times), len(shapes))
    fps = (len(times) - 1) / float(times[-1] - times[0]) if len(times) > 1 else 1.0
    offsets = np.tensordot(weights, shapes, axes=1)
    triangles = numbers(primitive["indices"]).reshape(-1, 3).astype(np.intp)
    neutral, head = numbers(primitive["attributes"]["POSITION"]), None
    if len(samplers) > 1:
        turns, moves = (numbers(sampler["output"]) for sampler in samplers[1:])
        neck = np.array(document["nodes"][1]["translation"])
        head = Head(_rotations(turns), moves - neck, neck)
    return Animation(neutral, triangles, offsets, fps, (), np.zeros((len(offsets), 0)), head)


def _rotations(quaternions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Of unit quaternions x, y, z, w [T,4], by the formula of glTF's own page."""
    x, y, z, w = np.asarray(quaternions, float).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def draw(
    vertices: FloatArray,
    triangles: npt.NDArray[np.intp],
    *,
    framed: FloatArray | None = None,
    size_px: int = 320,
) -> Image:
    """A shaded picture RGB uint8 [S,S,3] from the front of a mesh [V,3], y up, z to the viewer.

    The nearest surface wins in every pixel; light from the upper right, smooth over the triangles.
    framed: the vertices [V,3] that fill the picture (default: these).
    """
    used = (vertices if framed is None else framed)[np.unique(triangles)]
    middle = (used.min(axis=0) + used.max(axis=0)) / 2
    scale = 0.9 * size_px / float(np.ptp(used[:, :2], axis=0).max())
    placed = (vertices - middle) * [scale, -scale, scale] + [size_px / 2, size_px / 2, 0]
    facing = normals(vertices, triangles)
    light = _LIGHT / np.linalg.norm(_LIGHT)
    shade = np.clip(0.25 + 0.8 * np.clip(facing @ light, 0, None), 0, 1)
    picture = np.full((size_px, size_px), -1.0)
    depth = np.full((size_px, size_px), -np.inf)
    for corners in triangles:
        _fill(picture, depth, placed[corners], shade[corners])
    colours = np.where(picture[..., None] < 0, _BACKGROUND, picture[..., None] * _SKIN)
    return np.asarray(np.round(colours), np.uint8)


def _fill(picture: FloatArray, depth: FloatArray, corners: FloatArray, shade: FloatArray) -> None:
    """Draw one triangle [3,3] px into the picture where it is the nearest."""
    size = len(picture)
    low = np.clip(np.floor(corners[:, :2].min(axis=0)).astype(int), 0, size)
    high = np.clip(np.ceil(corners[:, :2].max(axis=0)).astype(int) + 1, 0, size)
    (ax, ay), (bx, by), (cx, cy) = corners[:, :2]
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if abs(area) < 1e-9 or (high <= low).any():
        return
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]] + 0.0
    b = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
    c = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
    a = 1 - b - c
    here = np.s_[low[1] : high[1], low[0] : high[0]]
    z = a * corners[0, 2] + b * corners[1, 2] + c * corners[2, 2]
    nearest = (np.minimum(np.minimum(a, b), c) >= -1e-6) & (z > depth[here])
    depth[here][nearest] = z[nearest]
    picture[here][nearest] = (a * shade[0] + b * shade[1] + c * shade[2])[nearest]


def strip(animation: Animation, *, frames: int = 8, size_px: int = 320) -> Image:
    """Frames spread over the animation, side by side, RGB uint8 [S,frames*S,3]."""
    chosen = np.linspace(0, len(animation.offsets) - 1, frames).round().astype(int)
    neutral, triangles = animation.neutral, animation.triangles
    moved = neutral + animation.offsets
    if animation.head is not None:
        moved = animation.head.placed(moved)
    pictures = [draw(moved[frame], triangles, framed=neutral, size_px=size_px) for frame in chosen]
    return np.concatenate(pictures, axis=1)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    from PIL import Image as PillowImage

    parser = argparse.ArgumentParser(prog="scripts/mesh_preview.py")
    parser.add_argument("glb", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--frames", type=int, default=8)
    given = parser.parse_args(arguments)
    PillowImage.fromarray(strip(read_glb(given.glb), frames=given.frames)).save(given.picture)


if __name__ == "__main__":
    main()
