"""`WS /v1/live`: sound or text in, a speaking person out; a process of its own for each call.

The client's first message is {"type": "start", "rate_hz": 8000..48000, "options": {...}}; then come
binary messages (PCM, s16le, mono) and {"type": "end_of_speech" | "interrupt"} or {"type": "text",
"text": "...", "voice": "..."}. The server's first is {"type": "ready", "mime": "...", "fps": 25,
"size": [w, h]}; then come binary ones, which make an mp4 in fragments, and {"type": "state",
"state": "idle" | "speaking" | "starved" | "interrupted", "time_s": ...} and {"type": "error",
"problem": {...}}, after which a call goes on unless the server hangs up.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from mdth import devices, engines
from mdth.artefacts import SPEECH_RATE_HZ
from mdth.errors import InputError, MdthError, in_words
from mdth.options import Options
from mdth.serve.call import HEAD, MEDIA, SOUND, WORDS, packed
from mdth.serve.problems import Refused, in_user_words, problem, status_of
from mdth.serve.server import Server

OPTIONS = "mouth lip_width motion manner blink random_seed".split()
RATES_HZ = 8_000, 48_000
# A client that says nothing has gone; so has one that takes nothing.
SILENCE_S, TAKING_S = 600.0, 10.0
STARTING_S, MOST_STARTING = 20.0, 16
# Codes of WebSocket (RFC 6455, 7.4.1).
POLICY, FAULT, LATER = 1008, 1011, 1013


def route(server: Server) -> WebSocketRoute:
    """The way there."""
    calls, starting = set[WebSocket](), set[WebSocket]()

    async def live(socket: WebSocket) -> None:
        await socket.accept()
        try:
            await _call(server, socket, calls, starting)
        except WebSocketDisconnect:
            pass
        except (OSError, HTTPException, MdthError) as error:  # a timeout is an OSError
            await _end(socket, error)

    return WebSocketRoute("/v1/live", live)


async def _call(
    server: Server, socket: WebSocket, calls: set[WebSocket], starting: set[WebSocket]
) -> None:
    owner = server.owner(socket)
    job = server.queue.get(socket.query_params.get("avatar", ""), owner)
    folder = server.folder / job["id"] / "avatar"
    if not engines.is_saved(folder):
        raise InputError("avatar: is not prepared; wait until it is completed")
    with _one_of(starting, socket, MOST_STARTING):
        message = await asyncio.wait_for(socket.receive(), STARTING_S)
        if message["type"] == "websocket.disconnect":
            return
        start = _first(message.get("text") or "")
    with _one_of(calls, socket, most_calls()):
        await _live(server, socket, calls, str(folder), json.dumps(start))
    await socket.close()


@contextmanager
def _one_of(calls: set[WebSocket], socket: WebSocket, most: int) -> Iterator[None]:
    """Count a call before its process is there. Raises Refused where there are so many."""
    if len(calls) >= most:
        raise Refused(503, "as many live calls as this server can carry; try again later")
    calls.add(socket)
    try:
        yield
    finally:
        calls.discard(socket)


async def _live(server: Server, socket: WebSocket, calls: set[WebSocket], *about: str) -> None:
    """A process for a call, from its start to its end."""
    command = (sys.executable, "-m", "mdth.serve.call", *about)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin and process.stdout
    ways = _shown(process.stdout, socket), _said(socket, process.stdin), _stopped(server)
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with suppress(ProcessLookupError):
            process.kill()
        calls.discard(socket)  # another may come while this one is cleared away
        done = await asyncio.gather(*tasks, return_exceptions=True)
        await process.communicate()  # `wait` alone would wait for ever for what nobody reads
    for ended in done:
        if isinstance(ended, Exception):
            raise ended


async def _shown(stdout: asyncio.StreamReader, socket: WebSocket) -> None:
    """What the process makes goes to the client, until it ends."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            kind, length = HEAD.unpack(await stdout.readexactly(HEAD.size))
            payload = await stdout.readexactly(length)
            if kind == MEDIA:
                sent = socket.send_bytes(payload)
            else:
                sent = socket.send_text(_told(payload))
            await asyncio.wait_for(sent, TAKING_S)


def _told(payload: bytes) -> str:
    about = json.loads(payload)
    if about["type"] != "error":
        return payload.decode()
    return json.dumps({"type": "error", "problem": _problem(*about["error"])})


async def _said(socket: WebSocket, stdin: asyncio.StreamWriter) -> None:
    """What the client says goes to the process, until it says nothing more."""
    while True:
        message = await asyncio.wait_for(socket.receive(), SILENCE_S)
        if message["type"] == "websocket.disconnect":
            return
        if sound := message.get("bytes"):
            stdin.write(packed(SOUND, sound))
        elif text := message.get("text"):
            stdin.write(packed(WORDS, text.encode()))
        with suppress(ConnectionError):  # it has ended, and `_shown` has its last words
            await stdin.drain()


async def _stopped(server: Server) -> None:
    while not server.stopping:
        await asyncio.sleep(0.5)


def most_calls() -> int:
    """Calls at a time: one takes about a core."""
    return max(1, len(devices.usable_cores()) // 2)


def _first(text: str) -> dict[str, Any]:
    """The rate and the options of the first message. Raises InputError."""
    try:
        start = json.loads(text)
    except (ValueError, RecursionError):
        start = None
    if not isinstance(start, dict) or start.get("type") != "start":
        raise InputError('begin with {"type": "start", "rate_hz": 16000}')
    rate_hz, options = start.get("rate_hz", SPEECH_RATE_HZ), start.get("options") or {}
    if type(rate_hz) is not int or not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise InputError(f"rate_hz: give a whole number from {RATES_HZ[0]} to {RATES_HZ[1]}")
    if not isinstance(options, dict) or not set(options) <= set(OPTIONS):
        raise InputError(f"options: there are {', '.join(OPTIONS)}")
    Options.of(**options)
    return {"rate_hz": rate_hz, "options": options}


def _problem(kind: str, detail: str) -> dict[str, Any]:
    return problem(status_of(kind), in_user_words(detail), kind=kind)


async def _end(socket: WebSocket, error: Exception) -> None:
    """Tell what is wrong, and hang up."""
    if socket.client_state is not WebSocketState.CONNECTED:
        return
    if isinstance(error, HTTPException):
        about = problem(error.status_code, error.detail, kind=getattr(error, "kind", ""))
    elif isinstance(error, TimeoutError):
        about = problem(408, "nothing came, or nothing was taken, for too long")
    else:
        words = in_words(error)
        about = _problem(type(words).__name__, str(words))
    code = LATER if about["status"] == 503 else FAULT if about["status"] >= 500 else POLICY
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(TAKING_S):
            await socket.send_text(json.dumps({"type": "error", "problem": about}))
            await socket.close(code)
