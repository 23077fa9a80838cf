"""The pictures of a video, at a constant rate and upright."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mdth import guard
from mdth.artefacts import Frame
from mdth.errors import UnreadableMedia
from mdth.media.container import Track, open_track
from mdth.media.kinds import CLIP_CODECS
from mdth.media.limits import (
    HIGHEST_FPS,
    LARGEST_CLIP_PIXELS,
    LARGEST_SIDE_PX,
    LONGEST_CLIP_S,
    LOWEST_FPS,
    SMALLEST_SIDE_PX,
)
from mdth.media.writer import RawWriter, VideoWriter

__all__ = ["RawWriter", "VideoInfo", "VideoWriter", "probe_video", "read_frames"]

USUAL_FPS = Fraction(25)
OFF_RATE = 0.1  # an average is off by this much at most through a first or last picture
# A longer hole between two pictures is a damaged time stamp: the next picture follows at once.
LONGEST_GAP_S = 30
MISSING_S = 0.5


@dataclass(frozen=True)
class VideoInfo:
    """The pictures `read_frames` gives: upright, even sizes, constant rate.

    duration_s: what the file claims, None if it claims nothing.
    """

    width: int
    height: int
    fps: Fraction
    duration_s: float | None


def probe_video(path: Path) -> VideoInfo:
    """What `read_frames` gives, from the first picture. Raises MissingInput, UnreadableMedia."""
    with _open_video(path) as track:
        first = next(_checked(track), None)
        if first is None:
            raise UnreadableMedia(f"{path}: no picture could be decoded")
        width, height = first.width & ~1, first.height & ~1
        if _quarter_turns(first) % 2:
            width, height = height, width
        return VideoInfo(width, height, _rate(track.stream), track.declared_s)


def read_frames(path: Path) -> Iterator[Frame]:
    """The video's pictures as RGB uint8 [H,W,3], upright, sides even, at `probe_video`'s fps.

    Picture k is the one whose time stamp is nearest to k / fps; presentation starts at 0. A
    truncated or damaged file gives what decodes, with one warning.
    Raises MissingInput, UnreadableMedia.
    """
    with _open_video(path) as track:
        fps = _rate(track.stream)
        first: VideoFrame | None = None
        count = 0
        for frame, times in _at_ticks(_timed(_checked(track), track.start_s, fps), fps):
            first = first or frame
            count += times
            if count > LONGEST_CLIP_S * fps:
                raise UnreadableMedia(
                    f"{path}: the clip is longer than {LONGEST_CLIP_S // 60} minutes; cut it"
                )
            if times:
                yield from itertools.repeat(_picture(frame, like=first), times)
        track.judge(float(count / fps), "video", missing_s=MISSING_S)


@contextmanager
def _open_video(path: Path) -> Iterator[Track]:
    with open_track(path, "video", CLIP_CODECS) as track:
        _check_size(track.stream.width, track.stream.height, path)
        track.stream.thread_type = "AUTO"
        track.stream.codec_context.options = {"max_pixels": str(LARGEST_CLIP_PIXELS)}
        yield track


def _checked(track: Track) -> Iterator[VideoFrame]:
    """The decoded pictures. Raises UnreadableMedia for one that is too large."""
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


def _rate(stream: VideoStream) -> Fraction:
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


def _timed(
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
            until = -(-(held[1] + time) / 2 * fps // 1)  # first tick nearer to the next picture
            times = max(0, int(until) - tick)
            yield held[0], times
            tick += times
        held = frame, time
    if held is not None:
        yield held[0], max(0, round(held[1] * fps) + 1 - tick)


def _quarter_turns(frame: VideoFrame) -> int:
    """How often to turn it counter-clockwise by 90 degrees, 0 to 3; files name any angle."""
    return round(frame.rotation / 90) % 4


def _picture(frame: VideoFrame, *, like: VideoFrame) -> Frame:
    """RGB [H,W,3], even; turned upright and scaled as the file's first picture is."""
    rgb = frame.to_ndarray(format="rgb24", width=like.width, height=like.height)
    rgb = rgb[: rgb.shape[0] & ~1, : rgb.shape[1] & ~1]
    return np.ascontiguousarray(np.rot90(rgb, _quarter_turns(like)), dtype=np.uint8)
