"""A clip as it is: every frame with its own time, as it is shown and as it was decoded."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame

from mdth.artefacts import Frame
from mdth.errors import UnreadableMedia
from mdth.media.video import checked_frames, nominal_rate, open_video, timed


class FilmFrame(NamedTuple):
    """One frame of a clip.

    rgb: uint8 [H,W,3], as it is shown: upright, mirrored if the file says so, pixels square.
    time_s: when it is shown; presentation starts at 0. decoded: the decoder's own, read only.
    """

    rgb: Frame
    time_s: Fraction
    decoded: VideoFrame


@dataclass(frozen=True)
class Film:
    """A clip whose frames are read one by one, none left out and none repeated.

    width, height: px as shown. fps: nominal. duration_s: what the file claims, None if nothing.
    streams: what is in the file besides the pictures, as "audio aac eng".
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    duration_s: float | None
    streams: tuple[str, ...]

    def frames(self) -> Iterator[FilmFrame]:
        """The frames in the order they are shown; none is kept. Raises UnreadableMedia."""
        with open_video(self.path) as track:
            for decoded, time in timed(checked_frames(track), track.start_s, self.fps):
                rgb = np.asarray(decoded.to_ndarray(format="rgb24"), np.uint8)
                yield FilmFrame(rgb, time, decoded)

    @cached_property
    def times_s(self) -> list[Fraction]:
        """When each frame is shown; decodes the clip once."""
        return [frame.time_s for frame in self.frames()]


def open_film(path: Path) -> Film:
    """A clip's size, rate and streams, from its first frame. Raises MissingInput, UnreadableMedia.

    A still is refused: it is a portrait, not a clip.
    """
    with open_video(path) as track:
        first = next(checked_frames(track), None)
        if first is None:
            raise UnreadableMedia(f"{path}: no picture could be decoded")
        fps = nominal_rate(track.stream)
        return Film(path, first.width, first.height, fps, track.declared_s, ())
