"""Tracks [T,...] in time: gaps filled, another rate, to and fro for ever, within limits."""

import logging
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.errors import NoFaceFound

log = logging.getLogger("mdth")


def bounce(index: int, length: int) -> int:
    """Forwards and backwards for ever: 0 1 2 2 1 0 0 1 ... for length 3."""
    step = index % (2 * length)
    return step if step < length else 2 * length - 1 - step


def between(track: FloatArray, position: float) -> FloatArray:
    """The entry [...] at a position of a track [T,...] that goes to and fro, on straight lines."""
    index = int(position)
    now, then = track[bounce(index, len(track))], track[bounce(index + 1, len(track))]
    return np.asarray(now + (position - index) * (then - now))


def as_found(found: list[bool]) -> npt.NDArray[np.bool_]:
    """In which of a clip's frames a face was found, [T]. Raises NoFaceFound where in none."""
    if not any(found):
        raise NoFaceFound(
            f"no face in the clip's {len(found)} frames; use a clip that shows one from the front"
        )
    if not all(found):
        log.info("no face in %d of %d frames of the clip", found.count(False), len(found))
    return np.array(found)


def filled(track: FloatArray, found: npt.NDArray[np.bool_]) -> FloatArray:
    """Entries [F,...] of the found frames -> of all frames [T,...] of `found` [T].

    On straight lines between two found ones, as the nearest before the first and after the last.
    """
    at, frames = np.flatnonzero(found), np.arange(len(found))
    place = np.clip(np.interp(frames, at, np.arange(len(at))), 0, len(at) - 1)
    before = np.floor(place).astype(np.intp)
    after = np.minimum(before + 1, len(at) - 1)
    share = (place - before).reshape(-1, *[1] * (track.ndim - 1))
    return np.asarray(track[before] + share * (track[after] - track[before]))


def filled_rotations(track: FloatArray, found: npt.NDArray[np.bool_]) -> FloatArray:
    """The same for rotations [F,3,3]: what lies between is the nearest rotation, least squares."""
    return nearest_rotations(filled(track, found))


def nearest_rotations(matrices: FloatArray) -> FloatArray:
    """The rotations [...,3,3] nearest to matrices [...,3,3], least squares."""
    u, _, vt = np.linalg.svd(matrices)
    turn = np.ones(matrices.shape[:-1])
    turn[..., 2] = np.sign(np.linalg.det(u @ vt))
    return np.asarray((u * turn[..., None, :]) @ vt)


def limit(track: FloatArray, low: float, high: float) -> FloatArray:
    """Shrink and shift a track [T] just enough that all of it lies in [low, high].

    Shrinks about the middle of its range; a track that fits is left alone.
    """
    least, most = float(track.min()), float(track.max())
    middle = (least + most) / 2
    shrink = min(1.0, (high - low) / max(most - least, 1e-12))
    half = (most - least) / 2 * shrink
    shifted = float(np.clip(middle, low + half, high - half))
    limited: FloatArray = shifted + (track - middle) * shrink
    return np.clip(limited, low, high)


def resampled(entries: Iterator[FloatArray], *, rate: float, wanted: float) -> Iterator[FloatArray]:
    """Entries that come `rate` a second, as `wanted` a second, on straight lines between them."""
    made = 0
    before = None
    for place, now in enumerate(entries):
        before = now if before is None else before
        while made * rate / wanted <= place:
            yield before + (now - before) * (made * rate / wanted - place + 1)
            made += 1
        before = now
