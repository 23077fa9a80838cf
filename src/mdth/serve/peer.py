"""The process of one live call by WebRTC: an avatar that hears and is seen by a peer connection.

Its data channel has the messages of docs/live.md.
"""

import asyncio
import json
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

import mdth
from mdth import engines, guard
from mdth.errors import InputError
from mdth.integrations import pcm
from mdth.integrations.webrtc import Call
from mdth.live_session import LiveFrame, LiveSession
from mdth.serve.call import SOUND_HZ, Hearing, Out, main, parsed
from mdth.serve.problems import of_error

# The microphone comes later than what is told of it: aiortc keeps 80 ms of sound.
PAST_S = 0.08
LOUD = 0.02 * 32767
# For a connection to be there; and then who says nothing has gone.
CONNECTING_S, SILENCE_S = 20.0, 600.0


def _live(folder: Path, out: Out, *, offer: str, options: dict[str, Any]) -> None:
    """Answer the offer, and live until the connection or stdin ends. Raises InputError."""
    asyncio.run(_answered(folder, out, offer, options))


async def _answered(folder: Path, out: Out, offer: str, options: dict[str, Any]) -> None:
    session = mdth.live(engines.load(folder), pace=True, sound_hz=SOUND_HZ, **options)
    peer, over, loop = RTCPeerConnection(), asyncio.Event(), asyncio.get_running_loop()
    line = _Line(session, folder.parents[2], over)
    call = Call(session, shown=line.shown)

    def opened(channel: Any) -> None:
        late.cancel()
        out.say(type="connected")
        line.open(channel)

    def changed() -> None:
        if peer.connectionState in ("failed", "closed"):
            over.set()

    peer.on("datachannel", opened)
    peer.on("track", line.hear)
    peer.on("connectionstatechange", changed)
    late = loop.call_later(CONNECTING_S, over.set)
    try:
        call.send_to(peer)
        try:
            await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            await peer.setLocalDescription(await peer.createAnswer())
        except Exception as error:  # whatever aiortc raises of an SDP that it cannot read
            raise InputError(f"sdp: no offer of a microphone ({error})") from error
        out.say(type="answer", sdp=peer.localDescription.sdp)
        threading.Thread(target=_wait, args=(loop, over), daemon=True).start()
        await over.wait()
    finally:
        await call.close()
        await peer.close()


def _wait(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    sys.stdin.buffer.read()
    with suppress(RuntimeError):  # it is over already
        loop.call_soon_threadsafe(over.set)


class _Line:
    """The other side: its microphone and its channel."""

    def __init__(self, session: LiveSession, data: Path, over: asyncio.Event) -> None:
        """over: is set where nothing is told any more."""
        self._session, self._data, self._loop = session, data, asyncio.get_running_loop()
        self._over, self._silent = over, self._loop.call_later(SILENCE_S, over.set)
        self._hearing = Hearing(session, self._fail, SOUND_HZ)
        self._channel: Any = None
        self._speaks, self._state, self._listening = False, "", list[asyncio.Task[None]]()
        # What was said first of a speech was not loud for so long.
        self._heard, self._onset_s = False, 0.0
        self._past = deque[tuple[pcm.Pcm, int]](maxlen=round(PAST_S / 0.02))

    def open(self, channel: Any) -> None:
        """The channel is there."""
        self._channel, self._state = channel, ""
        channel.on("message", self._told)
        self._say(type="ready", fps=self._session.fps, size=self._session.size)

    def hear(self, track: Any) -> None:
        """A microphone is there."""
        self._listening.append(asyncio.ensure_future(self._hear(track)))

    async def _hear(self, track: Any) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                sound = pcm.mono(frame.to_ndarray().tobytes(), frame.layout.nb_channels)
                self._past.append((sound, frame.sample_rate))
                if self._speaks:
                    self._push()

    def _push(self) -> None:
        while self._past:
            sound, rate_hz = self._past.popleft()
            if not self._heard and np.abs(sound).max(initial=0) < LOUD:
                self._onset_s += len(sound) / rate_hz
            else:
                self._heard = True
            try:
                self._hearing.push(sound, rate_hz=rate_hz)
            except InputError as error:
                self._fail(error)

    def _told(self, message: str | bytes) -> None:
        self._silent.cancel()
        self._silent = self._loop.call_later(SILENCE_S, self._over.set)
        try:
            match parsed(message):
                case {"type": "speech"}:
                    self._speaks, self._heard, self._onset_s = True, False, 0.0
                    self._push()
                case other:
                    self._speaks = self._speaks and other != {"type": "end_of_speech"}
                    self._hearing.tell(other)
        except Exception as error:  # noqa: BLE001 (one bad message ends no call)
            self._fail(error)

    def shown(self, frame: LiveFrame) -> None:
        """A frame is on its way; from the session's thread, as what follows."""
        guard.grow(1 / self._session.fps)
        if self._session.state != self._state:
            self._state = self._session.state
            told = {"time_s": round(frame.time_s, 3), "onset_s": round(self._onset_s, 3)}
            self._say(type="state", state=self._state, **told)

    def _fail(self, error: Exception) -> None:
        self._say(type="error", problem=of_error(error, self._data))

    def _say(self, **about: Any) -> None:
        self._loop.call_soon_threadsafe(self._send, json.dumps(about))

    def _send(self, words: str) -> None:
        if self._channel and self._channel.readyState == "open":
            self._channel.send(words)


if __name__ == "__main__":
    sys.exit(main(_live, *sys.argv[1:]))
