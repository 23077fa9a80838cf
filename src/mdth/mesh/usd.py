"""USD as text: one mesh whose points are sampled at every frame."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth.mesh.surface import Animation


def usda_lines(animation: Animation, extras: dict[str, Any]) -> Iterator[str]:
    """Pieces of a `.usda`, in order. extras: strings and numbers, kept with the layer."""
    frames, rate = len(animation.offsets), f"{animation.fps:.9g}"
    custom = "\n".join(
        f"        {'string' if isinstance(value, str) else 'double'} {name} = {json.dumps(value)}"
        for name, value in extras.items()
    )
    corners = ", ".join(map(str, animation.triangles.ravel().tolist()))
    counts = ", ".join(["3"] * len(animation.triangles))
    yield f"""#usda 1.0
(
    customLayerData = {{
{custom}
    }}
    defaultPrim = "face"
    startTimeCode = 0
    endTimeCode = {frames - 1}
    framesPerSecond = {rate}
    timeCodesPerSecond = {rate}
    metersPerUnit = 1
    upAxis = "Y"
)

def Mesh "face"
{{
    uniform token subdivisionScheme = "none"
    int[] faceVertexCounts = [{counts}]
    int[] faceVertexIndices = [{corners}]
    point3f[] points = {_points(animation.neutral)}
{"".join(_more(animation))}    point3f[] points.timeSamples = {{
"""
    for frame, offsets in enumerate(animation.offsets):
        yield f"        {frame}: {_points(animation.neutral + offsets)},\n"
    yield "    }\n}\n"


def _more(animation: Animation) -> Iterator[str]:
    """Texture coordinates and the head's motion, where there are any."""
    if animation.uv is not None:
        places = ", ".join(f"({u:.5f}, {1 - v:.5f})" for u, v in animation.uv.tolist())
        yield f'    texCoord2f[] primvars:st = [{places}] (interpolation = "vertex")\n'
    if animation.head is not None:
        yield '    uniform token[] xformOpOrder = ["xformOp:transform"]\n'
        yield "    matrix4d xformOp:transform.timeSamples = {\n"
        for frame, matrix in enumerate(animation.head.matrices()):
            # USD multiplies rows.
            rows = ", ".join("(" + ", ".join(f"{x:.6f}" for x in row) + ")" for row in matrix.T)
            yield f"        {frame}: ({rows}),\n"
        yield "    }\n"


def _points(vertices: npt.NDArray[np.floating]) -> str:
    # A hundredth of a millimetre.
    return "[" + ", ".join(f"({x:.5f}, {y:.5f}, {z:.5f})" for x, y, z in vertices.tolist()) + "]"
