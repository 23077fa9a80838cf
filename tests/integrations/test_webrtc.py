"""A live avatar over a real WebRTC connection of aiortc, within one process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest

from mdth.errors import InputError
from mdth.live_session import LiveSession
from tests.test_live import Echo

aiortc: Any = pytest.importorskip("aiortc", reason="the extra webrtc is not installed")
from mdth.integrations.webrtc import Call  # noqa: E402


class Shown(Echo):
    """Its pictures are large enough to be encoded; both sides odd."""

    size = (65, 49)

    def feed(self, sound: np.ndarray) -> Iterator[np.ndarray]:
        return (np.broadcast_to(4 * it[:1, :1], (49, 65, 3)) for it in super().feed(sound))


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not what():
            await asyncio.sleep(0.01)


def connected(
    test: Callable[[LiveSession, dict[str, list[Any]], Any, Any], Awaitable[None]],
    *,
    answers: bool = True,
    peers: Callable[[Any], object] = lambda viewer: None,
) -> None:
    """Run a test with a session, what the viewer got, and both connections."""

    async def run() -> None:
        sender, viewer = aiortc.RTCPeerConnection(), aiortc.RTCPeerConnection()
        live = LiveSession(Shown(), pace=True)
        call = Call(live)
        got: dict[str, list[Any]] = {"video": [], "audio": []}
        tasks = []

        async def view(track: Any) -> None:
            while True:
                got[track.kind].append(await track.recv())

        viewer.on("track", lambda track: tasks.append(asyncio.ensure_future(view(track))))
        first, second = (viewer, sender) if answers else (sender, viewer)
        if answers:
            for kind in got:
                viewer.addTransceiver(kind, direction="recvonly")
            peers(viewer)
        call.send_to(sender)
        await first.setLocalDescription(await first.createOffer())
        await second.setRemoteDescription(first.localDescription)
        if answers:
            with pytest.raises(InputError, match="before"):
                call.send_to(sender)
        await second.setLocalDescription(await second.createAnswer())
        await first.setRemoteDescription(second.localDescription)
        try:
            await until(lambda: len(got["video"]) > 3 and len(got["audio"]) > 3)
            await test(live, got, sender, viewer)
        finally:
            await call.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(sender.close(), viewer.close(), *tasks, return_exceptions=True)
        assert call.video.readyState == call.audio.readyState == "ended"

    asyncio.run(run())


def codec(peer: Any) -> str:
    """What its video is sent with: the first of what was agreed."""
    (video,) = (one for one in peer.getTransceivers() if one.kind == "video")
    return str(video._codecs[0].mimeType)


@pytest.mark.parametrize("answers", [True, False])
def test_a_speech_is_seen_and_heard_in_h264(answers: bool) -> None:
    async def test(live: LiveSession, got: dict[str, list[Any]], sender: Any, viewer: Any) -> None:
        assert codec(sender) == "video/H264"
        assert (got["video"][0].width, got["video"][0].height) == (64, 48)
        before = {kind: len(frames) for kind, frames in got.items()}
        live.push(0.5 * np.sin(np.arange(8000)).astype(np.float32))
        live.end_of_speech()
        await until(lambda: bright(got["video"][before["video"] :]) >= 11)
        await until(lambda: loud(got["audio"][before["audio"] :]) > 0.4)
        times = [frame.time for frame in got["audio"]]
        assert np.diff(times) == pytest.approx(0.02, abs=1e-3)

    connected(test, answers=answers)


def bright(frames: list[Any]) -> int:
    return sum(frame.to_ndarray(format="gray").mean() > 100 for frame in frames)


def loud(frames: list[Any]) -> float:
    """Seconds."""
    return 0.02 * sum(np.abs(frame.to_ndarray()).max() > 5000 for frame in frames)


def test_a_key_frame_comes_when_it_is_asked_for() -> None:
    async def test(live: LiveSession, got: dict[str, list[Any]], sender: Any, viewer: Any) -> None:
        await until(lambda: len(got["video"]) > 12)
        assert not any(frame.key_frame for frame in got["video"][6:])
        (receiver,) = (one for one in viewer.getReceivers() if one.track.kind == "video")
        (ssrc,) = (source.source for source in receiver.getSynchronizationSources())
        before = len(got["video"])
        await receiver._send_rtcp_pli(ssrc)
        await until(lambda: any(frame.key_frame for frame in got["video"][before:]))

    connected(test)


def test_who_has_no_h264_gets_another_codec() -> None:
    def no_h264(viewer: Any) -> None:
        known = aiortc.RTCRtpReceiver.getCapabilities("video").codecs
        for transceiver in viewer.getTransceivers():
            if transceiver.kind == "video":
                transceiver.setCodecPreferences([c for c in known if c.mimeType != "video/H264"])

    async def test(live: LiveSession, got: dict[str, list[Any]], sender: Any, viewer: Any) -> None:
        assert codec(sender) == "video/VP8"

    connected(test, peers=no_h264)
