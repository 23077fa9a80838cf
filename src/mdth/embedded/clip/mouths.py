"""A person's own mouth: what the open frames of a clip show behind the lips, for frames to come.

A few are kept, as unlike each other in opening, width and turn of the head as the clip has them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.embedded.render.cavity import View
from mdth.embedded.render.conditions import HEIGHT, WIDTH, shown
from mdth.embedded.render.light import Light, brightest_third, cheeks
from mdth.embedded.render.lips import Layer, filled, heights
from mdth.embedded.render.motion import AnyArray, Grid, sample
from mdth.face import geometry, topology
from mdth.face.smoothing import smoothstep
from mdth.files.arrays import Wanted, read_npz, write_npz

# So many are kept at most, of lips further apart than this (eye distances), of so many frames that
# are looked at.
MOST, PARTED, LOOKED_AT = 32, 0.04, 3000
# What counts as equally unlike: opening and width in eye distances, turn and nod in degrees.
UNLIKE = np.array([0.03, 0.06, 8.0, 8.0])
# A mouth is kept for the next frame unless another one is this much more alike, and gives way to
# that by this share a frame.
STAY, GIVE_WAY = 0.5, 0.6
# The same of an opening that has to be stretched or squeezed, natural logarithms of how often; one
# of less than LEAST eye distances is a line.
STRETCHED, SQUEEZED, LEAST = 0.12, 0.4, 0.03
# An inside is stretched by the first, and gives way to a painted one by the second.
STRETCH, TORN = 1.25, 1.7
# The edge of an open mouth is soft: squeezed with it, eye distances.
SOFT_EDGE = 0.02
WIDEST_PX = 320
# Fewer bright pixels than this show no teeth.
TEETH_PX = 40
# Light of a frame relative to the light that an inside was seen in.
GAINS = (0.5, 2.0)
_CENTRE = [*topology.MOUTH_CORNERS, 0, 17]


class Mouths(NamedTuple):
    """What K frames show behind the lips.

    inside: uint8 [K,h,w,3], upright cut-outs, `conditions.WIDTH` by `HEIGHT` eye distances. lips:
    [K,20,2] px, inner lips there. traits: [K,4] as `traits` gives them. skin: [K,3] RGB of cheeks.
    """

    inside: npt.NDArray[np.uint8]
    lips: FloatArray
    traits: FloatArray
    skin: FloatArray

    @classmethod
    def of(cls, rows: Sequence[tuple[AnyArray, ...]]) -> Self:
        """Of what `cut_out` gives, at least one."""
        return cls(*(np.stack(column) for column in zip(*rows, strict=True)))

    def save(self, path: Path) -> None:
        """Write an npz."""
        write_npz(path, self._asdict())

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote. Raises what `files.arrays.DAMAGE` lists."""
        wanted = {
            "inside": Wanted((None, None, None, 3), kinds="u"),
            "lips": Wanted((None, 20, 2)),
            "traits": Wanted((None, 4)),
            "skin": Wanted((None, 3), least=0, most=255),
        }
        return cls(**read_npz(path, wanted))

    def tooth(self, light: Light) -> FloatArray:
        """The colour of this person's teeth, RGB [3], in a light; its own where none show."""
        seen = [
            inside[filled(lips, inside.shape[1::-1], 1.0) > 0.9] * (light.skin / skin)
            for inside, lips, skin in zip(self.inside, self.lips, self.skin, strict=True)
        ]
        bright = np.concatenate(seen)
        bright = bright[light.toothlike(bright)]
        return brightest_third(bright) if len(bright) > TEETH_PX else light.tooth


def traits(face: FloatArray, rotation: FloatArray) -> FloatArray:
    """How alike mouths are: opening and width, eye distances, turn and nod, degrees [4]."""
    yaw, pitch, _ = geometry.euler_deg(rotation)
    return np.array([geometry.lip_opening(face), geometry.mouth_width(face), yaw, pitch])


