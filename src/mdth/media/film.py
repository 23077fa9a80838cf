"""A clip as it is: every frame with its own time, as it is shown and as it was decoded."""

import itertools
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av.container import InputContainer
from av.stream import Stream
from av.video.frame import VideoFrame

from mdth.artefacts import Frame
from mdth.errors import InputError, UnreadableMedia
from mdth.media.container import Track
from mdth.media.image import is_picture
from mdth.media.limits import LARGEST_DUBBED_PIXELS, LONGEST_CLIP_S
from mdth.media.video import View, decoded_frames, nominal_rate, open_video, timed

log = logging.getLogger("mdth")

# Frames that are held to be shown backwards take no more.
HELD_BYTES = 200_000_000
# Some files are found a place in too late: it is sought so much earlier then.
BACK_S = (0, 2, 10)


class FilmFrame(NamedTuple):
    """One frame of a clip.

    rgb: uint8 [H,W,3], as it is shown: upright, mirrored if the file says so, pixels square. Of
    HDR it has the values as they are coded, of interlaced frames both fields.
    time_s: when it is shown; presentation starts at 0. decoded: the decoder's own, read only.
    """

    rgb: Frame
    time_s: Fraction
    decoded: VideoFrame


@dataclass(frozen=True)
class Film:
    """A clip whose frames are read one by one, none left out and none repeated.

    fps: nominal. duration_s: what the file claims, None if nothing. view: how it is shown.
    form: width, height and pixel format of the first frame, which all get.
    streams: what is in the file besides the pictures, as "audio aac (eng)".
    """

    path: Path
    fps: Fraction
    duration_s: float | None
    view: View
    form: tuple[int, int, str]
    streams: tuple[str, ...]

    @property
    def width(self) -> int:
        """Of the frames as they are shown, px."""
        return self.view.shown[0]

    @property
    def height(self) -> int:
        """Of the frames as they are shown, px."""
        return self.view.shown[1]

    def frames(self, first: int = 0) -> Iterator[FilmFrame]:
        """The frames from a number on, as they are shown; none is kept. Raises UnreadableMedia."""
        with open_video(self.path) as track:
            yield from itertools.starmap(self._shown, islice(self._decoded(track), first, None))

    def at(self, numbers: Collection[int]) -> Iterator[tuple[int, FilmFrame]]:
        """The frames of these numbers, which come with them; no other one is made a picture."""
        with open_video(self.path) as track:
            decoded = enumerate(islice(self._decoded(track), max(numbers) + 1))
            yield from ((k, self._shown(*one)) for k, one in decoded if k in numbers)

    def backwards(self, stamps: Sequence[int | None]) -> Iterator[FilmFrame]:
        """The frames whose `decoded.pts` these are, all from the first on, the last one first.

        As many as fit are decoded at once, from the key frame before them where the file has one.
        """
        fit = max(8, HELD_BYTES // (3 * self.width * self.height))
        for end in range(len(stamps), 0, -fit):
            first = max(0, end - fit)
            held = next(filter(None, (self._sought(stamps[first:end], s) for s in BACK_S)), None)
            if held is None:
                with open_video(self.path) as track:
                    held = list(islice(self._decoded(track), first, end))
            while held:
                yield self._shown(*held.pop())

    def _sought(
        self, stamps: Sequence[int | None], back_s: int = 0
    ) -> list[tuple[VideoFrame, Fraction]] | None:
        """The frames of these time stamps and when they are shown, None where seeking fails."""
        first, last = stamps[0], stamps[-1]
        if first is None or last is None or None in stamps:
            return None
        with open_video(self.path) as track, suppress(av.FFmpegError):
            base = Fraction(track.stream.time_base or 1 / self.fps)
            track.stream.container.seek(first - round(back_s / base), stream=track.stream)
            read = takewhile(lambda frame: (frame.pts or 0) <= last, decoded_frames(track))
            held = [self._alike(frame) for frame in read if frame.pts in stamps]
            if [frame.pts for frame in held] == list(stamps):
                return [(one, (one.pts or 0) * base - track.start_s) for one in held]
        return None

    def _shown(self, decoded: VideoFrame, time_s: Fraction) -> FilmFrame:
        rgb = np.asarray(decoded.to_ndarray(format="rgb24"), np.uint8)
        return FilmFrame(self.view.show(rgb), time_s, decoded)

    def _decoded(self, track: Track) -> Iterator[tuple[VideoFrame, Fraction]]:
        """Frames of the first one's size and format, and their times."""
        time_s = None
        for frame, time_s in timed(decoded_frames(track), track.start_s, self.fps):
            if time_s > LONGEST_CLIP_S:
                raise UnreadableMedia(
                    f"{self.path}: the clip is longer than {LONGEST_CLIP_S // 60} minutes; cut it"
                )
            yield self._alike(frame), time_s
        seen_s = 0 if time_s is None else time_s + 1 / self.fps
        track.judge(float(seen_s), "video", missing_s=0.5)

    def _alike(self, frame: VideoFrame) -> VideoFrame:
        alike = (frame.width, frame.height, frame.format.name) == self.form
        return frame if alike else frame.reformat(*self.form)


def open_film(path: Path) -> Film:
    """A clip's size, rate and streams, from its first frames. Raises MissingInput, UnreadableMedia.

    A still is an InputError: it speaks as a portrait does, by `talk`.
    """
    try:
        with open_video(path) as track:
            frames = decoded_frames(track)
            if (first := next(frames, None)) is None:
                raise UnreadableMedia(f"{path}: no picture could be decoded")
            if first.width * first.height > LARGEST_DUBBED_PIXELS:
                raise InputError(
                    f"{path}: pictures of {first.width} x {first.height} px are too large to be "
                    "written again; scale the clip down to 4K"
                )
            view = View.of(first, track.stream)
            others = tuple(described(stream) for stream in others_of(track))
            form = first.width, first.height, first.format.name
            film = Film(path, nominal_rate(track.stream), track.declared_s, view, form, others)
            still = next(frames, None) is None
    except UnreadableMedia:
        still = is_picture(path)
        if not still:
            raise
    if still:
        raise InputError(f"{path}: shows a single picture and no motion; a picture speaks by talk")
    return film


def others_of(track: Track) -> list[Stream]:
    """The file's streams but the one of a track."""
    container = cast(InputContainer, track.stream.container)
    return [stream for stream in container.streams if stream.index != track.stream.index]


def described(stream: Stream) -> str:
    """A stream in a few words: "audio aac (eng)"."""
    codec = stream.codec_context.name if stream.codec_context else "of no known kind"
    language = stream.language not in (None, "und") and f" ({stream.language})"
    return f"{stream.type} {codec}{language or ''}"
