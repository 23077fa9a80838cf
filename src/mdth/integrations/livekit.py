"""A live avatar as the VideoGenerator of LiveKit Agents; the extra `livekit` (docs/live.md)."""

import asyncio
from collections.abc import AsyncIterator

from mdth.errors import MissingDependency
from mdth.integrations import pcm
from mdth.live_session import SPEAKING, LiveFrame, LiveSession

try:
    from livekit import rtc
    from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarOptions, VideoGenerator
except ImportError as error:
    raise MissingDependency("LiveKit is not here; run: pip install 'mdth[livekit]'") from error


class AvatarVideo(VideoGenerator):
    """What a live session shows and says, without an end; sound only while it speaks.

    A segment's end is told once, when its last sound was given. After `clear_buffer` nothing of
    what was pushed comes, nor an end.
    """

    def __init__(self, session: LiveSession) -> None:
        """Takes over a session."""
        width, height = session.size
        self.options = AvatarOptions(width, height, session.fps, session.sound_hz, 1)
        self._session, self._cleared = session, 0

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Of any rate and number of channels."""
        if isinstance(frame, AudioSegmentEnd):
            self._session.end_of_speech()
        elif frame.samples_per_channel:
            sound = pcm.mono(frame.data, frame.num_channels)
            self._session.push(sound, rate_hz=frame.sample_rate)

    def clear_buffer(self) -> None:
        """Stop speaking: the mouth shuts."""
        self._session.interrupt()
        self._cleared += 1

    async def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        """At the pace of the session, or without `pace` at that of whoever takes them."""
        while True:
            cleared = self._cleared
            frame, speaks, ended = await asyncio.to_thread(self._next)
            if frame is None:
                return
            height, width = frame.picture.shape[:2]
            if speaks and cleared == self._cleared:
                data, count = pcm.of_sound(frame.sound).tobytes(), len(frame.sound)
                yield rtc.AudioFrame(data, self._session.sound_hz, 1, count)
            yield rtc.VideoFrame(width, height, rtc.VideoBufferType.RGB24, frame.picture.tobytes())
            for _ in range(ended * (cleared == self._cleared)):
                yield AudioSegmentEnd()

    def _next(self) -> tuple[LiveFrame | None, bool, int]:
        """The next frame, None after `aclose`; whether it speaks; how many segments it ends."""
        frame, session = next(self._session, None), self._session
        return frame, session.state == SPEAKING, session.ended

    async def aclose(self) -> None:
        """End the session."""
        await asyncio.to_thread(self._session.close)
