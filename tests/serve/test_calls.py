"""`WS /v1/live`: what comes is a video of who was asked for, saying what was sent."""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import httpx
import numpy as np
import pytest
from serving import EXAMPLES, KEYS, LONGEST_S, Served, ended
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mdth.errors import InputError
from mdth.media.audio import decode_blocks, probe_sound
from mdth.serve import call as calls
from mdth.serve import live
from mdth.serve.problems import Refused
from mdth.serve.server import Server
from mdth.serve.settings import Settings
from mdth.speak import voice

SPEECH = EXAMPLES / "short.wav"


@pytest.fixture(scope="module")
def served(serve: Callable[..., Served]) -> Served:
    return serve("--webrtc")


@pytest.fixture(scope="module")
def avatar(served: Served, portrait: bytes) -> str:
    with served.client() as anna:
        made = anna.post("/v1/avatars", files={"source": portrait}).json()
        assert ended(anna, f"/v1/avatars/{made['id']}")["status"] == "completed"
        return str(made["id"])


def call(served: Served, avatar: str, owner: str = "anna", **more: Any) -> ClientConnection:
    headers = {"Authorization": f"Bearer {KEYS[owner]}"} if owner else {}
    url = f"{served.url.replace('http', 'ws')}v1/live?avatar={avatar}"
    return connect(url, additional_headers=headers | more, max_size=None)


def said(socket: ClientConnection, until: Callable[[dict[str, Any]], bool]) -> tuple[Any, bytes]:
    """The objects and the media until one that is waited for, or the end."""
    told, media, end = [], b"", time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        try:
            message = socket.recv(timeout=LONGEST_S)
        except ConnectionClosed:
            break
        if isinstance(message, bytes):
            media += message
            continue
        told.append(json.loads(message))
        if until(told[-1]):
            break
    return told, media


def is_state(*states: str) -> Callable[[dict[str, Any]], bool]:
    return lambda about: about.get("state") in states


def test_a_speech_comes_back_as_a_speaking_person(
    served: Served, avatar: str, tmp_path: Path
) -> None:
    sound = np.concatenate([*decode_blocks(SPEECH, rate_hz=16_000, layout="mono")], 1)[0]
    with call(served, avatar) as socket:
        socket.send(json.dumps({"type": "start", "rate_hz": 16_000, "options": {"mouth": 1.1}}))
        (ready, *_), first = said(socket, lambda about: about.get("type") == "state")
        socket.send((sound * 32767).astype("<i2").tobytes())
        socket.send('{"type": "end_of_speech"}')
        states, media = said(socket, is_state("speaking"))
        more, rest = said(socket, is_state("idle"))
    assert (ready["fps"], ready["size"]) == (25, [200, 200])
    assert ready["mime"].startswith('video/mp4; codecs="avc1.64') and "mp4a.40.2" in ready["mime"]
    begun_s, ended_s = states[-1]["time_s"], more[-1]["time_s"]
    assert ended_s - begun_s == pytest.approx(probe_sound(SPEECH).duration_s, abs=0.1)
    film = tmp_path / "film.mp4"
    film.write_bytes(first + media + rest)
    with av.open(film) as opened:
        pictures = [frame for frame in opened.decode(video=0)]
        size = (pictures[0].width, pictures[0].height)
    heard = np.concatenate([*decode_blocks(film, rate_hz=16_000, layout="mono")], 1)[0]
    assert size == (200, 200) and len(pictures) / 25 == pytest.approx(ended_s, abs=0.3)
    # Where the speech is in the sound of the film: when the state said so, and as it was.
    spectrum = np.fft.rfft(heard, 1 << 19) * np.conj(np.fft.rfft(sound, 1 << 19))
    at = int(np.argmax(np.fft.irfft(spectrum)))
    part = heard[at : at + len(sound)]
    assert at / 16_000 == pytest.approx(begun_s, abs=0.1)
    assert np.corrcoef(part, sound[: len(part)])[0, 1] > 0.95


def test_interrupting_ends_a_speech(served: Served, avatar: str) -> None:
    with call(served, avatar) as socket:
        socket.send('{"type": "start"}')
        said(socket, lambda about: about.get("type") == "ready")
        noise = np.random.default_rng(1).integers(-3000, 3000, 16_000 * 20, np.int16)
        socket.send(noise.tobytes())
        begun_s = said(socket, is_state("speaking"))[0][-1]["time_s"]
        socket.send('{"type": "interrupt"}')
        told, _ = said(socket, is_state("idle"))
    assert [about["state"] for about in told][-2:] == ["interrupted", "idle"]
    assert told[-1]["time_s"] - begun_s < 15  # of 20 that were sent


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("{", "a message is a JSON object"),
        ("[" * 100_000, "a message is a JSON object"),
        ('{"type": "sing"}', "messages are"),
        ('{"type": "text", "text": 5}', "messages are"),
        (json.dumps({"type": "text", "text": "a" * 6000}), "letters"),
        ('{"type": "text", "text": "a", "voice": "../x"}', "choose one of"),
    ],
)
def test_a_bad_message_is_told_and_the_call_goes_on(
    served: Served, avatar: str, message: str, words: str, line: ClientConnection
) -> None:
    line.send(message)
    told, _ = said(line, lambda about: about.get("type") == "error")
    assert words in told[-1]["problem"]["detail"] and told[-1]["problem"]["status"] == 422