def choose(meshes: FloatArray, numbers: topology.IndexArray) -> topology.IndexArray:
    """Which frames to keep, of those in which the face can be used; may be none."""
    numbers = numbers[:: max(1, len(numbers) // LOOKED_AT)]
    seen: FloatArray = np.asarray(meshes[numbers], np.float64)
    pose = geometry.head_pose(seen)
    faces = geometry.to_face(seen, pose)
    rows = np.stack([traits(*one) for one in zip(faces, pose.rotation, strict=True)])
    open_ones = np.flatnonzero(rows[:, 0] > PARTED)
    rows = rows[open_ones] / UNLIKE
    chosen: list[int] = []
    away = rows[:, 0].copy() if len(rows) else np.zeros(0)
    while len(chosen) < min(MOST, len(rows)) and away.max() > 0.5:
        chosen.append(int(away.argmax()))
        to_it = np.linalg.norm(rows - rows[chosen[-1]], axis=1)
        away = to_it if len(chosen) == 1 else np.minimum(away, to_it)
    return np.sort(numbers[open_ones[chosen]])


def cut_size(unit: float) -> tuple[int, int]:
    """Width and height of cut-outs of faces of `unit` px per eye distance."""
    width = int(np.clip(WIDTH * unit, 48, WIDEST_PX))
    return width, round(width * HEIGHT / WIDTH)


def upright(mesh: FloatArray, size: tuple[int, int]) -> View:
    """The view of a mouth, as wide as `conditions.WIDTH`."""
    left, right = (mesh[v, :2] for v in topology.OUTER_EYE_CORNERS)
    unit = float(geometry.head_pose(mesh[None]).scale[0])
    cos, sin = (right - left) / np.linalg.norm(right - left)
    turn = size[0] / (WIDTH * unit) * np.array([[cos, sin], [-sin, cos]])
    middle = np.array(size) / 2 - 0.5
    return View(np.column_stack([turn, middle - turn @ mesh[_CENTRE, :2].mean(0)]), size)


def lips_in(mesh: FloatArray, view: View) -> FloatArray:
    """The inner lips [20,2] px of a mesh as a view shows them."""
    ring = mesh[topology.LIPS_INNER, :2]
    return np.asarray(ring @ view.matrix[:, :2].T + view.matrix[:, 2])


def cut_out(frame: Frame, mesh: FloatArray, size: tuple[int, int]) -> tuple[AnyArray, ...]:
    """One row of `Mouths`, of a frame RGB uint8 [H,W,3] and its mesh [478,3] px."""
    mesh = np.asarray(mesh, np.float64)
    view, pose = upright(mesh, size), geometry.head_pose(mesh[None])
    kind = cv2.INTER_AREA if view.scale < 1 else cv2.INTER_CUBIC
    inside = np.clip(shown(frame, view.matrix, size, kind=kind), 0, 255).astype(np.uint8)
    row = traits(geometry.to_face(mesh[None], pose)[0], pose.rotation[0])
    return inside, lips_in(mesh, view), row, np.mean(cheeks(frame, mesh), axis=0)


class Choice(NamedTuple):
    """Mouths to show: which, how much of each, and how much of all instead of a painted one."""

    which: topology.IndexArray
    weights: FloatArray
    share: float


class Chooser:
    """Chooses frame by frame, so that nothing jumps."""

    def __init__(self, mouths: Mouths) -> None:
        self._traits = mouths.traits
        self._weights: FloatArray | None = None
        self._now = -1

    def choose(self, face: FloatArray, rotation: FloatArray) -> Choice:
        """For a face [478,3], face frame, of a head turned so [3,3]."""
        wanted = traits(face, rotation)
        away = (self._traits - wanted) / UNLIKE
        # What is stretched grows long teeth; what is squeezed only hides some.
        times = np.log(max(wanted[0], LEAST) / self._traits[:, 0])
        away[:, 0] = np.where(times > 0, times / STRETCHED, times / SQUEEZED)
        cost = np.linalg.norm(away, axis=1)
        best = int(cost.argmin())
        if self._weights is None or cost[best] + STAY < cost[self._now]:
            self._now = best
        goal = np.asarray(np.arange(len(cost)) == self._now, float)
        before = goal if self._weights is None else self._weights
        self._weights = before + GIVE_WAY * (goal - before)
        which = np.flatnonzero(self._weights > 0.08)
        weights = self._weights[which] / self._weights[which].sum()
        stretch = wanted[0] / float(self._traits[self._now, 0])
        share = 1 - float(smoothstep((stretch - STRETCH) / (TORN - STRETCH)))
        return Choice(which, weights, share)


def show(mouths: Mouths, choice: Choice, lips: FloatArray, skin: FloatArray) -> Layer:
    """The inside of chosen mouths between other lips [20,2] px, as cut-outs are, RGB [h,w,3].

    skin: RGB [3] of the frame's cheeks.
    """
    height, width = mouths.inside.shape[1:3]
    shown_all = np.zeros((height, width, 3), np.float32)
    for number, weight in zip(choice.which, choice.weights, strict=True):
        places = _places(mouths.lips[number], lips, (width, height))
        gain = np.clip(skin / np.maximum(mouths.skin[number], 1), *GAINS)
        own = sample(mouths.inside[number], places, cv2.INTER_LINEAR)
        shown_all += (weight * gain).astype(np.float32) * own
    return shown_all


def _places(source: FloatArray, target: FloatArray, size: tuple[int, int]) -> Grid:
    """Where each pixel between target lips [20,2] lies between the source's, [h,w,2] px."""
    columns = np.arange(size[0], dtype=float)
    (left, right), (left_there, right_there) = (lips[[0, 10], 0] for lips in (target, source))
    across = (columns - left) / max(right - left, 1.0)
    there = left_there + across * (right_there - left_there)
    top, bottom = _edges(target, columns)
    top_there, bottom_there = _edges(source, there)
    # What the tracker takes for the inner lips includes some of them, here as there; the lips
    # beside go along as they are.
    rows = np.arange(size[1], dtype=float)[:, None]
    gap = np.maximum(bottom - top, 0.5)
    inside = np.clip(rows, top, top + gap)
    squeezed = np.clip(1 - gap / np.maximum(bottom_there - top_there, 0.5), 0, 1)
    soft = SOFT_EDGE * size[0] / WIDTH * squeezed
    top_there, bottom_there = top_there - soft, bottom_there + soft
    y = top_there + (inside - top) / gap * (bottom_there - top_there) + rows - inside
    return np.stack([np.broadcast_to(there, y.shape), y], -1).astype(np.float32)


def _edges(lips: FloatArray, columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Height of the upper and the lower lip [w] at columns [w]."""
    upper, lower = lips[:11], np.concatenate([lips[10:], lips[:1]])[::-1]
    return heights(columns, upper), heights(columns, lower)
