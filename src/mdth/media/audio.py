"""The sound of any file: mono at a chosen rate for the model, as it is for the video.

Sample 0 is presentation time 0: encoder delay is dropped, a late start is filled with silence.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from mdth import guard
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.errors import UnreadableMedia
from mdth.media.container import Track, open_track, pulled
from mdth.media.limits import HIGHEST_RATE_HZ, LONGEST_SOUND_S, LOWEST_RATE_HZ, MOST_CHANNELS

# A channel under this share of the loudest one's energy is silent: the voice is not spread over it.
SILENT = 0.01
# With so much more energy in the difference of two channels than in their sum, they are opposite.
OPPOSITE = 10.0
BASS = ("LFE", "LFE2")

log = logging.getLogger("mdth")

BLOCK_S = 0.5
# Time stamps jitter by less than this in sound files; more is a real hole or overlap.
GAP_S = 0.1
# A longer hole is a damaged time stamp: the sound goes on without it.
LONGEST_GAP_S = 30.0
# Less missing than this is rounding of the declared length.
MISSING_S = 0.3
LOUDEST = 1e5  # full scale is 1.0; files of floats hold anything, and encoders refuse infinity
# What full scale is in a file of floats that were copied from integers.
INTEGER_SCALES = (2.0**15, 2.0**23, 2.0**31)
LEAST_INTEGER = 100.0  # floats that go no further are only loud
PYAV_PLANES = 8  # of planar frames of so many channels PyAV makes no array; 18 crashes, 19 raises


@dataclass(frozen=True)
class SoundInfo:
    """What a file says about its sound; `duration_s` is a claim, not a measurement.

    layout: FFmpeg's name of what the channels are, as "stereo" or "5.1(side)".
    """

    duration_s: float | None
    rate_hz: int
    channels: int
    layout: str


def probe_sound(path: Path) -> SoundInfo:
    """What the file says about its first sound stream. Raises MissingInput, UnreadableMedia."""
    with _open_sound(path) as track:
        stream = track.stream
        return SoundInfo(track.declared_s, stream.rate, stream.channels, stream.layout.name)


def read_blocks(path: Path, rate_hz: int = SPEECH_RATE_HZ) -> Iterator[FloatArray]:
    """The file's sound as float32 [n] blocks of about 0.5 s, mono, full scale 1.0, lazily decoded.

    A truncated or damaged file gives what decodes, with one warning that says how much.
    Raises MissingInput, UnreadableMedia.
    """
    for block in decode_blocks(path, rate_hz=rate_hz, layout="mono"):
        yield block[0]


def decode_blocks(
    path: Path, *, rate_hz: int | None = None, layout: str | None = None, warn: bool = True
) -> Iterator[FloatArray]:
    """The file's sound as float32 [C,n] blocks of about 0.5 s.

    rate_hz, layout: the file's own unless given; "mono" is `Mixdown`'s. warn: say it when less
    decodes than there should.

    Raises MissingInput, UnreadableMedia.
    """
    full_scale = _full_scale(path, warn=warn)
    with _open_sound(path) as track:
        rate_hz = rate_hz or cast(int, track.stream.rate)
        count = 0
        for block in _converted(_placed(track), rate_hz, layout):
            count += block.shape[1]
            guard.grow(block.shape[1] / rate_hz)
            block /= full_scale
            yield np.clip(np.nan_to_num(block, copy=False, nan=0.0), -LOUDEST, LOUDEST)
        if warn or not count:
            track.judge(count / rate_hz, "sound", missing_s=MISSING_S)


@contextmanager
def _open_sound(path: Path) -> Iterator[Track]:
    with open_track(path, "audio") as track:
        _check_sane(track.stream.rate, track.stream.channels, path)
        yield track


def _full_scale(path: Path, *, warn: bool) -> float:
    """1, or what it is in a file of floats whose samples are those of integers."""
    count, above, peak = 0, 0, 0.0
    with _open_sound(path) as track:
        if not track.stream.codec_context.name.startswith("pcm_f"):
            return 1.0
        for frame in track.decode():
            values = np.abs(np.nan_to_num(frame.to_ndarray(), posinf=0, neginf=0))
            count += int(np.count_nonzero(values))
            above += int(np.count_nonzero(values >= 1))
            peak = max(peak, float(values.max(initial=0)))
    if peak < LEAST_INTEGER or 2 * above <= count:
        return 1.0
    full_scale = next((s for s in INTEGER_SCALES if peak <= s), INTEGER_SCALES[-1])
    if warn:
        log.warning("%s: floats up to %.0f; read as integers of %.0f", path, peak, full_scale)
    return full_scale


def _check_sane(rate_hz: int, channels: int, path: Path) -> None:
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ or not 1 <= channels <= MOST_CHANNELS:
        raise UnreadableMedia(
            f"{path}: {rate_hz} Hz with {channels} channels is no usable sound; it is damaged"
        )


def _placed(track: Track) -> Iterator[AudioFrame]:
    """Decoded frames with their presentation times in samples of their own rate."""
    length_s = Fraction(0)  # of what was given and the silence in its holes
    clock = shift = Fraction(0)  # where the next frame follows, and how much later it is, seconds
    kind: tuple[str, str, int] | None = None
    for decoded in track.decode():
        if not decoded.samples:
            continue
        _check_sane(decoded.sample_rate, decoded.layout.nb_channels, track.path)
        start = clock
        if decoded.pts is not None and decoded.time_base:
            start = decoded.pts * decoded.time_base - track.start_s + shift
        if start - clock > LONGEST_GAP_S:
            start = clock
        if clock - start > GAP_S:  # nothing is lost where another recording follows
            shift += clock - start
            start = clock
        frame = _shown(decoded, track.stream)
        if frame is None:
            continue
        rate_hz, late = frame.sample_rate, start - clock
        placed = kind != _kind(frame) or abs(late) > GAP_S  # else it follows at once
        count = frame.samples + (round(max(late, Fraction(0)) * rate_hz) if placed else 0)
        length_s += Fraction(count, rate_hz)
        if length_s > LONGEST_SOUND_S:
            hours = LONGEST_SOUND_S // 3600
            raise UnreadableMedia(f"{track.path}: the sound is longer than {hours} hours; cut it")
        clock = (start if placed else clock) + Fraction(frame.samples, rate_hz)
        frame.pts, frame.time_base = round(start * rate_hz), Fraction(1, rate_hz)
        kind = _kind(frame)
        yield frame


def _converted(
    frames: Iterator[AudioFrame], rate_hz: int, layout: str | None
) -> Iterator[FloatArray]:
    """Float32 blocks [C,n] at one rate and layout, end to end from time 0; holes are silent.

    They are interleaved in between because of `PYAV_PLANES`.
    """
    written = 0
    for (kind, given, given_hz), alike in groupby(frames, _kind):
        mix = Mixdown(given) if layout == "mono" else None
        layout = layout or given
        graph = av.filter.Graph()
        # Its times are in samples that come in, 1e-6 s the least that is filled at the start.
        # No decimal points: the process may be a program in a language that writes commas.
        first = round(Fraction(written * given_hz, rate_hz))
        filled = f"async=1:min_comp=1e-6:min_hard_comp={GAP_S * 1000:.0f}e-3:first_pts={first}"
        form = f"sample_fmts=flt:sample_rates={rate_hz}:channel_layouts={given if mix else layout}"
        graph.link_nodes(
            graph.add_abuffer(
                sample_rate=given_hz, format=kind, layout=given, time_base=Fraction(1, given_hz)
            ),
            graph.add("aresample", f"{rate_hz}:{filled}"),
            graph.add("aformat", form),
            graph.add("asetnsamples", f"{round(BLOCK_S * rate_hz)}:pad=0"),
            graph.add("abuffersink"),
        ).configure()
        for frame in chain(alike, [None]):
            graph.push(frame)
            for piece in pulled(graph):
                written += piece.samples
                values = cast(FloatArray, piece.to_ndarray())
                values = np.ascontiguousarray(values.reshape(-1, piece.layout.nb_channels).T)
                yield mix(values) if mix else values


def _kind(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _shown(frame: AudioFrame, stream: AudioStream) -> AudioFrame | None:
    """What of the frame belongs to the sound: at the end of an MP4 some is padding."""
    if frame.pts is None or not frame.duration or not stream.duration or not stream.time_base:
        return frame
    last = frame.pts <= stream.duration + (stream.start_time or 0) <= frame.pts + frame.duration
    exact = stream.time_base <= Fraction(1, frame.sample_rate)
    count = round(frame.duration * stream.time_base * frame.sample_rate)
    planar, channels = frame.format.is_planar, frame.layout.nb_channels
    if not last or not exact or count >= frame.samples or (planar and channels >= PYAV_PLANES):
        return frame
    if count <= 0:
        return None
    values = frame.to_ndarray()[:, : count * (1 if planar else channels)].copy()
    part = AudioFrame.from_ndarray(values, frame.format.name, frame.layout.name)
    part.sample_rate = frame.sample_rate
    return part


class Mixdown:
    """The voice in channels [C,n], block by block; what is heard by now decides.

    Two channels give their mean, or half their difference where they cancel each other. Of more,
    the centre speaks; where it is silent, the mean of those that are not.
    """

    def __init__(self, layout: str) -> None:
        names = [channel.name for channel in av.AudioLayout(layout).channels]
        self.treble = np.array([name not in BASS for name in names])
        self.centre = names.index("FC") if "FC" in names else None
        self.power = np.zeros((len(names), len(names)))

    def __call__(self, block: FloatArray) -> FloatArray:
        """The next block [C,n] as [1,n]."""
        self.power += block @ block.T
        return (self._weights().astype(block.dtype) @ block)[None]

    def _weights(self) -> FloatArray:
        energy = self.power.diagonal() * self.treble
        if len(energy) == 2:
            both, across = energy.sum(), 2 * self.power[0, 1]
            opposite = both - across > OPPOSITE * (both + across)
            return np.array([0.5, -0.5 if opposite else 0.5])
        heard = self.treble & (energy >= SILENT * energy.max())
        if self.centre is not None and heard[self.centre]:
            heard = np.arange(len(energy)) == self.centre
        return np.asarray(heard / max(1, heard.sum()))
