"""A live avatar in a pipeline of Pipecat's, run by its own `run_test`."""

import asyncio
from typing import Any

import numpy as np
import pytest

from mdth.live_session import LiveSession
from tests.test_live import Echo

pytest.importorskip("pipecat", reason="the extra pipecat is not installed")
from pipecat.frames.frames import (  # noqa: E402
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    SpeechOutputAudioRawFrame,
    TextFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.tests.utils import SleepFrame, run_test  # noqa: E402

from mdth.integrations.pipecat import AvatarProcessor  # noqa: E402


def speech(seconds: float, *, channels: int = 1) -> list[Frame]:
    """As a synthesizer sends it, 24 kHz, in pieces."""
    piece = np.full(2400 * channels, 8000, np.int16).tobytes()
    return [TTSAudioRawFrame(piece, 24_000, channels) for _ in range(round(seconds * 10))]


def sent(*frames: Frame) -> list[Any]:
    """What comes down the pipeline."""
    processor = AvatarProcessor(LiveSession(Echo(), pace=True))
    down, up = asyncio.run(run_test(processor, frames_to_send=frames, start_timeout=30))
    assert not [frame for frame in up if isinstance(frame, TTSAudioRawFrame)]
    assert not [it for it in down if isinstance(it, TTSAudioRawFrame | TTSStoppedFrame)]
    return list(down)


def loud(frames: list[Any]) -> np.ndarray:
    """Which samples are."""
    parts = [frame.audio for frame in frames if isinstance(frame, SpeechOutputAudioRawFrame)]
    return np.abs(np.frombuffer(b"".join(parts), np.int16)) > 6000


@pytest.mark.parametrize("channels", [1, 2])
def test_all_is_said_before_the_end_each_picture_before_its_sound(channels: int) -> None:
    frames = sent(
        TTSStartedFrame(), *speech(0.4, channels=channels), TTSStoppedFrame(), TextFrame("x"),
        *speech(0.3), TTSStoppedFrame(),
    )  # fmt: skip
    assert loud(frames).sum() == pytest.approx(0.7 * 16_000, abs=200)
    assert [type(it) for it in frames if isinstance(it, TTSStartedFrame | TextFrame)] == [
        TTSStartedFrame, TextFrame,
    ]  # fmt: skip
    shown = [it for it in frames if isinstance(it, OutputImageRawFrame | SpeechOutputAudioRawFrame)]
    pairs = list(zip(shown[::2], shown[1::2], strict=True))
    for image, sound in pairs:
        assert image.sync_with_audio and image.size == (2, 2) and image.format == "RGB"
        assert (sound.sample_rate, sound.num_channels, sound.num_frames) == (16_000, 1, 640)
        level = np.abs(np.frombuffer(sound.audio, np.int16)).max() / 32768
        assert abs(max(image.image) - 100 * level) < 2
    assert len(pairs) >= 18


def test_an_interruption_drops_what_was_not_said() -> None:
    frames = sent(*speech(3), SleepFrame(0.5), InterruptionFrame(), SleepFrame(0.3))
    (cut,) = (n for n, frame in enumerate(frames) if isinstance(frame, InterruptionFrame))
    assert 0 < loud(frames[:cut]).sum() < 2 * 16_000
    assert not loud(frames[cut:]).any() and len(frames) > cut + 5
