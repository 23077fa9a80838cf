"""The pictures of a video, at a constant rate and as a screen shows them."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import cv2
import numpy as np
from av.stream import Stream
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mdth import guard
from mdth.artefacts import FloatArray, Frame
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


class View(NamedTuple):
    """How stored pixels are shown: transposed, then mirrored, then made square.

    stored, shown: width and height, px; stored sides are even.
    matrix: the display matrix as the file has it, nine integers, or None.
    """

    stored: tuple[int, int]
    shown: tuple[int, int]
    transposed: bool
    across: bool
    down: bool
    pixel: Fraction
    matrix: tuple[int, ...] | None

    @classmethod
    def of(cls, frame: VideoFrame, stream: Stream) -> "View":
        """What a clip's first frame and its stream say."""
        data = cast(bytes | None, frame.side_data.get("DISPLAYMATRIX"))
        matrix = tuple(np.frombuffer(data, "<i4", 9).tolist()) if data else None
        a, b, _, c, d = (matrix or (1, 0, 0, 0, 1))[:5]
        transposed = abs(b) + abs(c) > abs(a) + abs(d)
        across, down = (c < 0, b < 0) if transposed else (a < 0, d < 0)
        pixel = Fraction(getattr(stream, "sample_aspect_ratio", None) or 1)
        if not Fraction(1, MOST_OBLONG) <= pixel <= MOST_OBLONG:
            pixel = Fraction(1)
        stored = width, height = frame.width & ~1, frame.height & ~1
        # The picture grows: no pixel of a face is lost.
        shown = round(width * max(pixel, Fraction(1))), round(height / min(pixel, Fraction(1)))
        shown = shown[::-1] if transposed else shown
        return cls(stored, shown, transposed, across, down, pixel, matrix)

    def show(self, picture: Frame) -> Frame:
        """A stored picture [h,w,3] as it is shown [H,W,3]."""
        picture = picture[: self.stored[1], : self.stored[0]]
        upright = picture.swapaxes(0, 1) if self.transposed else picture
        upright = upright[:: -1 if self.down else 1, :: -1 if self.across else 1]
        if self.pixel != 1:
            upright = np.asarray(cv2.resize(upright, self.shown), np.uint8)
        return np.ascontiguousarray(upright)

    def store(self, values: FloatArray, x: int, y: int) -> tuple[FloatArray, int, int]:
        """Values [h,w,C] that are shown at x, y, in stored pixels, with their place there.

        Where pixels are not square they are resampled; what was zero around them stays zero.
        """
        if self.pixel != 1:
            values, x, y = self._squeezed(values, x, y)
        width, height = self.stored[::-1] if self.transposed else self.stored
        if self.across:
            values, x = values[:, ::-1], width - x - values.shape[1]
        if self.down:
            values, y = values[::-1], height - y - values.shape[0]
        return (values.swapaxes(0, 1), y, x) if self.transposed else (values, x, y)

    def _squeezed(self, values: FloatArray, x: int, y: int) -> tuple[FloatArray, int, int]:
        wide, high = self.stored[::-1] if self.transposed else self.stored
        scale = np.array([wide, high]) / self.shown
        low = np.floor(np.array([x, y]) * scale).astype(int)
        size = np.array(values.shape[1::-1])
        high_end = np.minimum(np.ceil((np.array([x, y]) + size) * scale), (wide, high)).astype(int)
        # Centres of stored pixels, between centres of shown ones.
        places = [
            ((np.arange(first, last) + 0.5) / by - 0.5 - start).astype(np.float32)
            for first, last, by, start in zip(low, high_end, scale, (x, y), strict=True)
        ]
        across, down = np.meshgrid(*places)
        taken = cv2.remap(values, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(taken, np.float32), int(low[0]), int(low[1])


def probe_video(path: Path) -> VideoInfo:
    """What `read_frames` gives, from the first picture. Raises MissingInput, UnreadableMedia."""
    with open_video(path) as track:
        first = next(checked_frames(track), None)
        if first is None:
            raise UnreadableMedia(f"{path}: no picture could be decoded")
        width, height = (side & ~1 for side in _view(first, track).shown)
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
        view: View | None = None
        count = 0
        for frame, times in _at_ticks(timed(checked_frames(track), track.start_s, fps), fps):
            if view is None:
                view, size = _view(frame, track), (frame.width, frame.height)
                tags = frame.color_trc, frame.color_primaries
            count += times
            if count > LONGEST_CLIP_S * fps:
                raise UnreadableMedia(
                    f"{path}: the clip is longer than {LONGEST_CLIP_S // 60} minutes; cut it"
                )
            if times:
                yield from itertools.repeat(_picture(frame, view, size, tags), times)
        track.judge(float(count / fps), "video", missing_s=MISSING_S)


def _view(first: VideoFrame, track: Track) -> View:
    view = View.of(first, track.stream)
    _check_size(*view.shown, track.path)
    return view


def _picture(frame: VideoFrame, view: View, size: tuple[int, int], tags: tuple[int, int]) -> Frame:
    """RGB [H,W,3], sides even, of a frame; size, tags: what the first one has, its colours' too."""
    wide = colour.needs_conversion(*tags)
    kind, (width, height) = "rgb48le" if wide else "rgb24", size
    rgb = frame.to_ndarray(format=kind, width=width, height=height)
    shown = view.show(colour.to_bt709(rgb, *tags) if wide else np.asarray(rgb, np.uint8))
    return np.ascontiguousarray(shown[: shown.shape[0] & ~1, : shown.shape[1] & ~1])


@contextmanager
def open_video(path: Path) -> Iterator[Track]:
    """A clip's pictures, not read yet. Raises MissingInput, UnreadableMedia."""
    with open_track(path, "video") as track:
        _check_size(track.stream.width, track.stream.height, path)
        track.stream.thread_type = "AUTO"
        track.stream.codec_context.options = {"max_pixels": str(LARGEST_CLIP_PIXELS)}
        yield track


def checked_frames(track: Track) -> Iterator[VideoFrame]:
    """The decoded pictures, of interlaced ones the first field, its missing lines made (bwdif).

    Raises UnreadableMedia for one that is too large.
    """
    forms = itertools.groupby(decoded_frames(track), _form)
    for (interlaced, width, height, kind, time_base), alike in forms:
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
