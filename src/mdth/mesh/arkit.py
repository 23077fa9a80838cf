"""ARKit's 52 blendshape weights of a moving face, as the CSV of Live Link Face.

The weights come from MediaPipe's own network for them (`weights/arkit.json` says how it was
translated), so they are those FaceLandmarker gives for the same landmarks.
"""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from mdth.artefacts import FloatArray
from mdth.files import networks

# The columns of the CSV: 52 shapes, TongueOut always 0, and nine angles, those of the eyes 0.
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
# Larger ones leave the cache: 0.8 ms a frame, 1.4 in batches of 256.
_BATCH = 16


def weights(faces: FloatArray) -> FloatArray:
    """Weights float32 [T,52] 0..1 in the order of SHAPES, of faces [T,478,2 or 3].

    "Left" is the person's. Any unit and place, x right and y down, seen from the front: the face
    frame or a picture. Raises CheckpointError if mdth is not installed whole.
    """
    network, _ = networks.load("arkit")
    seen = np.asarray(faces[..., :2], np.float32)
    batches = [seen[start : start + _BATCH] for start in range(0, len(seen), _BATCH)]
    return np.concatenate([network.run(None, {"faces": batch})[0] for batch in batches])


def beyond_rest(weights: FloatArray, rest: FloatArray) -> FloatArray:
    """Weights [T,52] where those of the resting face [52] count as 0; 1 stays 1.

    The network sees expressions in resting faces (of the canonical one, eyes that look down by
    0.6); an avatar's own resting face should not get them on top.
    """
    return np.asarray(np.clip((weights - rest) / np.maximum(1 - rest, 0.05), 0, 1))


def csv_lines(weights: FloatArray, fps: float, angles: FloatArray) -> Iterator[str]:
    """Lines of the CSV for weights [T,52] in the order of SHAPES, and the head's angles [T,3].

    Yaw, pitch and roll in radians: to the person's left, down, and to their right shoulder.
    """
    yield ",".join(["Timecode", "BlendShapeCount", *SHAPES, *_ANGLES]) + "\n"
    count = len(SHAPES) + len(_ANGLES)
    eyes = ",".join(["0"] * (len(_ANGLES) - 3))
    for frame, row in enumerate(np.concatenate([weights, angles], axis=1)):
        numbers = ",".join(f"{number:.6f}" for number in row)
        yield f"{timecode(frame, fps)},{count},{numbers},{eyes}\n"


def timecode(frame: int, fps: float) -> str:
    """hours:minutes:seconds:frames.thousandths of a frame, from 0 on."""
    rate = Fraction(fps).limit_denominator(1001)
    seconds = frame / rate
    whole = math.floor(seconds)
    within = math.floor((seconds - whole) * rate * 1000)
    clock = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{clock}:{within // 1000:02d}.{within % 1000:03d}"
