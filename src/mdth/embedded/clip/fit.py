"""A clip's frames for a speech of another length."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from mdth.media.film import Film, FilmFrame
from mdth.options import FITS

SILENCE, CUT, LOOP, BOUNCE, FREEZE = FITS


class Place(NamedTuple):
    """A frame to show: its number in the clip, itself, when, and whether it is the first time."""

    number: int
    frame: FilmFrame
    time_s: Fraction
    first: bool


def play(film: Film, count: int, fit: str) -> Iterator[Place]:
    """The clip's frames, once for `silence` and `cut`, else for ever. Raises UnreadableMedia."""
    step_s, place, began_s = 1 / film.fps, None, Fraction(0)
    for number, frame in zip(range(count), film.frames(), strict=False):
        place = Place(number, frame, frame.time_s, True)
        yield place
    while place is not None and fit == FREEZE:
        place = place._replace(time_s=place.time_s + step_s, first=False)
        yield place
    while place is not None and fit in (LOOP, BOUNCE):
        began_s = place.time_s + step_s
        for number, frame in zip(range(count), film.frames(), strict=False):
            place = Place(number, frame, began_s + frame.time_s, False)
            yield place
