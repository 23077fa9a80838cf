"""The portrait's mouth: shut and at rest, ready to speak, with lips that never cross.

Everything here is in the face frame, in eye distances.
"""

from functools import cache

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.motion.spread import spread
from mdth.face import geometry, topology
from mdth.face.smoothing import smoothstep
from mdth.options import MotionOptions

# How far the corners of a smiling mouth go to their rest while the person speaks.
SMILE_RELAX = 0.6
# A mouth at rest, as in people asked to look neutral (width of the inner lips 0.50 to 0.57, corners
# 0.02 below to 0.01 above the middle of the lips), and how much more the corners rise in a smile.
REST_WIDTH = 0.54
REST_LIFT = 0.0
SMILE_LIFT = 0.03
# Lips parted by the first and this much more are no smile's, but a dropped jaw's.
DROPPED = (0.15, 0.15)
# Who closes a gap: the upper lip this share, never more than that much, and the lower lip the rest.
UPPER_LIP_SHARE = 0.4
UPPER_LIP_MOST = 0.04
# Lips this far apart have lost the line on which they meet: a parabola takes its place.
LINE_GAP = 0.1
# The lower lip keeps most of its thickness: the share of the inner edge's way that its outer edge
# goes, from corner to corner.
LIP_FOLLOW = np.array([0.4, 0.7, 0.85, 0.9, 0.9, 0.9, 0.85, 0.7, 0.4])[:, None]
# How far the chin comes along with the lower lip: little for bared teeth; for a low jaw what it
# does in speech (measured: 0.6 at every opening, and as far back as down).
CHIN_SHARE = (0.3, 0.6)
CHIN_GAPS = (0.08, 0.2)
CHIN_BACK = 0.9
# Lips closer than SHUT meet; from FREE on their gap is what the speech says.
SHUT = 0.01
FREE = 0.03

# The jaw from the chin to the ears, and its way in speech as a share of the chin's (measured).
_JAW_SHARES = {
    (152, 175, 199, 171, 396): 1.0,
    (148, 377): 0.93,
    (176, 400): 0.8,
    (149, 378): 0.65,
    (150, 379): 0.5,
    (136, 365): 0.38,
    (172, 397): 0.26,
    (58, 288): 0.11,
}
JAW = np.array([vertex for group in _JAW_SHARES for vertex in group])
JAW_SHARES = np.array([share for group, share in _JAW_SHARES.items() for _ in group])
_UPPER, _LOWER = topology.LIP_PAIRS.T
# Between each inner and outer mouth corner.
_CORNER_SKIN = np.array([62, 292])
_OUTER_LOWER = topology.LIPS_OUTER[:10:-1]
_LIPS = np.concatenate([_UPPER, _LOWER, topology.MOUTH_CORNERS])


def _weights() -> FloatArray:
    weights = np.zeros(topology.VERTEX_COUNT)
    weights[: len(topology.CANONICAL)] = smoothstep((topology.CANONICAL[:, 1] - 0.15) / 0.35)
    weights[topology.UPPER_FACE] = 0
    return weights


# [478]: how much of the speech a vertex follows. All of it around mouth and chin, nothing at the
# eyes, brows, forehead and root of the nose: the blinks of the training face stay out.
SPEECH_WEIGHTS = _weights()


def followed(options: MotionOptions) -> FloatArray:
    """How far a face [478,3] follows a speech's offsets, by how much lips open and widen."""
    amounts = options.mouth * np.array([options.lip_width, 1, 1])
    return np.asarray(SPEECH_WEIGHTS[:, None] * amounts)


def still_skin() -> topology.IndexArray:
    """What a closing mouth does not move: eyes, nose down to its base, temples and ears."""
    x, y = np.abs(topology.CANONICAL[:, 0]), topology.CANONICAL[:, 1]
    return np.flatnonzero((y < 0.4) | ((y < 0.54) & (x < 0.25)) | ((y < 0.6) & (x > 0.75)))


@cache
def _closing() -> FloatArray:
    """[478,20+9+2+J] from inner lips, lower lip's edge, skin beside the corners and jaw."""
    return spread(np.concatenate([_LIPS, _OUTER_LOWER, _CORNER_SKIN, JAW]), still_skin())


@cache
def _touching() -> FloatArray:
    """[478,20] from the inner lips alone; the jaw stays."""
    return spread(_LIPS, np.concatenate([still_skin(), JAW]))


