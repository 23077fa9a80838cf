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
    point3f[] points.timeSamples = {{
"""
    for frame, offsets in enumerate(animation.offsets):
        yield f"        {frame}: {_points(animation.neutral + offsets)},\n"
    yield "    }\n}\n"


def _points(vertices: npt.NDArray[np.floating]) -> str:
    # A hundredth of a millimetre.
    return "[" + ", ".join(f"({x:.5f}, {y:.5f}, {z:.5f})" for x, y, z in vertices.tolist()) + "]"
