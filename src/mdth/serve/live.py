"""Live calls: sound or text in, a speaking person out; a process of its own for each.

Messages, by a WebSocket (`WS /v1/live`) and by WebRTC, are in docs/live.md.
"""

import asyncio
import json
import sys
from asyncio import FIRST_COMPLETED
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from mdth import devices, engines, guard
from mdth.artefacts import SPEECH_RATE_HZ
from mdth.errors import InputError, MdthError
from mdth.files.json import Json
from mdth.options import Options
from mdth.serve.call import HEAD, MEDIA, SOUND, WORDS, packed
from mdth.serve.problems import Refused, answer, of_error
from mdth.serve.server import Place, Server
from mdth.serve.uploads import short_json

OPTIONS = "mouth lip_width motion manner blink random_seed".split()
RATES_HZ = 8_000, 48_000
# A client that says nothing has gone; so has one that takes nothing.
SILENCE_S, TAKING_S = 600.0, 10.0
STARTING_S, MOST_STARTING = 20.0, 16
# Who hangs up and calls again finds the place free after a moment.
LEAVING_S, AGAIN_S = 2.0, 0.1
LONGEST_OFFER = 64 << 10
Show = Callable[[bytes, bytes], Awaitable[None]]
Say = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]
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
    folder = _avatar(server, socket.query_params.get("avatar", ""), owner)
    with _one_of(server.starting, socket, Place(owner), MOST_STARTING, MOST_STARTING // 2):
        message = await asyncio.wait_for(socket.receive(), STARTING_S)
        if message["type"] == "websocket.disconnect":
            return
        start = _first(message.get("text") or "")

    async def show(kind: bytes, payload: bytes) -> None:
        await (socket.send_bytes(payload) if kind == MEDIA else socket.send_text(payload.decode()))

    async with _place(server, socket, Place(owner)):
        code = await _live(server, socket, folder, start, show, partial(_said, socket))
    await socket.close(code)


async def offered(server: Server, request: Request, owner: str) -> Response:
    """`POST /v1/live/webrtc`: an offer in, an answer out; the call itself goes by UDP."""
    if not server.settings.webrtc:
        raise Refused(501, "this server has no WebRTC; see: mdth serve --webrtc")
    about = await short_json(request, LONGEST_OFFER)
    offer, options = about.get("sdp"), _options(about.get("options") or {})
    folder = _avatar(server, str(about.get("avatar")), owner)
    if not isinstance(offer, str) or about.get("type") != "offer":
        raise Refused(
            422, 'give an offer: {"avatar": ..., "type": "offer", "sdp": ...}', field="sdp"
        )
    answered = asyncio.get_running_loop().create_future()

    async def show(kind: bytes, payload: bytes) -> None:
        if answered.done():
            place.unreached = False  # it says that it is connected
        else:
            answered.set_result(json.loads(payload))

    async def going() -> None:
        async with _place(server, answered, place):
            await _live(server, answered, folder, {"offer": offer, "options": options}, show)

    call = asyncio.create_task(going())
    place = Place(owner, call, unreached=True)
    await asyncio.wait([answered, call], timeout=STARTING_S, return_when=FIRST_COMPLETED)
    if not answered.done():
        call.cancel()
        await asyncio.wait([call])
        if not call.cancelled():
            call.result()  # which raises what is wrong
        raise Refused(503, "the call does not start; try again later")
    if problem := (found := answered.result()).get("problem"):
        raise Refused(problem["status"], problem["detail"], kind=problem["title"])
    return JSONResponse({"type": "answer", "sdp": found["sdp"]})


def _avatar(server: Server, avatar: str, owner: str) -> str:
    folder = server.folder / server.queue.get(avatar, owner)["id"] / "avatar"
    if not engines.is_saved(folder):
        raise InputError("avatar: is not prepared; wait until it is completed")
    return str(folder)


@asynccontextmanager
async def _place(server: Server, call: object, place: Place) -> AsyncIterator[None]:
    """One of the places that an owner may have, also of a call that is just being ended.

    Who calls again was not reached by WebRTC.
    """
    for before, other in list(server.calls.items()):
        if other.owner == place.owner and other.task and other.unreached:
            other.task.cancel()
            del server.calls[before]
    most = most_calls()
    own = server.settings.calls or max(1, most // 2)
    for _ in range(round(LEAVING_S / AGAIN_S)):
        if _room(server.calls, place, most, own) is None:
            break
        await asyncio.sleep(AGAIN_S)
    with _one_of(server.calls, call, place, most, own):
        yield


def _room(calls: dict[object, Place], place: Place, most: int, own: int) -> Refused | None:
    """Why there is none for one more of an owner."""
    if sum(other.owner == place.owner for other in calls.values()) >= own:
        return Refused(429, "as many live calls as a key may have; end one", kind="TooMuch")
    if len(calls) >= most:
        return Refused(503, "as many live calls as this server can carry; try again later")
    return None


@contextmanager
def _one_of(
    calls: dict[object, Place], call: object, place: Place, most: int, own: int
) -> Iterator[None]:
    """Count a call before its process is there. Raises Refused where there are so many."""
    if refused := _room(calls, place, most, own):
        raise refused
    calls[call] = place
    try:
        yield
    finally:
        calls.pop(call, None)


async def _live(
    server: Server, call: object, folder: str, start: Json, show: Show, say: Say | None = None
) -> int:
    """A process for a call, from its start to its end; the code to hang up with."""
    way = "peer" if "offer" in start else "call"
    command = (sys.executable, "-m", f"mdth.serve.{way}", folder, json.dumps(start))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin and process.stdout
    ways = [_shown(process.stdout, show), _stopped(server)]
    ways += [say(process.stdin)] if say else []
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=FIRST_COMPLETED)
        if tasks[0].done() and not tasks[0].exception():  # it ended by itself
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), TAKING_S)
    finally:
        code = process.returncode
        for task in tasks:
            task.cancel()
        with suppress(ProcessLookupError):
            process.kill()
        server.calls.pop(call, None)  # another may come while this one is cleared away
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


async def _shown(stdout: asyncio.StreamReader, show: Show) -> int | None:
    """What the process makes is shown, until it ends; the status of its last problem."""
    status = None
    with suppress(asyncio.IncompleteReadError):
        while True:
            kind, length = HEAD.unpack(await stdout.readexactly(HEAD.size))
            payload = await stdout.readexactly(length)
            if kind == WORDS:
                status = json.loads(payload).get("problem", {"status": status})["status"]
            await asyncio.wait_for(show(kind, payload), TAKING_S)
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
    return {"rate_hz": rate_hz, "options": _options(options)}


def _options(options: Any) -> Json:
    """Those that a call may have. Raises InputError."""
    if not isinstance(options, dict) or not set(options) <= set(OPTIONS):
        raise InputError(f"options: there are {', '.join(OPTIONS)}")
    Options.of(**options)
    return options


async def _end(socket: WebSocket, error: Exception, data: Path) -> None:
    """Tell what is wrong, and hang up."""
    if socket.client_state is not WebSocketState.CONNECTED:
        return
    about = of_error(error, data)
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(TAKING_S):
            await socket.send_text(json.dumps({"type": "error", "problem": about}))
            await socket.close(_code(about["status"]))


def _code(status: int) -> int:
    """What to hang up with after a problem of this status."""
    return LATER if status in (429, 503) else FAULT if status >= 500 else POLICY
