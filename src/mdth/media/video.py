"""The pictures of a video, at a constant rate and as a screen shows them."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mdth import guard
from mdth.artefacts import Frame
from mdth.errors import UnreadableMedia
from mdth.media import colour
from mdth.media.container import Track, open_track, pulled
from mdth.media.limits import (
    HIGHEST_FPS,
    LARGEST_CLIP_PIXELS,
    LARGEST_SIDE_PX,
    LONGEST_CLIP_S,
    LOWEST_FPS,
    SMALLEST_SIDE_PX,
)

USUAL_FPS = Fraction(25)
OFF_RATE = 0.1  # an average is off by this much at most through a first or last picture
MOST_OBLONG = 4  # times a pixel is as wide as high, or as high as wide
# A longer hole between two pictures is a damaged time stamp: the next picture follows at once.
LONGEST_GAP_S = 30
MISSING_S = 0.5
HALF = Fraction(1, 2)


@dataclass(frozen=True)
class VideoInfo:
    """The pictures `read_frames` gives: upright, square pixels, even sizes, constant rate.

    duration_s: what the file claims, None if it claims nothing.
    """

    width: int
    height: int
    fps: Fraction
    duration_s: float | None


def probe_video(path: Path) -> VideoInfo:
    """What `read_frames` gives, from the first picture. Raises MissingInput, UnreadableMedia."""
    with open_video(path) as track:
        first = next(checked_frames(track), None)
        if first is None:
            raise UnreadableMedia(f"{path}: no picture could be decoded")
        width, height = _Screen(first, track).size
        return VideoInfo(width, height, nominal_rate(track.stream), track.declared_s)


def read_frames(path: Path) -> Iterator[Frame]:
    """The video's pictures as RGB uint8 [H,W,3], BT.709, as `probe_video` has them.

    Upright or mirrored as the file says, pixels square, whole where they were interlaced, HDR
    brought to the range of a screen. Picture k is the one whose time stamp is nearest to k / fps,
    and is shown until its successor's; presentation starts at 0. A truncated or damaged file gives
    what decodes, with one warning.
    Raises MissingInput, UnreadableMedia.
    """
    with open_video(path) as track:
        fps = nominal_rate(track.stream)
        screen: _Screen | None = None
        count = 0
        for frame, times in _at_ticks(timed(checked_frames(track), track.start_s, fps), fps):
            screen = screen or _Screen(frame, track)
            count += times
            if count > LONGEST_CLIP_S * fps:
                raise UnreadableMedia(
                    f"{path}: the clip is longer than {LONGEST_CLIP_S // 60} minutes; cut it"
                )
            if times:
                yield from itertools.repeat(screen.picture(frame), times)
        track.judge(float(count / fps), "video", missing_s=MISSING_S)


@contextmanager
def open_video(path: Path) -> Iterator[Track]:
    """A clip's pictures, not read yet. Raises MissingInput, UnreadableMedia."""
    with open_track(path, "video") as track:
        _check_size(track.stream.width, track.stream.height, path)
        track.stream.thread_type = "AUTO"
        track.stream.codec_context.options = {"max_pixels": str(LARGEST_CLIP_PIXELS)}
        yield track


def checked_frames(track: Track) -> Iterator[VideoFrame]:
    """The decoded pictures, none interlaced. Raises UnreadableMedia for one that is too large."""
    return _deinterlaced(decoded_frames(track))