def _relaxed_lips(face: FloatArray, relax: float) -> FloatArray:
    """Offsets [20,3] of the inner lips that take a smile part of the way to rest."""
    left, right = face[list(topology.MOUTH_CORNERS)]
    middle = (face[topology.LIP_MID_PAIR[0]] + face[topology.LIP_MID_PAIR[1]]) / 2
    width = float(np.linalg.norm(right - left))
    lift = float(middle[1] - (left[1] + right[1]) / 2)
    # A dropped jaw takes the middle down, and the corners only look lifted.
    dropped = smoothstep((float(geometry.lip_opening(face)) - DROPPED[0]) / DROPPED[1])
    lifted = max(0.0, lift - REST_LIFT) * (1 - float(dropped))
    # A wide mouth alone is no smile.
    smiling = float(smoothstep(lifted / SMILE_LIFT))
    narrowing = relax * smiling * max(0.0, 1 - REST_WIDTH / width)
    lowering = relax * lifted
    lips = face[_LIPS]
    centre_x = (left[0] + right[0]) / 2
    off_centre = (lips[:, 0] - centre_x) / (width / 2)
    offsets: FloatArray = np.zeros_like(lips)
    offsets[:, 0] = -narrowing * (lips[:, 0] - centre_x)
    offsets[:, 1] = lowering * np.minimum(off_centre**2, 1)
    return offsets


def _lip_line(meeting: FloatArray, corners: FloatArray) -> FloatArray:
    """Points [9,3] of shut lips on a parabola through the corners and the middle point."""
    left, right = corners
    middle = meeting[len(meeting) // 2]
    ends = np.where(np.arange(len(meeting))[:, None] < len(meeting) // 2, left, right)
    u = np.clip((meeting[:, :1] - middle[0]) / (ends[:, :1] - middle[0]), 0, 1)
    line = middle + (ends - middle) * u**2
    line[:, 0] = meeting[:, 0]
    return np.asarray(line)


def _beside_corners(face: FloatArray, lips: FloatArray) -> FloatArray:
    """Where the skin beside the corners [2,3] goes: in line with the shut lips [20,3].

    One triangle above and one below hang on the corner; only on this line does neither flip.
    """
    corners = lips[-2:]
    inward = lips[[0, len(_UPPER) - 1]] - corners
    inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-9)
    away = np.linalg.norm(face[_CORNER_SKIN] - face[_LIPS[-2:]], axis=1, keepdims=True)
    return np.asarray(corners - away * inward)


def neutral_face(face: FloatArray, *, relax: float = SMILE_RELAX) -> FloatArray:
    """The face [478,3] with its mouth shut: every pair of inner lips meets, and a smile relaxes.

    The lower lip goes most of the way, the upper lip a little, the chin comes along the more the
    wider the mouth was, and the skin between them and the still parts of the face follows.
    """
    face = np.asarray(face, np.float64)
    lips = face[_LIPS] + _relaxed_lips(face, relax)
    pairs = len(_UPPER)
    gaps = lips[pairs : 2 * pairs] - lips[:pairs]
    lengths = np.linalg.norm(gaps, axis=1, keepdims=True)
    widest = float(lengths.max())
    share = min(UPPER_LIP_SHARE, UPPER_LIP_MOST / max(widest, UPPER_LIP_MOST))
    meeting = lips[:pairs] + share * gaps
    meeting += (_lip_line(meeting, lips[-2:]) - meeting) * smoothstep(widest / LINE_GAP)
    lips[: 2 * pairs] = np.concatenate([meeting, meeting])
    offsets = lips - face[_LIPS]
    middle = pairs + pairs // 2
    reach = smoothstep((widest - CHIN_GAPS[0]) / (CHIN_GAPS[1] - CHIN_GAPS[0]))
    chin_rise = offsets[middle, 1] * (CHIN_SHARE[0] + (CHIN_SHARE[1] - CHIN_SHARE[0]) * reach)
    jaw = chin_rise * JAW_SHARES[:, None] * np.array([0, 1, CHIN_BACK])
    # A mouth that is shut already keeps its corners.
    parted = smoothstep(widest / FREE)
    beside = offsets[-2:] * (1 - parted)
    beside += (_beside_corners(face, lips) - face[_CORNER_SKIN]) * parted
    edge = LIP_FOLLOW * offsets[pairs : 2 * pairs]
    handles = np.concatenate([offsets, edge, beside, jaw])
    return np.asarray(face + _closing() @ handles)


def drawn_gap(gap: FloatArray) -> FloatArray:
    """The gap that is shown for a gap: 0 below SHUT, itself above FREE, smooth between.

    Cubic Hermite from value 0 and slope 0 to value FREE and slope 1.
    """
    span = FREE - SHUT
    s = np.clip((gap - SHUT) / span, 0, 1)
    joined = FREE * s * s * (3 - 2 * s) + span * s * s * (s - 1)
    return np.where(gap >= FREE, gap, joined)


def touch_lips(face: FloatArray) -> FloatArray:
    """The face [478,3] with lips that never cross, and that meet where they nearly touch."""
    gaps = face[_LOWER] - face[_UPPER]
    down = gaps[:, 1:2]
    kept = np.where(down > SHUT, drawn_gap(down) / np.maximum(down, SHUT), 0)
    change = (1 - kept) * gaps
    offsets = np.concatenate(
        [UPPER_LIP_SHARE * change, (UPPER_LIP_SHARE - 1) * change, np.zeros((2, 3))]
    )
    return np.asarray(face + _touching() @ offsets)
