"""A live avatar as the tracks of a WebRTC connection, by aiortc; the extra `webrtc` (docs/live.md).

aiortc encodes, and makes a key frame whenever the other side asks for one.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from av import AudioFrame, VideoFrame

from mdth.artefacts import FloatArray
from mdth.errors import InputError, MissingDependency
from mdth.integrations import pcm
from mdth.live_session import LiveFrame, LiveSession

try:
    from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender
    from aiortc.mediastreams import MediaStreamError
except ImportError as error:
    raise MissingDependency("aiortc is not here; run: pip install 'mdth[webrtc]'") from error

_Frames = list[AudioFrame | VideoFrame]
CLOCK_HZ = 90_000
# Opus packets of 20 ms; aiortc gives all that it makes of a longer frame the same time.
PACKET_S = 0.02
# What a track keeps for who does not take it, in frames: half a second.
KEPT_S = 0.5


class _Track(MediaStreamTrack):
    """Frames that a thread gives; the oldest are lost where nobody takes them."""

    def __init__(self, call: "Call", kind: str, kept: int) -> None:
        super().__init__()
        self.kind, self._call = kind, call
        self._ready = deque[AudioFrame | VideoFrame](maxlen=kept)
        self._more = asyncio.Event()

    def give(self, frames: _Frames | None) -> None:
        """None: no more comes."""
        self._ready.extend(frames or [])
        self._more.set()
        if frames is None:
            self.stop()

    async def recv(self) -> AudioFrame | VideoFrame:
        """Raises MediaStreamError when the session was closed."""
        self._call.start()
        while not self._ready:
            if self.readyState != "live":
                raise MediaStreamError
            self._more.clear()
            await self._more.wait()
        return self._ready.popleft()


class Call:
    """One live session's `video` and `audio` tracks; both begin when the first is taken."""

    def __init__(
        self, session: LiveSession, *, shown: Callable[[LiveFrame], None] = lambda frame: None
    ) -> None:
        """Takes over a session, which should have been opened with `pace`; in a running loop.

        shown: called for each frame, by the thread that takes them.
        """
        self._session, self._shown, self._loop = session, shown, asyncio.get_running_loop()
        self.video = _Track(self, "video", max(1, round(KEPT_S * session.fps)))
        self.audio = _Track(self, "audio", round(KEPT_S / PACKET_S))
        self._thread = threading.Thread(target=self._run, name="mdth-live", daemon=True)
        self._sound, self._sent = np.zeros(0, np.float32), 0

    def send_to(self, peer: RTCPeerConnection) -> None:
        """Add both tracks, H.264 before other codecs. Raises InputError where it is too late."""
        if peer.remoteDescription is not None:
            raise InputError(
                "the remote description is set, and with it the codec; call send_to before"
            )
        for track in (self.video, self.audio):
            peer.addTrack(track)
        known = RTCRtpSender.getCapabilities("video").codecs
        first = [codec for codec in known if codec.mimeType == "video/H264"]
        preferred = first + [codec for codec in known if codec not in first]
        for transceiver in peer.getTransceivers():
            if transceiver.sender.track is self.video:
                transceiver.setCodecPreferences(preferred)

    def start(self) -> None:
        """Begin, where it has not."""
        if self._thread.ident is None:
            self._thread.start()

    def _run(self) -> None:
        try:
            for frame in self._session:
                self._give([_picture(frame)], self._packets(frame.sound))
                self._shown(frame)
        finally:
            self._give(None, None)

    def _give(self, pictures: _Frames | None, sounds: _Frames | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.video.give, pictures)
            self._loop.call_soon_threadsafe(self.audio.give, sounds)

    def _packets(self, sound: FloatArray) -> _Frames:
        """As many as are whole."""
        self._sound = np.concatenate([self._sound, sound])
        packets: _Frames = []
        rate_hz = self._session.sound_hz
        size = round(PACKET_S * rate_hz)
        while len(self._sound) >= size:
            data = pcm.of_sound(self._sound[:size])[None]
            packet = AudioFrame.from_ndarray(data, format="s16", layout="mono")
            packet.sample_rate, packet.time_base = rate_hz, Fraction(1, rate_hz)
            packet.pts = self._sent
            packets.append(packet)
            self._sound, self._sent = self._sound[size:], self._sent + size
        return packets

    async def close(self) -> None:
        """End the session and the tracks."""
        await asyncio.to_thread(self._session.close)
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)


def _picture(frame: LiveFrame) -> VideoFrame:
    height, width = (size // 2 * 2 for size in frame.picture.shape[:2])  # as H.264 has it
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame.picture[:height, :width]), "rgb24")
    picture = picture.reformat(format="yuv420p")
    picture.pts, picture.time_base = round(frame.time_s * CLOCK_HZ), Fraction(1, CLOCK_HZ)
    return picture