def _deinterlaced(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """The pictures, of interlaced ones the first field with its missing lines made (bwdif)."""
    for (interlaced, width, height, kind, time_base), alike in itertools.groupby(frames, _form):
        if not interlaced:
            yield from alike
            continue
        graph = av.filter.Graph()
        form = VideoFormat(kind, width, height)
        source = graph.add_buffer(width=width, height=height, format=form, time_base=time_base)
        bwdif = graph.add("bwdif", "mode=send_frame")
        graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
        for frame in itertools.chain(alike, [None]):
            graph.push(frame)
            yield from pulled(graph)


def _form(frame: VideoFrame) -> tuple[bool, int, int, str, Fraction]:
    time_base = frame.time_base or Fraction(1, 1_000_000)
    return frame.interlaced_frame, frame.width, frame.height, frame.format.name, time_base


def decoded_frames(track: Track) -> Iterator[VideoFrame]:
    """The pictures as they are in the file. Raises UnreadableMedia for one that is too large."""
    for frame in track.decode():
        guard.grow(1 / float(USUAL_FPS))
        _check_size(frame.width, frame.height, track.path)
        yield frame


def _check_size(width: int, height: int, path: Path) -> None:
    sides = (width, height)
    if min(sides) < SMALLEST_SIDE_PX or max(sides) > LARGEST_SIDE_PX:
        raise UnreadableMedia(
            f"{path}: pictures of {width} x {height} px cannot be used; "
            f"a side has {SMALLEST_SIDE_PX} to {LARGEST_SIDE_PX} px"
        )
    if width * height > LARGEST_CLIP_PIXELS:
        raise UnreadableMedia(
            f"{path}: pictures of {width} x {height} px are too large "
            f"(at most {LARGEST_CLIP_PIXELS // 1_000_000} million pixels); scale the clip down"
        )


def nominal_rate(stream: VideoStream) -> Fraction:
    """The nominal rate if the pictures keep to it on average, else the average."""
    # PyAV 18 has None for what is unknown, 19 a number x/0 or 0/1 that is false.
    average, nominal = (
        Fraction(rate.numerator, rate.denominator) if rate else None
        for rate in (stream.average_rate, stream.guessed_rate)
    )
    if average and nominal and abs(nominal / average - 1) < OFF_RATE:
        average = nominal
    for rate in (average, nominal):
        if rate and LOWEST_FPS <= rate <= HIGHEST_FPS:
            return rate
    return USUAL_FPS


def timed(
    frames: Iterator[VideoFrame], zero: Fraction, fps: Fraction
) -> Iterator[tuple[VideoFrame, Fraction]]:
    """Each picture and its presentation time in s, rising; holes too long to be true are closed."""
    shift = -zero
    last: Fraction | None = None
    for frame in frames:
        after = Fraction(0) if last is None else last + 1 / fps
        if frame.pts is None or not frame.time_base:
            time = after
        else:
            time = frame.pts * frame.time_base + shift
        if time - after > LONGEST_GAP_S or (last is not None and after - time > LONGEST_GAP_S):
            shift += after - time
            time = after
        if last is None or time > last:
            last = time
            yield frame, time


def _at_ticks(
    timed: Iterator[tuple[VideoFrame, Fraction]], fps: Fraction
) -> Iterator[tuple[VideoFrame, int]]:
    """Each picture with how many ticks k / fps it is nearest to (0: it is skipped)."""
    tick = 0
    held: tuple[VideoFrame, Fraction] | None = None
    for frame, time in timed:
        if held is not None:
            # The first tick nearer to the next picture: a held one is not replaced early.
            until = -(-max((held[1] + time) / 2 * fps, time * fps - HALF) // 1)
            times = max(0, int(until) - tick)
            yield held[0], times
            tick += times
        held = frame, time
    if held is not None:
        yield held[0], max(0, round(held[1] * fps) + 1 - tick)


class _Screen:
    """How the pictures of a file are shown: as its first one says.

    size: width and height as shown, even.
    """

    def __init__(self, first: VideoFrame, track: Track) -> None:
        aspect = track.stream.sample_aspect_ratio or 1
        if not 1 / MOST_OBLONG <= aspect <= MOST_OBLONG:
            aspect = 1
        self.stored = round(first.width * aspect), first.height
        _check_size(*self.stored, track.path)
        # Where a step along a row and along a column of the file leads on the screen.
        matrix = cast(bytes | None, first.side_data.get("DISPLAYMATRIX"))
        along, down = np.frombuffer(matrix, "<i4", 9).reshape(3, 3)[:2] if matrix else np.eye(2)
        self.turned = abs(along[1]) > abs(along[0])  # rows become columns
        ways = (along[1], down[0]) if self.turned else (down[1], along[0])
        self.steps = [-1 if way < 0 else 1 for way in ways]
        self.tags = first.color_trc, first.color_primaries
        width, height = (side & ~1 for side in self.stored)
        self.size = (height, width) if self.turned else (width, height)

    def picture(self, frame: VideoFrame) -> Frame:
        """RGB [H,W,3] of any of its pictures, scaled as the first one is."""
        wide = colour.needs_conversion(*self.tags)
        width, height = self.stored
        rgb = frame.to_ndarray(format="rgb48le" if wide else "rgb24", width=width, height=height)
        rgb = rgb[: height & ~1, : width & ~1]
        if wide:
            rgb = colour.to_bt709(rgb, *self.tags)
        rows, columns = self.steps
        rgb = (rgb.swapaxes(0, 1) if self.turned else rgb)[::rows, ::columns]
        return np.ascontiguousarray(rgb, dtype=np.uint8)
