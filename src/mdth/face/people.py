"""Faces seen in frames -> people: who is who from frame to frame, through cuts and crossings."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.face import geometry, topology, worn

# The patch that is compared: px per eye distance in it, and its size when compared.
UNIT, LOOK = 45, (10, 8)
# Lab levels between two looks in the half that is more alike, since somebody may stand before the
# other: 95 % of pairs of one person's differ by less than 9.2, 1 % of pairs of two people's by less
# than 11.1 (46 clips).
SAME_LOOK = 10.0
# How far a head may be from where it was expected, in eye distances, and how this grows while it
# is not seen; how strongly it is expected to keep its speed and its look.
REACH, REACH_PER_S, KEEPS = 0.8, 3.0, 0.8
FURTHEST = 3.0
FOREHEAD, CHIN = 10, 152


class Sighting(NamedTuple):
    """A face in a frame.

    row: where its mesh is kept. place: its middle, x y px. size: eye distance, px. height: of the
    face, px. look: float16 [8,10,3]. opening: of the lips, eye distances. yaw: degrees. sharp: how
    much detail it shows. cover: how likely the mouth is covered, NaN where it was not looked at.
    """

    frame: int
    row: int
    place: FloatArray
    size: float
    height: float
    look: FloatArray
    opening: float
    yaw: float
    sharp: float
    cover: float


class Person:
    """Someone, with every sighting in time."""

    def __init__(self, first: Sighting) -> None:
        self.seen = [first]
        self.look = first.look.astype(np.float32)
        self.speed = np.zeros(2)  # px a frame

    def add(self, now: Sighting, *, same_shot: bool) -> None:
        """Note that this person was seen again."""
        last = self.seen[-1]
        way = (now.place - last.place) / (now.frame - last.frame) if same_shot else 0.0
        self.speed = KEEPS * self.speed + (1 - KEEPS) * way if same_shot else np.zeros(2)
        self.look = 0.95 * self.look + 0.05 * now.look
        self.seen.append(now)

    def strangeness(self, now: Sighting, *, fps: float, same_shot: bool) -> float:
        """How unlike this person a sighting is; above 1 it is somebody else."""
        last = self.seen[-1]
        columns = np.abs(self.look - now.look).mean((0, 2))
        look = float(columns.reshape(2, -1).mean(1).min()) / SAME_LOOK
        if not same_shot:
            return look
        gap = now.frame - last.frame
        expected = last.place + self.speed * min(gap, fps / 2)
        away = float(np.linalg.norm(now.place - expected)) / last.size
        reach = min(REACH + REACH_PER_S * (gap - 1) / fps, FURTHEST)
        # A head that hardly moved between two frames is the same in any light.
        look = look if gap > 1 or away > REACH / 4 else 0.5 * look
        return max(away / reach, 0.5 * (away / reach + look), look - 0.5)


def told_apart(
    sightings: Sequence[Sequence[Sighting]], shot: Sequence[int], fps: float
) -> list[Person]:
    """The people of a clip, from the sightings in each of its frames and each frame's shot."""
    people: list[Person] = []
    for here in sightings:
        left = list(here)
        pairs = sorted(
            (strange, number, index)
            for number, person in enumerate(people)
            for index, now in enumerate(here)
            if (strange := _strangeness(person, now, shot, fps)) < 1
        )
        taken: set[int] = set()
        for _, number, index in pairs:
            if number not in taken and any(here[index] is one for one in left):
                person = people[number]
                same = shot[person.seen[-1].frame] == shot[here[index].frame]
                person.add(here[index], same_shot=same)
                taken.add(number)
                left = [one for one in left if one is not here[index]]
        people += [Person(one) for one in left]
    return people


def _strangeness(person: Person, now: Sighting, shot: Sequence[int], fps: float) -> float:
    same_shot = shot[person.seen[-1].frame] == shot[now.frame]
    return person.strangeness(now, fps=fps, same_shot=same_shot)


def sighting(frame: Frame, mesh: FloatArray, *, number: int, row: int, cover: float) -> Sighting:
    """What is noted of a face `mesh` [478,3] px in an RGB frame."""
    pose = geometry.head_pose(mesh[None])
    face = geometry.to_face(mesh[None], pose)[0]
    middle = mesh[list(topology.OUTER_EYE_CORNERS), :2].mean(0)
    down = mesh[CHIN, :2] - mesh[FOREHEAD, :2]
    patch = worn.upright(frame, mesh, unit=UNIT, middle=middle + 0.15 * down)[0]
    lab = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB)
    inner = lab[40:130, 55:145, 0]
    return Sighting(
        frame=number,
        row=row,
        place=np.asarray(middle, np.float64),
        size=float(geometry.eye_distance(mesh)),
        height=float(np.linalg.norm(mesh[CHIN] - mesh[FOREHEAD])),
        look=cv2.resize(lab, LOOK, interpolation=cv2.INTER_AREA).astype(np.float16),
        opening=float(geometry.lip_opening(face)),
        yaw=float(geometry.euler_deg(pose.rotation)[0, 0]),
        sharp=float(cv2.Laplacian(inner, cv2.CV_32F).std()),
        cover=cover,
    )
