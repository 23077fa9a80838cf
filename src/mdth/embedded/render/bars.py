"""Plain bars at a picture's edges, as players and editors leave them: they are no part of it."""

from dataclasses import replace

import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait

# Half of the pixels in a row of a bar are so near to its median, levels; few differ by more than
# the second, as where a JPEG rings beside an edge.
PLAIN, DIFFERS, STRAY = 2, 12, 0.15
# Those of what it ends at differ so from the bar's in so much of the length, within so many rows:
# hair before a plain wall begins with a few pixels.
PART, SHARP_PX = 1 / 3, 4


def inside(picture: Frame) -> tuple[slice, slice]:
    """Rows and columns of an RGB uint8 [H,W,3] between its bars; all where there are none."""
    rows = _between(picture)
    return rows, _between(picture[rows].swapaxes(0, 1))


def without(portrait: Portrait) -> tuple[Portrait, tuple[slice, slice]]:
    """A portrait without its bars, its mesh in px of what is left, and which part that is."""
    part = rows, columns = inside(portrait.image)
    if portrait.image[part].shape == portrait.image.shape:
        return portrait, part
    moved = np.array([columns.start, rows.start, 0], portrait.mesh.dtype)
    person = None if portrait.person is None else np.ascontiguousarray(portrait.person[part])
    image = np.ascontiguousarray(portrait.image[part])
    return replace(portrait, image=image, person=person, mesh=portrait.mesh - moved), part


def _between(picture: Frame) -> slice:
    """The rows between a bar at the top and one at the bottom."""
    top, bottom = _thick(picture), _thick(picture[::-1])
    return slice(top, len(picture) - bottom)


def _thick(picture: Frame) -> int:
    """Rows of the bar at the top; 0 where none ends sharply."""
    colour = np.median(picture[0], axis=0)
    for thick, row in enumerate(picture):
        own = np.median(row, axis=0)
        if np.median(np.abs(row - own)) > PLAIN or _differs(row, own) > STRAY:
            ends = [_differs(row, colour) > PART for row in picture[thick : thick + SHARP_PX]]
            return thick + ends.index(True) if thick and any(ends) else 0
        colour = own
    return 0


def _differs(row: Frame, colour: FloatArray) -> float:
    """In how much of a row [W,3]."""
    return float((np.abs(row - colour) > DIFFERS).any(-1).mean())
