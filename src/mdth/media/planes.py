"""A clip's pictures encoded again: the decoder's own planes, changed under patches alone."""

import gc
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags
from av.container import OutputContainer
from av.sidedata.encparams import VideoEncParams
from av.video.frame import PictureType, VideoFrame

from mdth.artefacts import FloatArray, Frame
from mdth.media.container import open_track
from mdth.media.film import Film
from mdth.media.tracks import ENCODER_THREADS

# Frames that are looked at: so many at so many places.
PLACES, FRAMES_EACH = 8, 4
USUAL_CRF, BEST_CRF, WORST_CRF = 18, 14, 21
# x264 is asked for this much finer than the clip's quantiser is where a picture has detail; see
# docs/quality.md. Flat walls are quantised finer in any clip, and B-frames coarser.
FINER, DETAIL = 4, 0.75

# What x264 and x265 write as it is; the rest becomes the nearest of these.
H264_FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p")
HEVC_FORMATS = tuple(f"yuv{s}p{bits}le" for bits in (10, 12) for s in (420, 422, 444))
NEAREST = {"yuva420p": "yuv420p", "yuv411p": "yuv422p", "yuv440p": "yuv444p"}
# Shares of red and blue in the luma (ITU-T H.273, table 4); swscale takes BT.601 for what is not
# named, and so the view does.
_BT601 = 0.299, 0.114
LUMA = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_BT709, _LIMITED, _FULL = 1, 1, 2
# Above this the encoder holds fewer pictures: 0.8 GB for 4K instead of 1.2.
LARGE_PX = 2560 * 1440


class Patch(NamedTuple):
    """New pixels for a part of a frame, placed as the frame is shown.

    x, y: of the left upper corner, px. rgb: uint8 [h,w,3]. alpha: float32 [h,w], 0..1.
    """

    x: int
    y: int
    rgb: Frame
    alpha: FloatArray


class Added(NamedTuple):
    """What is added to luma, blue and red difference, float32 [h,w,3] of 8 bits, at stored x, y."""

    values: FloatArray
    x: int
    y: int


class PlanesTrack:
    """Frames of a clip, encoded as they come, at their own times.

    changed: what of the format could not be kept, in words.
    """

    def __init__(
        self, out: OutputContainer, like: Film, *, crf: int | None, preset: str, changed: list[str]
    ) -> None:
        first = next(like.frames()).decoded
        self.out, self.view, self.fps = out, like.view, like.fps
        name = _encodable(first.format.name)
        if name != first.format.name:
            changed.append(f"pictures as {name}, not {first.format.name}")
        if self.view.stored != (first.width, first.height):
            changed.append("the last row or column of an odd size is left out")
        self.copies = _copies(first, self.view.stored, name)
        self.matrix = _to_yuv(first)
        self.time_base = Fraction(first.time_base or 1 / like.fps)
        self.last = -1
        options = {"crf": str(source_crf(like.path) if crf is None else crf), "preset": preset}
        self.stream = self._stream(first, name, options)

    def _stream(self, first: VideoFrame, name: str, options: dict[str, str]) -> av.VideoStream:
        hevc = name in HEVC_FORMATS
        if hevc:
            options["x265-params"] = f"log-level=error:pools={ENCODER_THREADS}:frame-threads=2"
        if first.width * first.height > LARGE_PX:
            options["rc-lookahead"] = "4"
            options["x264-params"] = "sliced-threads=1:sync-lookahead=0"
        if first.interlaced_frame:
            options["flags"] = "+ildct+ilme"
        stream = self.out.add_stream("libx265" if hevc else "libx264", self.fps, options)
        stream.width, stream.height = self.view.stored
        stream.pix_fmt = name
        if hevc:
            stream.codec_context.codec_tag = "hvc1"  # Apple plays no hev1
        if self.view.matrix is not None:
            stream.set_display_matrix(self.view.matrix)
        context = stream.codec_context
        context.time_base = self.time_base
        context.sample_aspect_ratio = self.view.pixel
        context.thread_type, context.thread_count = "FRAME", ENCODER_THREADS
        context.flags |= Flags.frame_duration
        context.color_range, context.colorspace = _range_and_matrix(first)
        context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
        return stream

    def add(self, decoded: VideoFrame, added: Added | None, time_s: Fraction) -> None:
        """Encode the next frame, shown at `time_s`, with what a patch adds to it."""
        self.copies.push(decoded)
        copy = cast(VideoFrame, self.copies.pull())
        if added is not None:
            add_to_planes(copy, added)
        copy.pict_type = 0
        self.last = max(round(time_s / self.time_base), self.last + 1)
        copy.pts, copy.time_base = self.last, self.time_base
        self.out.mux(self.stream.encode(copy))

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        self.out.mux(self.stream.encode(None))

    def difference(self, rgb: Frame, patch: Patch) -> Added:
        """What a patch adds to a frame that is shown as `rgb`."""
        left, top = max(0, patch.x), max(0, patch.y)
        here = rgb[top : patch.y + patch.alpha.shape[0], left : patch.x + patch.alpha.shape[1]]
        part = np.s_[top - patch.y :, left - patch.x :]
        new, alpha = (a[part][: here.shape[0], : here.shape[1]] for a in (patch.rgb, patch.alpha))
        added = alpha[..., None] * (new.astype(np.float32) - here)
        yuv = np.asarray(cv2.transform(added, self.matrix), np.float32)
        return Added(*self.view.store(yuv, left, top))


