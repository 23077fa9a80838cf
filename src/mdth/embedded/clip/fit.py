"""A clip's frames for a speech of another length."""

from collections.abc import Iterator
from typing import NamedTuple

from mdth.media.film import Film, FilmFrame

SILENCE, CUT, LOOP, BOUNCE, FREEZE = FITS = ("silence", "cut", "loop", "bounce", "freeze")


class Place(NamedTuple):
    """A frame to show: its number in the clip, itself, when, and whether it is the first time."""

    number: int
    frame: FilmFrame
    time_s: float
    first: bool


def play(film: Film, count: int, fit: str) -> Iterator[Place]:
    """The clip's frames, once for `silence` and `cut`, else for ever. Raises UnreadableMedia."""
    step_s, last, began_s, time_s = 1 / float(film.fps), None, 0.0, 0.0
    for number, frame in enumerate(film.frames()):
        if number == count:
            break
        time_s, last = float(frame.time_s), Place(number, frame, float(frame.time_s), True)
        yield last
    while last is not None and fit in (LOOP, BOUNCE, FREEZE):
        began_s = time_s + step_s
        if fit == FREEZE:
            time_s = began_s
            yield Place(last.number, last.frame, time_s, False)
            continue
        backward = film.frames()
        for number, frame in enumerate(backward):
            if number == count:
                break
            time_s = began_s + float(frame.time_s)
            yield Place(number, frame, time_s, False)
