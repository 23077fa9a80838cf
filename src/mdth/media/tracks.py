"""The two tracks of an mp4: pictures as H.264, sound as AAC."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import OutputContainer

from mdth.artefacts import Frame
from mdth.media.audio import decode_blocks, probe_sound

AAC_RATES_HZ = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
)  # fmt: skip
# Those that every player of AAC knows; of other sounds the voice is written, as one channel.
AAC_LAYOUTS = {name: name for name in ("mono", "stereo", "3.0", "4.0", "5.0", "5.1")} | {
    "5.0(side)": "5.0",
    "5.1(side)": "5.1",
}
# x264 makes other bytes with other numbers of threads; its own choice depends on the machine.
ENCODER_THREADS = 3
OTHER_RATE_HZ = 48_000
BITS_PER_CHANNEL = 128_000
# BT.601 chroma in limited range (16 to 240), as cv2 has the luma; cv2's own conversion takes the
# chroma of one pixel in four where the mean is due.
_CHROMA = np.array(
    [
        [-0.168736 * 224 / 255, -0.331264 * 224 / 255, 0.5 * 224 / 255, 128],
        [0.5 * 224 / 255, -0.418688 * 224 / 255, -0.081312 * 224 / 255, 128],
        [0, 0, 0, 0],  # OpenCV takes an eighth of the time for three channels
    ],
    np.float32,
)
_BT709, _SMPTE170M, _LIMITED = 1, 6, 1


class PictureTrack:
    """RGB pictures, encoded as they come, picture k at k / fps."""

    def __init__(
        self, out: OutputContainer, size: tuple[int, int], fps: Fraction, options: dict[str, str]
    ) -> None:
        self.out = out
        self.stream = out.add_stream("libx264", rate=fps, options=options)
        self.stream.width, self.stream.height = size
        self.stream.pix_fmt = "yuv420p"
        context = self.stream.codec_context
        context.time_base = 1 / fps
        context.thread_type = "FRAME"
        context.thread_count = ENCODER_THREADS
        context.color_range = _LIMITED
        context.colorspace = _SMPTE170M
        context.color_primaries = context.color_trc = _BT709
        self.count = 0

    def add(self, rgb: Frame) -> None:
        """Encode the next picture, RGB uint8 [H,W,3]."""
        frame = av.VideoFrame.from_ndarray(to_yuv420p(rgb), "yuv420p")
        frame.colorspace, frame.color_range = _SMPTE170M, _LIMITED
        frame.color_primaries = frame.color_trc = _BT709
        frame.pts, frame.time_base = self.count, self.stream.codec_context.time_base
        self.count += 1
        self.out.mux(self.stream.encode(frame))

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        self.out.mux(self.stream.encode(None))


class SoundTrack:
    """The sound of a file, encoded alongside the pictures."""

    def __init__(self, out: OutputContainer, path: Path) -> None:
        info = probe_sound(path)
        self.out = out
        self.rate_hz = info.rate_hz if info.rate_hz in AAC_RATES_HZ else OTHER_RATE_HZ
        usual = {1: "mono", 2: "stereo"}.get(info.channels, "mono")
        self.layout = AAC_LAYOUTS.get(info.layout) or usual
        # What is damaged has been said when the speech was read.
        self.blocks = decode_blocks(path, rate_hz=self.rate_hz, layout=self.layout, warn=False)
        channels = av.AudioLayout(self.layout).nb_channels
        self.stream = out.add_stream("aac", rate=self.rate_hz, layout=self.layout)
        most = 6144 * self.rate_hz // 1024  # bits a second and channel that AAC allows
        self.stream.bit_rate = channels * min(BITS_PER_CHANNEL, most)
        self.held = np.zeros((channels, 0), np.float32)
        self.count = 0

    def add_until(self, time_s: Fraction) -> None:
        """Encode the blocks that end by `time_s`."""
        while self.count + self.held.shape[1] <= time_s * self.rate_hz:
            self._encode()
            if (block := next(self.blocks, None)) is None:
                return
            self.held = block

    def finish(self, length_s: Fraction, *, slack: Fraction) -> None:
        """Encode the rest, cut or filled to `length_s` if it differs by more than `slack`."""
        wanted = round(length_s * self.rate_hz) - self.count
        for block in self.blocks:
            self.held = np.concatenate([self.held, block], axis=1)
            if self.held.shape[1] > wanted + slack * self.rate_hz:
                break
        missing = wanted - self.held.shape[1]
        if abs(missing) > slack * self.rate_hz:
            self.held = np.pad(self.held, ((0, 0), (0, max(0, missing))))[:, :wanted]
        self._encode()
        self.out.mux(self.stream.encode(None))

    def _encode(self) -> None:
        """Encode what is held; the encoder makes its own blocks of it."""
        if not self.held.shape[1]:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(self.held), "fltp", self.layout)
        frame.sample_rate = self.rate_hz
        frame.pts, frame.time_base = self.count, Fraction(1, self.rate_hz)
        self.count += self.held.shape[1]
        self.held = self.held[:, :0]
        self.out.mux(self.stream.encode(frame))


def to_yuv420p(rgb: Frame) -> Frame:
    """RGB [H,W,3] as planar limited-range BT.601 [H*3/2,W].

    swscale does the same in 1.6 ms at 512 px and 14 ms at 1280; this takes 0.4 and 2.7 ms.
    """
    height, width = rgb.shape[:2]
    planes: Frame = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
    half = cv2.resize(rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    chroma = cv2.transform(half, _CHROMA)
    for plane, into in enumerate(planes[height:].reshape(2, *half.shape[:2])):
        cv2.extractChannel(chroma, plane, into)
    return planes
