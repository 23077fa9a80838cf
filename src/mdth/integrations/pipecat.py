"""A live avatar behind a Pipecat pipeline's synthesizer; the extra `pipecat` (docs/live.md)."""

import asyncio
from typing import Any

from mdth.errors import MissingDependency
from mdth.integrations import pcm
from mdth.live_session import LiveSession

try:
    from pipecat.frames.frames import (
        CancelFrame,
        EndFrame,
        Frame,
        InterruptionFrame,
        OutputImageRawFrame,
        SpeechOutputAudioRawFrame,
        StartFrame,
        TTSAudioRawFrame,
        TTSStoppedFrame,
    )
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
except ImportError as error:
    raise MissingDependency("Pipecat is not here; run: pip install 'mdth[pipecat]'") from error


class AvatarProcessor(FrameProcessor):
    """Takes the synthesizer's sound and its ends, and gives pictures, each before its sound.

    An interruption drops what was not said; the pipeline ends when all was.
    """

    def __init__(self, session: LiveSession, **more: Any) -> None:
        """Takes over a session, which should have been opened with `pace`."""
        super().__init__(**more)
        self._session, self._interruptions = session, 0
        self._shown: asyncio.Task[None] | None = None
        self._ending = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """See Pipecat."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            sound = pcm.mono(frame.audio, frame.num_channels)
            self._session.push(sound, rate_hz=frame.sample_rate)
            return
        if isinstance(frame, TTSStoppedFrame):
            self._session.end_of_speech()
            return
        if isinstance(frame, InterruptionFrame):
            self._session.interrupt()
            self._interruptions += 1
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._finish(at_once=isinstance(frame, CancelFrame))
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame) and self._shown is None:
            self._shown = self.create_task(self._show())

    async def _show(self) -> None:
        """At the session's pace, until all was said after `_finish`."""
        while not self._ending or self._session.waiting_s:
            interruptions = self._interruptions
            frame = await asyncio.to_thread(next, self._session, None)
            if frame is None:
                return
            height, width = frame.picture.shape[:2]
            image = OutputImageRawFrame(frame.picture.tobytes(), (width, height), "RGB")
            image.sync_with_audio = True
            sound = frame.sound * (interruptions == self._interruptions)
            await self.push_frame(image)
            audio = pcm.of_sound(sound).tobytes()
            await self.push_frame(SpeechOutputAudioRawFrame(audio, self._session.sound_hz, 1))

    async def _finish(self, *, at_once: bool = False) -> None:
        self._session.end_of_speech()
        self._ending = True
        if self._shown and at_once:
            await self.cancel_task(self._shown)
        elif self._shown:
            await self._shown
        self._shown = None

    async def cleanup(self) -> None:
        """See Pipecat."""
        await super().cleanup()
        await self._finish(at_once=True)
        await asyncio.to_thread(self._session.close)
