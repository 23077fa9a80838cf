"""LiveKit Agents' own AvatarRunner runs a live avatar; only the room is a stand-in."""

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mdth.live_session import LiveSession
from tests.test_live import Echo

pytest.importorskip("livekit.agents", reason="the extra livekit is not installed")
from livekit import rtc  # noqa: E402
from livekit.agents.voice.avatar import (  # noqa: E402
    AudioSegmentEnd,
    AvatarRunner,
    QueueAudioOutput,
)

from mdth.integrations.livekit import AvatarVideo  # noqa: E402

RATE = 24_000


async def _nothing(*_: object, **__: object) -> Any:
    return SimpleNamespace(wait_for_subscription=_nothing)


class Call:
    """An avatar in a room; given: what it gave, in order. ends: what the agent is told."""

    async def __aenter__(self) -> "Call":
        room: Any = SimpleNamespace(
            on=lambda *_: None, off=lambda *_: None, isconnected=lambda: True,
            local_participant=SimpleNamespace(publish_track=_nothing),
        )  # fmt: skip
        self.voice = QueueAudioOutput(sample_rate=RATE)
        self.video = AvatarVideo(LiveSession(Echo()))
        self.given: list[Any] = []
        self.ends: list[tuple[float, bool]] = []
        self.voice.on(
            "playback_finished",
            lambda ev: self.ends.append((round(ev.playback_position, 2), ev.interrupted)),
        )
        self.runner = AvatarRunner(
            room, audio_recv=self.voice, video_gen=self._seen(), options=self.video.options
        )
        await self.runner.start()
        return self

    def _seen(self) -> AvatarVideo:
        given, real = self.given, self.video

        class Seen(AvatarVideo):
            async def __aiter__(self) -> Any:
                async for frame in AvatarVideo.__aiter__(real):
                    given.append(frame)
                    yield frame

        seen = Seen.__new__(Seen)
        seen.__dict__ = real.__dict__
        return seen

    async def say(self, seconds: float, *, channels: int = 1) -> None:
        for _ in range(round(seconds / 0.02)):
            tone = np.full(480 * channels, 8000, np.int16)
            await self.voice.capture_frame(rtc.AudioFrame(tone.tobytes(), RATE, channels, 480))

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(60):
            while not what():
                await asyncio.sleep(0.01)

    async def __aexit__(self, *_: object) -> None:
        await self.video.aclose()
        await self.runner.aclose()

    def sound(self, since: int = 0) -> np.ndarray:
        parts = [np.frombuffer(it.data, np.int16) for it in self.given[since:] if is_sound(it)]
        return np.concatenate([np.zeros(0, np.int16), *parts])


def is_sound(it: object) -> bool:
    return isinstance(it, rtc.AudioFrame)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_segment_is_said_and_its_end_told_once(channels: int) -> None:
    async def call() -> None:
        async with Call() as it:
            await it.until(lambda: len(it.given) > 3)
            assert not it.sound().size, "no sound while it is silent"
            await it.say(0.5, channels=channels)
            it.voice.flush()
            await it.until(lambda: it.ends)
            await it.say(0.25)
            it.voice.flush()
            await it.until(lambda: len(it.ends) == 2)
        assert [interrupted for _, interrupted in it.ends] == [False, False]
        assert [end for end, _ in it.ends] == pytest.approx([0.52, 0.28], abs=0.05)
        assert sum(isinstance(frame, AudioSegmentEnd) for frame in it.given) == 2
        loud = np.abs(it.sound()) > 6000
        assert loud.sum() == pytest.approx(0.75 * 16_000, abs=200)
        # The picture beside each piece of sound is of that sound.
        pairs = zip(it.given, it.given[1:], strict=False)
        shown = [np.frombuffer(b.data, np.uint8).max() for a, b in pairs if is_sound(a)]
        assert len(shown) == len(it.sound()) // 640 and min(shown) > 20

    asyncio.run(call())


def test_segments_that_come_at_once_end_one_by_one() -> None:
    async def call() -> None:
        async with Call() as it:
            for seconds in (0.3, 0.3):
                await it.say(seconds)
                it.voice.flush()
            await it.until(lambda: sum(isinstance(f, AudioSegmentEnd) for f in it.given) == 2)
        ends = [n for n, frame in enumerate(it.given) if isinstance(frame, AudioSegmentEnd)]
        assert it.sound()[:4000].any() and any(map(is_sound, it.given[ends[0] : ends[1]]))

    asyncio.run(call())


def test_after_an_interruption_nothing_stale_comes_and_no_end() -> None:
    async def call() -> None:
        async with Call() as it:
            await it.say(3.0)
            await it.until(lambda: it.sound().size)
            it.voice.flush()  # as an agent does whom somebody interrupts
            it.voice.clear_buffer()
            await it.until(lambda: it.ends)
            cut = len(it.given)
            await it.until(lambda: len(it.given) > cut + 10)
            assert it.ends[0][1] and it.ends[0][0] < 2
            assert not it.sound(cut).size
            assert not any(isinstance(frame, AudioSegmentEnd) for frame in it.given)
            await it.say(0.3)
            it.voice.flush()
            await it.until(lambda: len(it.ends) == 2)
            assert not it.ends[1][1]

    asyncio.run(call())