@pytest.fixture(scope="module")
def line(served: Served, avatar: str) -> Any:
    with call(served, avatar) as socket:
        socket.send('{"type": "start"}')
        said(socket, lambda about: about.get("type") == "ready")
        yield socket


@pytest.mark.parametrize(
    ("first", "status", "words"),
    [
        ('{"type": "text"}', 422, "begin with"),
        ("7", 422, "begin with"),
        (b"7", 422, "begin with"),
        ('{"type": "start", "rate_hz": 0}', 422, "rate_hz"),
        ('{"type": "start", "rate_hz": 1e9}', 422, "rate_hz"),
        ('{"type": "start", "options": {"crf": 1}}', 422, "options"),
        ('{"type": "start", "options": {"mouth": "x"}}', 422, "mouth"),
    ],
)
def test_a_bad_beginning_is_refused(
    served: Served, avatar: str, first: str | bytes, status: int, words: str
) -> None:
    with call(served, avatar) as socket:
        socket.send(first)
        told, media = said(socket, lambda about: False)
    assert told[-1]["problem"]["status"] == status and words in told[-1]["problem"]["detail"]
    assert not media


@pytest.mark.parametrize(("owner", "avatar_id"), [("bert", None), ("anna", "av_../../x")])
def test_nobody_gets_another_ones_avatar(
    served: Served, avatar: str, owner: str, avatar_id: str | None
) -> None:
    with call(served, avatar_id or avatar, owner) as socket:
        told, _ = said(socket, lambda about: False)
    assert told[-1]["problem"]["status"] == 404


@pytest.mark.parametrize(
    ("owner", "status", "headers"),
    [("", 401, {}), ("anna", 403, {"Origin": "https://elsewhere.example"})],
)
def test_without_a_key_no_connection_stays_open(
    served: Served, avatar: str, owner: str, status: int, headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidStatus) as refused, call(served, avatar, owner, **headers):
        pass
    response = refused.value.response
    assert (response.status_code, json.loads(response.body)["status"]) == (status, status)
    assert "handshake" not in Path(served.log.name).read_text()  # nor is the log filled


def test_a_call_whose_process_dies_says_so(served: Served, line: ClientConnection) -> None:
    commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in served.children()}
    (process,) = (child for child, command in commands.items() if b"serve.call" in command)
    os.kill(process, signal.SIGKILL)
    told, _ = said(line, lambda about: False)
    assert "SIGKILL" in told[-1]["problem"]["detail"] and line.close_code == 1011


def test_what_is_no_offer_is_refused(served: Served, avatar: str, tmp_path: Path) -> None:
    offer = {"avatar": avatar, "type": "offer", "sdp": "v=0"}
    wrong = [{"avatar": "av_1"}, {"type": "answer"}, {"sdp": 5}, {"sdp": "x" * 99_000}]
    wrong += [{"options": {"crf": 1}}, {"options": 5}, {}]
    with served.client() as anna:
        found = [anna.post("/v1/live/webrtc", json=offer | one) for one in wrong]
    assert [answer.status_code for answer in found] == [404, 422, 422, 413, 422, 422, 422]
    assert "no offer" in found[-1].json()["detail"]
    without: Any = live.offered(Server(Settings(tmp_path)), None, "anna")  # type: ignore[arg-type]
    with pytest.raises(Refused, match="no WebRTC") as refused:
        asyncio.run(without)
    assert refused.value.status_code == 501


