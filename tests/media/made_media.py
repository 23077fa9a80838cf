"""Sounds and clips that the tests make, and what is measured in them."""

import wave
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CLICK_HZ, CLICK_S = 1000, 0.02


def clicks(times_s: list[float], *, rate_hz: int, length_s: float) -> np.ndarray:
    """Silence float32 [n] with bursts of a 1 kHz tone."""
    sound = np.zeros(round(length_s * rate_hz), np.float32)
    burst = np.sin(2 * np.pi * CLICK_HZ * np.arange(round(CLICK_S * rate_hz)) / rate_hz)
    for time in times_s:
        start = round(time * rate_hz)
        sound[start : start + len(burst)] = 0.5 * burst
    return sound


def click_offsets_s(sound: np.ndarray, times_s: list[float], *, rate_hz: int) -> list[float]:
    """How much later than expected each burst is found, by correlation."""
    burst = clicks([0.0], rate_hz=rate_hz, length_s=CLICK_S)
    reach = round(0.2 * rate_hz)
    offsets = []
    for time in times_s:
        start = round(time * rate_hz)
        first = max(0, start - reach)
        score = np.correlate(sound[first : start + reach + len(burst)], burst, "valid")
        offsets.append((first + int(np.argmax(score)) - start) / rate_hz)
    return offsets


def tone(seconds: float, *, rate_hz: int = 16_000) -> np.ndarray:
    """A tone of 220 Hz, float32 [n]."""
    at = np.arange(round(rate_hz * seconds)) / rate_hz
    return (0.4 * np.sin(2 * np.pi * 220 * at)).astype(np.float32)


def make_wav(path: Path, sound: np.ndarray, *, rate_hz: int = 16_000) -> Path:
    channels = np.atleast_2d(sound)
    levels = np.round(np.clip(channels, -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(levels.T.tobytes())
    return path


def make_sound(
    path: Path,
    sound: np.ndarray,
    *,
    codec: str,
    rate_hz: int,
    layout: str = "mono",
    bit_rate: int | None = None,
    written: dict[str, str] | None = None,
    title: str = "",
) -> Path:
    """Encode samples float32 [n] (all channels alike) in any codec and container FFmpeg writes.

    written: the container's options. title: of the file and of its stream.
    """
    channels = np.repeat(sound, av.AudioLayout(layout).nb_channels)[None]
    frame = av.AudioFrame.from_ndarray(channels, "flt", layout)
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
    options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", container_options=options | (written or {})) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout=layout)
        _tell(title, out, stream)
        context = stream.codec_context
        if bit_rate:
            context.bit_rate = bit_rate
        context.options = {"strict": "-2"}
        converter = av.AudioResampler(
            context.format, layout, rate_hz, frame_size=context.frame_size or None
        )
        for piece in [*converter.resample(frame), *converter.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


def _tell(title: str, out: av.container.OutputContainer, stream: av.stream.Stream) -> None:
    if title:
        out.metadata["title"] = title
        stream.metadata.update(title=title, handler_name=title)


def make_clip(
    path: Path,
    frames: Iterable[np.ndarray],
    times: Iterable[Fraction | float],
    *,
    rotation_deg: int = 0,
    hflip: bool = False,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    title: str = "",
    clock_hz: int = 90_000,
    **context: object,
) -> Path:
    """Encode RGB frames [H,W,3] with any time stamps (s); seen rotated counter-clockwise.

    options: the encoder's. title: of the file and of its stream. clock_hz: how fine times are.
    context: what else is set of the encoder, as the tags of colours.
    """
    with av.open(str(path), "w") as out:
        stream = None
        for rgb, time in zip(frames, times, strict=False):
            if stream is None:
                options = {"preset": "ultrafast"} | (options or {})
                stream = out.add_stream(codec, rate=min(30, clock_hz), options=options)
                stream.height, stream.width = rgb.shape[:2]
                stream.pix_fmt = pix_fmt
                # As many as there are cores give other pictures on other machines.
                stream.codec_context.thread_count = 1
                for name, value in context.items():
                    setattr(stream.codec_context, name, value)
                stream.codec_context.time_base = Fraction(1, clock_hz)
                _tell(title, out, stream)
                if rotation_deg or hflip:
                    stream.set_display_rotation(rotation_deg, hflip=hflip)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            frame.pts, frame.time_base = round(time * clock_hz), Fraction(1, clock_hz)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
