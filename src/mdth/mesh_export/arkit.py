"""ARKit's 52 blendshape weights of a moving face, as the CSV of Live Link Face.

The weights come from the network MediaPipe ships for them (`face_blendshapes.tflite` inside
`face_landmarker.task`), so they are those FaceLandmarker gives for the same landmarks.
"""

import math
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.errors import CheckpointError
from mdth.mesh_export.tflite import Network

FloatArray = npt.NDArray[np.floating]

# The vertices the network looks at (MediaPipe, face_blendshapes_graph).
_SEEN = np.array(
    "0 1 4 5 6 7 8 10 13 14 17 21 33 37 39 40 46 52 53 54 55 58 61 63 65 66 67 70 78 80 81 82 84 "
    "87 88 91 93 95 103 105 107 109 127 132 133 136 144 145 146 148 149 150 152 153 154 155 157 "
    "158 159 160 161 162 163 168 172 173 176 178 181 185 191 195 197 234 246 249 251 263 267 269 "
    "270 276 282 283 284 285 288 291 293 295 296 297 300 308 310 311 312 314 317 318 321 323 324 "
    "332 334 336 338 356 361 362 365 373 374 375 377 378 379 380 381 382 384 385 386 387 388 389 "
    "390 397 398 400 402 405 409 415 454 466 468 469 470 471 472 473 474 475 476 477".split(),
    np.intp,
)
# Its outputs, in order; the first is no shape.
_GIVEN = (
    "_neutral BrowDownLeft BrowDownRight BrowInnerUp BrowOuterUpLeft BrowOuterUpRight CheekPuff "
    "CheekSquintLeft CheekSquintRight EyeBlinkLeft EyeBlinkRight EyeLookDownLeft EyeLookDownRight "
    "EyeLookInLeft EyeLookInRight EyeLookOutLeft EyeLookOutRight EyeLookUpLeft EyeLookUpRight "
    "EyeSquintLeft EyeSquintRight EyeWideLeft EyeWideRight JawForward JawLeft JawOpen JawRight "
    "MouthClose MouthDimpleLeft MouthDimpleRight MouthFrownLeft MouthFrownRight MouthFunnel "
    "MouthLeft MouthLowerDownLeft MouthLowerDownRight MouthPressLeft MouthPressRight MouthPucker "
    "MouthRight MouthRollLower MouthRollUpper MouthShrugLower MouthShrugUpper MouthSmileLeft "
    "MouthSmileRight MouthStretchLeft MouthStretchRight MouthUpperUpLeft MouthUpperUpRight "
    "NoseSneerLeft NoseSneerRight"
).split()
# The columns of the CSV: 52 shapes, TongueOut always 0, and nine angles that the mesh has none of.
SHAPES = (
    "EyeBlinkLeft EyeLookDownLeft EyeLookInLeft EyeLookOutLeft EyeLookUpLeft EyeSquintLeft "
    "EyeWideLeft EyeBlinkRight EyeLookDownRight EyeLookInRight EyeLookOutRight EyeLookUpRight "
    "EyeSquintRight EyeWideRight JawForward JawRight JawLeft JawOpen MouthClose MouthFunnel "
    "MouthPucker MouthRight MouthLeft MouthSmileLeft MouthSmileRight MouthFrownLeft "
    "MouthFrownRight MouthDimpleLeft MouthDimpleRight MouthStretchLeft MouthStretchRight "
    "MouthRollLower MouthRollUpper MouthShrugLower MouthShrugUpper MouthPressLeft MouthPressRight "
    "MouthLowerDownLeft MouthLowerDownRight MouthUpperUpLeft MouthUpperUpRight BrowDownLeft "
    "BrowDownRight BrowInnerUp BrowOuterUpLeft BrowOuterUpRight CheekPuff CheekSquintLeft "
    "CheekSquintRight NoseSneerLeft NoseSneerRight TongueOut"
).split()
_ANGLES = (
    "HeadYaw HeadPitch HeadRoll LeftEyeYaw LeftEyePitch LeftEyeRoll RightEyeYaw RightEyePitch "
    "RightEyeRoll"
).split()
_BATCH = 64


class Blendshapes:
    """Faces -> ARKit weights. "Left" is the person's, as in ARKit."""

    def __init__(self, task: Path) -> None:
        """Take the network out of `face_landmarker.task`. Raises CheckpointError."""
        try:
            with zipfile.ZipFile(task) as bundle:
                self._network = Network(bundle.read("face_blendshapes.tflite"))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{task}: no blendshape network ({error})") from error

    def weights(self, faces: FloatArray) -> npt.NDArray[np.float32]:
        """Weights [T,52] 0..1 in the order of SHAPES, of faces [T,478,2 or 3].

        Any unit and place, x right and y down, seen from the front: the face frame or a picture.
        """
        found = np.zeros((len(faces), len(SHAPES)), np.float32)
        column = {name: place for place, name in enumerate(_GIVEN)}
        order = [column[name] for name in SHAPES if name in column]
        there = [place for place, name in enumerate(SHAPES) if name in column]
        for start in range(0, len(faces), _BATCH):
            seen = np.asarray(faces[start : start + _BATCH])[:, _SEEN, :2]
            found[start : start + _BATCH, there] = self._network.run(seen)[:, order]
        return found


def beyond_rest(weights: FloatArray, rest: FloatArray) -> FloatArray:
    """Weights [T,52] where those of the resting face [52] count as 0; 1 stays 1.

    The network sees expressions in resting faces (of the canonical one, eyes that look down by
    0.6); an avatar's own resting face should not get them on top.
    """
    beyond: FloatArray = np.clip((weights - rest) / np.maximum(1 - rest, 0.05), 0, 1)
    return beyond


def csv_lines(weights: FloatArray, fps: float) -> Iterator[str]:
    """Lines of the CSV for weights [T,52] in the order of SHAPES."""
    yield ",".join(["Timecode", "BlendShapeCount", *SHAPES, *_ANGLES]) + "\n"
    count = len(SHAPES) + len(_ANGLES)
    angles = ",".join(["0"] * len(_ANGLES))
    for frame, row in enumerate(weights):
        numbers = ",".join(f"{number:.6f}" for number in row)
        yield f"{timecode(frame, fps)},{count},{numbers},{angles}\n"


def timecode(frame: int, fps: float) -> str:
    """hours:minutes:seconds:frames.thousandths of a frame, from 0 on."""
    rate = Fraction(fps).limit_denominator(1001)
    seconds = frame / rate
    whole = math.floor(seconds)
    within = math.floor((seconds - whole) * rate * 1000)
    clock = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{clock}:{within // 1000:02d}.{within % 1000:03d}"