def test_a_speech_goes_and_comes_by_webrtc(served: Served, avatar: str) -> None:
    """Of the second call: the first is given up, as nobody came."""
    aiortc: Any = pytest.importorskip("aiortc", reason="the extra webrtc is not installed")
    from aiortc.contrib.media import MediaPlayer

    async def run() -> None:
        got, told = dict[str, list[Any]](), list[dict[str, Any]]()
        async with httpx.AsyncClient(base_url=served.url, headers=served.client().headers) as anna:
            for _ in range(2):
                peer = aiortc.RTCPeerConnection()
                channel = peer.createDataChannel("events")
                channel.on("message", lambda words: told.append(json.loads(words)))
                peer.on("track", lambda track: asyncio.ensure_future(view(track, got)))
                peer.addTrack(MediaPlayer(str(SPEECH)).audio)
                peer.addTransceiver("video", direction="recvonly")
                await peer.setLocalDescription(await peer.createOffer())
                offer = {"avatar": avatar, "type": "offer", "sdp": peer.localDescription.sdp}
                answer = await anna.post("/v1/live/webrtc", json=offer, timeout=60)
        assert answer.status_code == 200, answer.text
        await peer.setRemoteDescription(aiortc.RTCSessionDescription(**answer.json()))
        while channel.readyState != "open":
            await asyncio.sleep(0.01)
        channel.send('{"type": "sing"}')
        channel.send('{"type": "speech"}')
        while "idle" not in [one.get("state") for one in told[-1:]] or len(told) < 5:
            await asyncio.sleep(0.1)
            if told and told[-1].get("state") == "starved":
                channel.send('{"type": "end_of_speech"}')
        await peer.close()
        states = [one["state"] for one in told if one["type"] == "state"]
        assert told[0] == {"type": "ready", "fps": 25, "size": [200, 200]}
        assert states[:2] == ["idle", "speaking"] and states[-1] == "idle"
        assert (
            "messages are"
            in next(one for one in told if one["type"] == "error")["problem"]["detail"]
        )
        assert (got["video"][-1].width, got["video"][-1].height) == (200, 200)
        # It takes as long as what was sent, and is that.
        times = {one["state"]: one["time_s"] for one in reversed(told) if one["type"] == "state"}
        length_s = probe_sound(SPEECH).duration_s
        assert times["starved"] - times["speaking"] == pytest.approx(length_s, abs=0.3), told
        heard = np.concatenate([frame.to_ndarray()[0, ::2] for frame in got["audio"]]) / 32768.0
        sound = np.concatenate([*decode_blocks(SPEECH, rate_hz=48_000, layout="mono")], 1)[0]
        found = []
        for start in range(
            48_000 // 2, len(sound) - 24_000, 24_000
        ):  # half seconds: one may be lost
            piece = sound[start : start + 24_000]
            spectrum = np.fft.rfft(heard, 1 << 20) * np.conj(np.fft.rfft(piece, 1 << 20))
            at = int(np.argmax(np.fft.irfft(spectrum)))
            part = heard[at : at + len(piece)]
            found.append(np.corrcoef(part, piece[: len(part)])[0, 1])
        assert np.median(found) > 0.6, found  # aiortc's Opus alone, twice: 0.57 to 0.68, mean 0.63

    async def view(track: Any, got: dict[str, list[Any]]) -> None:
        while True:
            got.setdefault(track.kind, []).append(await track.recv())

    asyncio.run(asyncio.wait_for(run(), LONGEST_S))


class Silent:
    """A client that begins at once, and takes nothing."""

    query_params: dict[str, str] = {}

    def __init__(self) -> None:
        self._begun = False

    async def receive(self) -> dict[str, str]:
        if self._begun:
            await asyncio.sleep(60)
        self._begun = True
        return {"type": "websocket.receive", "text": '{"type": "start"}'}

    async def send_bytes(self, _: bytes) -> None:
        await asyncio.sleep(60)


def test_calls_that_nobody_takes_end_and_are_no_more_than_may_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begin, flood = asyncio.create_subprocess_exec, "import sys; put = sys.stdout.buffer.write\n"
    flood += "while True: put(b'm\\0\\1\\0\\0' + bytes(65536))"
    monkeypatch.setattr(live, "TAKING_S", 1)
    monkeypatch.setattr(live, "LEAVING_S", 0.2)
    monkeypatch.setattr(live, "most_calls", lambda: 3)
    monkeypatch.setattr(live.engines, "is_saved", lambda folder: True)
    monkeypatch.setattr(
        *(live.asyncio, "create_subprocess_exec"),
        lambda *_, **pipes: begin(sys.executable, "-c", flood, **pipes),
    )
    server = Server(Settings(tmp_path, calls=2))
    server.queue.get = lambda *_: {"id": "av_1"}  # type: ignore[method-assign]

    async def calls() -> list[Any]:
        owners = ["anna"] * 5 + ["bert"] * 2
        many = [live._call(server, Silent(), owner) for owner in owners]  # type: ignore[arg-type]
        return await asyncio.gather(
            *(asyncio.wait_for(one, 20) for one in many), return_exceptions=True
        )

    begun = time.monotonic()
    ended = asyncio.run(calls())
    # Two of one key, and one of three places is left for another key.
    told = [getattr(each, "status_code", type(each)) for each in ended]
    assert told == [TimeoutError] * 2 + [429] * 3 + [TimeoutError, 503]
    assert time.monotonic() - begun < 15


def test_a_long_text_is_said_to_its_end_and_many_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits, pushed, failed = [200.0, 200.0], list[Any](), list[Exception]()

    class Session:
        waiting_s = property(lambda self: waits.pop() if waits else 0.0)

        def push(self, sound: Any, *, rate_hz: int) -> None:
            pushed.append(sound)

        def end_of_speech(self) -> None: ...

    said = [SimpleNamespace(sound=number) for number in range(3)]
    monkeypatch.setattr(voice, "Voice", lambda *_, **more: SimpleNamespace(say=lambda text: said))
    monkeypatch.setattr(calls, "AGAIN_S", 0.01)
    hearing = calls.Hearing(Session(), failed.append, 16_000)  # type: ignore[arg-type]
    hearing._add("A long one.", "")
    until = time.monotonic() + 10
    while len(pushed) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert (pushed, failed) == ([0, 1, 2], [])
    full = calls.Hearing(Session(), failed.append, 16_000)  # type: ignore[arg-type]
    full._speaker = threading.current_thread()  # which takes none
    with pytest.raises(InputError, match="texts wait"):
        for _ in range(calls.MOST_TEXTS + 1):
            full._add("One.", "")
