"""The sound of any file: mono at a chosen rate for the model, as it is for the video.

Sample 0 is presentation time 0: encoder delay is dropped, a late start is filled with silence.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.errors import UnreadableMedia
from mdth.media.container import check_codec, open_media, reason, start_time
from mdth.media.kinds import SOUND_CODECS
from mdth.media.limits import (
    HIGHEST_RATE_HZ,
    LOWEST_RATE_HZ,
    MOST_CHANNELS,
    MOST_DAMAGED_PACKETS,
    THREADS,
    Growth,
)

log = logging.getLogger("mdth")

BLOCK_S = 0.5
# Time stamps jitter by less than this in sound files; more is a real hole or overlap.
GAP_S = 0.1
# A longer hole is a damaged time stamp: the sound goes on without it.
LONGEST_GAP_S = 30.0
# Less missing than this is rounding of the declared length.
MISSING_S = 0.3
LOUDEST = 1e5  # full scale is 1.0; files of floats hold anything, and encoders refuse infinity
PYAV_PLANES = 8  # of planar frames of so many channels PyAV makes no array; 18 crashes, 19 raises


@dataclass(frozen=True)
class SoundInfo:
    """What a file says about its sound; `duration_s` is a claim, not a measurement.

    layout: FFmpeg's name of what the channels are, as "stereo" or "5.1(side)".
    """

    duration_s: float | None
    rate_hz: int
    channels: int
    codec: str
    layout: str


def probe_sound(path: Path) -> SoundInfo:
    """What the file says about its first sound stream. Raises MissingInput, UnreadableMedia."""
    with open_media(path) as container:
        stream = _sound_stream(container, path)
        return SoundInfo(
            _declared_s(container, stream),
            stream.rate,
            stream.channels,
            stream.codec_context.name,
            stream.layout.name,
        )


def read_blocks(path: Path, rate_hz: int = SPEECH_RATE_HZ) -> Iterator[FloatArray]:
    """The file's sound as float32 [n] blocks of about 0.5 s, mono, full scale 1.0, lazily decoded.

    A truncated or damaged file gives what decodes, with one warning that says how much.
    Raises MissingInput, UnreadableMedia.
    """
    for block in decode_blocks(path, rate_hz=rate_hz):
        yield block.mean(axis=0)


def decode_blocks(
    path: Path, *, rate_hz: int | None = None, layout: str | None = None, warn: bool = True
) -> Iterator[FloatArray]:
    """The file's sound as float32 [C,n] blocks of about 0.5 s.

    rate_hz, layout: the file's own unless given. warn: say it when less decodes than there should.

    Raises MissingInput, UnreadableMedia.
    """
    with open_media(path) as container:
        stream = _sound_stream(container, path)
        growth = Growth(path, path.stat().st_size)
        converter = _Converter(rate_hz or stream.rate, layout, growth)
        damaged: list[str] = []
        pieces = _presented(container, stream, path, converter, damaged)
        count = 0
        for block in _regroup(pieces, round(BLOCK_S * converter.rate_hz)):
            count += block.shape[1]
            yield block
        if not count:
            why = f" ({damaged[0]})" if damaged else ""
            raise UnreadableMedia(f"{path}: no sound could be decoded{why}")
        if warn:
            _warn(path, count / converter.rate_hz, _declared_s(container, stream), len(damaged))


def _sound_stream(container: InputContainer, path: Path) -> AudioStream:
    if not container.streams.audio:
        raise UnreadableMedia(f"{path}: there is no sound in it")
    stream = container.streams.audio[0]
    check_codec(stream, SOUND_CODECS, path)
    _check_sane(stream.rate, stream.channels, path)
    stream.codec_context.thread_count = THREADS
    return stream


def _check_sane(rate_hz: int, channels: int, path: Path) -> None:
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ or not 1 <= channels <= MOST_CHANNELS:
        raise UnreadableMedia(
            f"{path}: {rate_hz} Hz with {channels} channels is no usable sound; it is damaged"
        )


def _declared_s(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def _presented(
    container: InputContainer,
    stream: AudioStream,
    path: Path,
    converter: "_Converter",
    damaged: list[str],
) -> Iterator[FloatArray]:
    """Pieces [C,n] that lie end to end from presentation time 0."""
    zero = start_time(container)
    clock = Fraction(0)  # presentation time of the next decoded sample, seconds
    for frame in _decoded(container, stream, damaged):
        _check_sane(frame.sample_rate, frame.layout.nb_channels, path)
        converter.layout = converter.layout or frame.layout.name
        start = clock
        if frame.pts is not None and frame.time_base:
            start = frame.pts * frame.time_base - zero
        late = float(start - clock)
        smallest = GAP_S if converter.fed else 1e-6
        if smallest < late <= LONGEST_GAP_S:
            yield from converter.silence_until(start)
            clock = start
        skip = round(-late * frame.sample_rate) if late < -smallest else 0
        part = _part(frame, skip, _shown(frame, stream))
        if part is not None:
            yield from converter.feed(part)
            clock += Fraction(part.samples, frame.sample_rate)
    yield from converter.flush()


def _decoded(
    container: InputContainer, stream: AudioStream, damaged: list[str]
) -> Iterator[AudioFrame]:
    """Every frame that decodes; what does not is noted in `damaged`."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except StopIteration:
            return
        except av.error.EOFError:
            return
        except av.error.InvalidDataError as error:
            damaged.append(reason(error))
            if len(damaged) > MOST_DAMAGED_PACKETS:
                return
            continue
        except (av.FFmpegError, OSError) as error:
            damaged.append(reason(error))
            return
        for frame in frames:
            if isinstance(frame, AudioFrame) and frame.samples:
                yield frame


