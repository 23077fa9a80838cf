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
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from mdth import devices, engines, guard
from mdth.artefacts import SPEECH_RATE_HZ
from mdth.errors import InputError, MdthError, in_words
from mdth.options import Options
from mdth.serve.call import HEAD, MEDIA, SOUND, WORDS, packed
from mdth.serve.problems import Refused, answer, in_user_words, problem, status_of
from mdth.serve.server import Server

OPTIONS = "mouth lip_width motion manner blink random_seed".split()
RATES_HZ = 8_000, 48_000
# A client that says nothing has gone; so has one that takes nothing.
SILENCE_S, TAKING_S = 600.0, 10.0
STARTING_S, MOST_STARTING = 20.0, 16
# Codes of WebSocket (RFC 6455, 7.4.1).
DONE, POLICY, FAULT, LATER = 1000, 1008, 1011, 1013


def route(server: Server) -> WebSocketRoute:
    """The way there."""

    async def live(socket: WebSocket) -> None:
        try:
            owner = server.owner(socket)
        except Refused as error:  # as HTTP has it: no connection stays open for who has no key
            return await socket.send_denial_response(answer(error))
        await socket.accept()
        try:
            await _call(server, socket, owner)
        except WebSocketDisconnect:
            pass
        except (OSError, HTTPException, MdthError) as error:  # a timeout is an OSError
            await _end(socket, error, server.settings.data)

    return WebSocketRoute("/v1/live", live)


async def _call(server: Server, socket: WebSocket, owner: str) -> None:
    job = server.queue.get(socket.query_params.get("avatar", ""), owner)
    folder = server.folder / job["id"] / "avatar"
    if not engines.is_saved(folder):
        raise InputError("avatar: is not prepared; wait until it is completed")
    with _one_of(server.starting, socket, owner, MOST_STARTING, MOST_STARTING // 2):
        message = await asyncio.wait_for(socket.receive(), STARTING_S)
        if message["type"] == "websocket.disconnect":
            return
        start = _first(message.get("text") or "")
    most = most_calls()
    own = server.settings.calls or max(1, most // 2)
    with _one_of(server.calls, socket, owner, most, own):
        code = await _live(server, socket, str(folder), json.dumps(start))
    await socket.close(code)


@contextmanager
def _one_of(
    calls: dict[object, str], call: object, owner: str, most: int, own: int
) -> Iterator[None]:
    """Count a call before its process is there. Raises Refused where there are so many."""
    if [*calls.values()].count(owner) >= own:
        raise Refused(429, "as many live calls as a key may have; end one", kind="TooMuch")
    if len(calls) >= most:
        raise Refused(503, "as many live calls as this server can carry; try again later")
    calls[call] = owner
    try:
        yield
    finally:
        calls.pop(call, None)


async def _live(server: Server, socket: WebSocket, *about: str) -> int:
    """A process for a call, from its start to its end; the code to hang up with."""
    command = (sys.executable, "-m", "mdth.serve.call", *about)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin and process.stdout
    ways = (
        _shown(process.stdout, socket, server.settings.data),
        _said(socket, process.stdin),
        _stopped(server),
    )
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():  # it ended by itself
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), TAKING_S)
    finally:
        code = process.returncode
        for task in tasks:
            task.cancel()
        with suppress(ProcessLookupError):
            process.kill()
        server.calls.pop(socket, None)  # another may come while this one is cleared away
        done = await asyncio.gather(*tasks, return_exceptions=True)
        await process.communicate()  # `wait` alone would wait for ever for what nobody reads
    for ended in done:
        if isinstance(ended, Exception):
            raise ended
    if not code:
        return DONE
    if code < 0:
        raise MdthError(f"the call {guard.why_ended(-code)}")
    if not isinstance(done[0], int):
        raise MdthError(f"the call's process ended with exit code {code}; call again")
    return _code(done[0])


async def _shown(stdout: asyncio.StreamReader, socket: WebSocket, data: Path) -> int | None:
    """What the process makes goes to the client, until it ends; the status of its last problem."""
    status = None
    with suppress(asyncio.IncompleteReadError):
        while True:
            kind, length = HEAD.unpack(await stdout.readexactly(HEAD.size))
            payload = await stdout.readexactly(length)
            if kind == MEDIA:
                sent = socket.send_bytes(payload)
            else:
                about = json.loads(payload)
                if about["type"] == "error":
                    about = {"type": "error", "problem": _problem(data, *about["error"])}
                    status = about["problem"]["status"]
                sent = socket.send_text(json.dumps(about))
            await asyncio.wait_for(sent, TAKING_S)
    return status


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


def _problem(data: Path, kind: str, detail: str) -> dict[str, Any]:
    return problem(status_of(kind), in_user_words(detail, data=data), kind=kind)


async def _end(socket: WebSocket, error: Exception, data: Path) -> None:
    """Tell what is wrong, and hang up."""
    if socket.client_state is not WebSocketState.CONNECTED:
        return
    if isinstance(error, HTTPException):
        about = problem(error.status_code, error.detail, kind=getattr(error, "kind", ""))
    elif isinstance(error, TimeoutError):
        about = problem(408, "nothing came, or nothing was taken, for too long")
    else:
        words = in_words(error)
        about = _problem(data, type(words).__name__, str(words))
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(TAKING_S):
            await socket.send_text(json.dumps({"type": "error", "problem": about}))
            await socket.close(_code(about["status"]))


def _code(status: int) -> int:
    """What to hang up with after a problem of this status."""
    return LATER if status in (429, 503) else FAULT if status >= 500 else POLICY
