"""Two videos frame by frame: how far pictures and faces are apart.

For who has frames of the published code: `mdth compare OLD.mp4 NEW.mp4`.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mdth.artefacts import Frame
from mdth.errors import InputError
from mdth.face import landmarks68
from mdth.face.tracker import FaceTracker
from mdth.media.video import probe_video, read_frames

HEADER = f"{'frame':>7} {'PSNR dB':>8} {'68 landmarks, px: mean':>23} {'largest':>8}"
WHITE, NOTHING = 255.0, float("nan")


def report(old: Path, new: Path) -> Iterator[str]:
    """A line for each frame that both have, then what is worst and usual.

    Landmarks are tracked in each frame by itself. Raises MdthError: a file cannot be read, or the
    sizes differ.
    """
    (width, height), size = ((info.width, info.height) for info in map(probe_video, (old, new)))
    if (width, height) != size:
        sizes = f"is {size[0]}x{size[1]}, and {old} {width}x{height}"
        raise InputError(f"{new}: {sizes}; give the same size")
    yield HEADER
    rows, more = [], 0
    with FaceTracker() as tracker:
        for one, other in itertools.zip_longest(read_frames(old), read_frames(new)):
            if one is None or other is None:
                more += -1 if other is None else 1
                continue
            rows.append((psnr_db(one, other), *apart_px(tracker, one, other)))
            yield f"{len(rows):7d} {_row(*rows[-1])}"
    seen = [row for row in rows if not np.isnan(row[1])]
    faceless = len(rows) - len(seen)
    pictures, means, ends = (
        [row[axis] for row in some] for axis, some in enumerate((rows, seen, seen))
    )
    yield f"  worst {_row(min(pictures), max(means, default=NOTHING), max(ends, default=NOTHING))}"
    middle = [float(np.median(column)) if column else NOTHING for column in (pictures, means, ends)]
    yield f" median {_row(*middle)}"
    if faceless:
        yield f"no face in {faceless} of {len(rows)} frames of one or the other"
    if more:
        yield f"{new if more > 0 else old} has {abs(more)} frames more; these are not compared"


def psnr_db(one: Frame, other: Frame) -> float:
    """Peak signal-to-noise ratio; infinite where both are the same."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float(10 * np.log10(WHITE**2 / error)) if error else float("inf")


def apart_px(tracker: FaceTracker, one: Frame, other: Frame) -> tuple[float, float]:
    """Mean and largest distance of the 68 landmarks; not a number where a face is not found."""
    faces = tracker.faces(one), tracker.faces(other)
    if not all(faces):
        return NOTHING, NOTHING
    marks = [landmarks68.from_mesh(found[0])[:, :2] for found in faces]
    away = np.linalg.norm(marks[0] - marks[1], axis=1)
    return float(away.mean()), float(away.max())


def _row(decibels: float, mean: float, largest: float) -> str:
    return f"{decibels:8.1f} {mean:23.2f} {largest:8.2f}".replace("nan", "  -")