def _warn(path: Path, decoded_s: float, declared_s: float | None, damaged: int) -> None:
    """Say once how much is used, if it is less than there should be."""
    if declared_s and declared_s - decoded_s > MISSING_S:
        log.warning(
            "%s: damaged or cut off; using the %.2f s of %.2f s that decode",
            *(path, decoded_s, declared_s),
        )
    elif damaged:
        log.warning(
            "%s: damaged in %d places; using the %.2f s that decode", path, damaged, decoded_s
        )


class _Converter:
    """Decoded frames to float32 [C,n] at one rate and layout, whatever the frames change to.

    They are interleaved first because of `PYAV_PLANES`.
    """

    def __init__(self, rate_hz: int, layout: str | None, growth: Growth) -> None:
        self.rate_hz = rate_hz
        self.layout = layout
        self.growth = growth
        self.fed = False
        self._written = 0
        self._resampler: AudioResampler | None = None
        self._input: tuple[str, str, int] | None = None

    def feed(self, frame: AudioFrame) -> Iterator[FloatArray]:
        """Convert one frame; its time stamp is not looked at."""
        self.fed = True
        channels = frame.layout.nb_channels
        self.growth.add(frame.samples, channels=channels, rate_hz=frame.sample_rate)
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._input:
            yield from self.flush()
            self._resampler = AudioResampler("flt", self.layout, self.rate_hz)
            self._input = kind
        frame.pts = None
        assert self._resampler is not None
        yield from self._count(self._resampler.resample(frame))

    def flush(self) -> Iterator[FloatArray]:
        """What the resampler still holds."""
        if self._resampler is not None:
            yield from self._count(self._resampler.resample(None))
        self._resampler = self._input = None

    def silence_until(self, time_s: Fraction) -> Iterator[FloatArray]:
        """Silence up to a presentation time."""
        yield from self.flush()
        missing = round(time_s * self.rate_hz) - self._written
        if missing > 0 and self.layout is not None:
            self._written += missing
            channels = av.AudioLayout(self.layout).nb_channels
            self.growth.add(missing, channels=channels, rate_hz=self.rate_hz)
            yield np.zeros((channels, missing), np.float32)

    def _count(self, frames: list[AudioFrame]) -> Iterator[FloatArray]:
        for frame in frames:
            self._written += frame.samples
            values = cast(FloatArray, frame.to_ndarray()).reshape(-1, frame.layout.nb_channels).T
            yield np.clip(np.nan_to_num(values, nan=0.0), -LOUDEST, LOUDEST)


def _shown(frame: AudioFrame, stream: AudioStream) -> int:
    """How many samples of the frame belong to the sound: at the end of an MP4 some are padding."""
    if frame.pts is None or not frame.duration or not stream.duration or not stream.time_base:
        return frame.samples
    last = frame.pts + frame.duration >= stream.duration + (stream.start_time or 0)
    exact = stream.time_base <= Fraction(1, frame.sample_rate)
    if not last or not exact:
        return frame.samples
    return min(frame.samples, round(frame.duration * stream.time_base * frame.sample_rate))


def _part(frame: AudioFrame, start: int, stop: int) -> AudioFrame | None:
    """Samples `start` to `stop` of the frame, None if that is nothing."""
    if start >= stop:
        return None
    whole = start == 0 and stop == frame.samples
    if whole or (frame.format.is_planar and frame.layout.nb_channels >= PYAV_PLANES):
        return frame
    step = 1 if frame.format.is_planar else frame.layout.nb_channels
    values = frame.to_ndarray()[:, start * step : stop * step].copy()
    part = AudioFrame.from_ndarray(values, frame.format.name, frame.layout.name)
    part.sample_rate = frame.sample_rate
    return part


def _regroup(pieces: Iterator[FloatArray], size: int) -> Iterator[FloatArray]:
    """The same samples in blocks [C,size], the last one shorter."""
    held: list[FloatArray] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += piece.shape[1]
        if count < size:
            continue
        joined = np.concatenate(held, axis=1)
        whole = count - count % size
        for start in range(0, whole, size):
            yield np.ascontiguousarray(joined[:, start : start + size])
        held, count = [joined[:, whole:].copy()], count - whole
    if count:
        yield np.ascontiguousarray(np.concatenate(held, axis=1))
