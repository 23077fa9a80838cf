"""A clip's frames for a speech of another length."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from typing import NamedTuple

import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.face import geometry, topology
from mdth.media.film import Film, FilmFrame
from mdth.options import FITS

SILENCE, CUT, LOOP, BOUNCE, FREEZE = FITS
# A loop begins anew where the head is as at the end, in this part of the clip at its beginning, and
# the last frame gives way to that in so many frames.
BEGINNING, DISSOLVE = 0.6, 6


class Place(NamedTuple):
    """A frame to show: its number in the clip, itself, when, and whether it is the first time.

    before: what gives way to it, RGB uint8 [H,W,3], by this share.
    """

    number: int
    frame: FilmFrame
    time_s: Fraction
    first: bool = False
    before: Frame | None = None
    share: float = 0.0


def play(film: Film, meshes: FloatArray, fit: str) -> Iterator[Place]:
    """The clip's frames, once for `silence` and `cut`, else for ever. Raises UnreadableMedia.

    meshes: [T,478,3] px of its T frames, NaN where there is no face.
    """
    count, step_s, place = len(meshes), 1 / film.fps, None
    stamps: list[int | None] = []
    for number, frame in zip(range(count), film.frames(), strict=False):
        place = Place(number, frame, frame.time_s, first=True)
        if fit == BOUNCE:
            stamps.append(frame.decoded.pts)
        yield place
    if place is None or fit not in (LOOP, BOUNCE, FREEZE):
        return
    time_s = place.time_s
    again = _like_the_last(meshes[: place.number + 1]) if fit == LOOP else 0
    while True:
        if fit == LOOP:
            more = _forwards(film, again, count, place.frame.rgb)
        else:
            more = _to_and_fro(film, stamps) if fit == BOUNCE else iter([place])
        for shown in more:
            time_s += step_s
            yield shown._replace(time_s=time_s, first=False)


def _forwards(film: Film, first: int, count: int, before: Frame) -> Iterator[Place]:
    numbers = range(first, count)
    for past, (number, frame) in enumerate(zip(numbers, film.frames(first), strict=False), 1):
        share = max(0.0, 1 - past / DISSOLVE)
        yield Place(number, frame, frame.time_s, before=before if share else None, share=share)


def _to_and_fro(film: Film, stamps: Sequence[int | None]) -> Iterator[Place]:
    numbers = range(len(stamps))
    there = zip(numbers[::-1], film.backwards(stamps), strict=False)
    back = zip(numbers, film.frames(), strict=False)
    yield from (Place(number, one, one.time_s) for number, one in chain(there, back))


def _like_the_last(meshes: FloatArray) -> int:
    """The number of an early frame whose head is most like that of the last one; 0 without one."""
    early = np.asarray(meshes[: max(1, int(BEGINNING * len(meshes))), topology.RIGID, :2])
    last = np.asarray(meshes[-1], np.float64)
    away = np.linalg.norm(early - last[topology.RIGID, :2], axis=-1).mean(-1)
    unlike = away / geometry.eye_distance(last)
    return int(np.nanargmin(unlike)) if np.isfinite(unlike).any() else 0