def add_to_planes(frame: VideoFrame, added: Added) -> None:
    """Add to a frame's samples; chroma gets the mean of its px, what gets nothing is untouched."""
    values, x, y = added
    bits = frame.format.components[0].bits
    for index, plane in enumerate(frame.planes):
        samples = plane_array(frame, index)
        by_x, by_y = frame.width // plane.width, frame.height // plane.height
        before = (y % by_y, x % by_x)
        after = (-(before[0] + values.shape[0]) % by_y, -(before[1] + values.shape[1]) % by_x)
        channel = np.pad(values[..., index], tuple(zip(before, after, strict=True)))
        high, wide = channel.shape[0] // by_y, channel.shape[1] // by_x
        mean = channel.reshape(high, by_y, wide, by_x).mean((1, 3)) * 2 ** (bits - 8)
        part = samples[y // by_y :, x // by_x :][:high, :wide]
        part[:] = np.clip(np.round(part + mean[: part.shape[0], : part.shape[1]]), 0, 2**bits - 1)


def plane_array(frame: VideoFrame, index: int) -> npt.NDArray[np.unsignedinteger]:
    """The samples of one plane [h,w], uint8 or uint16; not a copy."""
    plane = frame.planes[index]
    kind = np.dtype("u1" if frame.format.components[0].bits == 8 else "<u2")
    rows = np.frombuffer(memoryview(plane), kind)
    rows = rows[: plane.height * plane.line_size // kind.itemsize]
    return np.asarray(rows.reshape(plane.height, -1)[:, : plane.width])


def _encodable(name: str) -> str:
    """The pixel format that is nearest to one, among those that are written."""
    if name in (*H264_FORMATS, *HEVC_FORMATS):
        return name
    return NEAREST.get(name, "yuv420p")


def _copies(first: VideoFrame, size: tuple[int, int], name: str) -> av.filter.Graph:
    """Frames go in, and come out as copies of their own with all that is attached to them."""
    graph = av.filter.Graph()
    base = Fraction(first.time_base or 1)
    nodes = [
        graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=base
        ),
    ]
    if size != (first.width, first.height):
        nodes.append(graph.add("crop", f"{size[0]}:{size[1]}:0:0"))
    if name != first.format.name:
        reach = "limited:out_color_matrix=bt709" if first.format.is_rgb else "auto"
        nodes += [graph.add("scale", f"out_range={reach}"), graph.add("format", name)]
    nodes += [graph.add("copy"), graph.add("buffersink")]
    graph.link_nodes(*nodes).configure()
    return graph


def _range_and_matrix(frame: VideoFrame) -> tuple[int, int]:
    """The colour range and matrix in which a frame is written; what was RGB is BT.709."""
    if frame.format.is_rgb:
        return _LIMITED, _BT709
    full = frame.format.name.startswith("yuvj")
    return _FULL if full else frame.color_range, frame.colorspace


def _to_yuv(frame: VideoFrame) -> FloatArray:
    """Differences of RGB -> of luma, blue and red difference, 8 bits [3,3]."""
    reach, space = _range_and_matrix(frame)
    red, blue = LUMA.get(space, _BT601)
    luma = np.array([red, 1 - red - blue, blue])
    rows = [
        luma,
        (np.array([0, 0, 1]) - luma) / (2 - 2 * blue),
        (np.array([1, 0, 0]) - luma) / (2 - 2 * red),
    ]
    scale = (1, 1, 1) if reach == _FULL else (219 / 255, 224 / 255, 224 / 255)
    return np.asarray(np.array(rows) * np.array(scale)[:, None], np.float32)


def source_crf(path: Path) -> int:
    """The x264 quality that keeps a clip about as good and as large as it is.

    From the quantisers of its H.264 pictures at several places; other codecs do not tell them, and
    get the usual one. Raises MissingInput, UnreadableMedia.
    """
    found: list[float] = []
    with open_track(path, "video") as track:
        if track.stream.codec_context.name != "h264":
            return USUAL_CRF
        track.stream.codec_context.options = {"export_side_data": "venc_params"}
        for place in range(PLACES):
            if place and track.declared_s:
                at_s = float(track.start_s) + track.declared_s * place / PLACES
                track.stream.container.seek(int(at_s * 1_000_000))
            for _, frame in zip(range(FRAMES_EACH), track.decode(), strict=False):
                for data in frame.side_data:
                    if isinstance(data, VideoEncParams) and frame.pict_type != PictureType.B:
                        found.append(float(np.quantile(data.qp_map(), DETAIL)))
            gc.collect()  # PyAV's frames and their side data hold each other, 50 MB each in 8K
    if not found:
        return USUAL_CRF
    return int(np.clip(round(np.mean(found) - FINER), BEST_CRF, WORST_CRF))
