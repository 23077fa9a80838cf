"""Which way leads where, and what is answered when something is wrong."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mdth.errors import MdthError, in_words
from mdth.serve import jobs, live, offers
from mdth.serve.crew import repeated, swept
from mdth.serve.problems import Refused, answer, status_of
from mdth.serve.queue import PREFIXES
from mdth.serve.server import COOKIE, Server, check_site
from mdth.serve.uploads import short_json
from mdth.serve.webhooks import send_due

log = logging.getLogger("mdth")

PAGE = Path(__file__).with_name("page")
OPENAPI = Path(__file__).with_name("openapi.json")
COOKIE_S = 30 * 24 * 3600
LONGEST_KEY = 4096
MESSAGES_S, SWEEP_S = 1.0, 60.0
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Permissions-Policy": "camera=(self), microphone=(self)",
}
Endpoint = Callable[..., Awaitable[Response]]


def app(server: Server) -> ASGIApp:
    """The application."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        server.crew.start()
        beside = [
            asyncio.create_task(repeated(step, pause_s=pause_s))
            for step, pause_s in (
                (lambda: send_due(server.settings, server.queue), MESSAGES_S),
                (lambda: asyncio.to_thread(swept, server.queue, server.folder), SWEEP_S),
            )
        ]
        yield
        await server.crew.stop()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        server.queue.close()

    handlers: dict[Any, Any] = {
        **{HTTPException: _refused, MdthError: _failed, ClientDisconnect: _gone},
        Exception: _failed,
    }
    made = Starlette(routes=routes(server), lifespan=lifespan, exception_handlers=handlers)
    made.router.redirect_slashes = False  # it would send to whatever host a request names
    return _Headers(made)


def routes(server: Server) -> list[BaseRoute]:
    """All of them; openapi.json says the same."""
    ways = dict[str, dict[str, Endpoint]]()

    def route(path: str, method: str, endpoint: Endpoint, *given: str) -> None:
        async def answer(request: Request) -> Response:
            return await endpoint(server, request, server.owner(request), *given)

        ways.setdefault(path, {})[method] = answer

    async def session(request: Request) -> Response:
        return await _session(server, request)

    async def session_end(request: Request) -> Response:
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE)
        return answer

    async def health(request: Request) -> Response:
        server.queue.read("SELECT 1")
        return JSONResponse({"status": "stopping" if server.stopping else "ok"})

    made: list[BaseRoute] = [
        Route("/", _file(PAGE / "index.html", "text/html")),
        Route("/healthz", health),
        Route("/v1/openapi.json", _file(OPENAPI, "application/json")),
    ]
    ways["/v1/session"] = {"POST": session, "DELETE": session_end}
    route("/metrics", "GET", offers.metrics)
    route("/v1/options", "GET", offers.options)
    route("/v1/faces", "POST", jobs.faces)
    route("/v1/live/webrtc", "POST", live.offered)
    for kind in PREFIXES:
        one = f"/v1/{kind}s/{{id}}"
        route(f"/v1/{kind}s", "GET", jobs.page, kind)
        if kind != "twin":
            route(f"/v1/{kind}s", "POST", jobs.create, kind)
        route(one, "GET", jobs.one, kind)
        route(one, "DELETE", jobs.delete, kind)
        route(f"{one}/events", "GET", jobs.events, kind)
        for name in jobs.FILES[kind]:
            route(f"{one}/{name}", "GET", jobs.file, kind, name)
    route("/v1/twins/{twin}/{task}", "POST", jobs.twin)
    made += [Route(path, _by_method(own), methods=[*own]) for path, own in ways.items()]
    return [*made, live.route(server), Mount("/page", StaticFiles(directory=PAGE))]


def _by_method(ways: dict[str, Endpoint]) -> Endpoint:
    """One route of a path, so that a wrong method is told of all the others."""

    async def answer(request: Request) -> Response:
        return await ways[request.method.replace("HEAD", "GET")](request)

    return answer


async def _session(server: Server, request: Request) -> Response:
    """Keep a key as a cookie, for what a page's elements ask for by themselves."""
    check_site(request)
    try:
        key = (await short_json(request, LONGEST_KEY))["key"].encode("ascii").decode()
    except (ValueError, KeyError, AttributeError) as error:
        raise Refused(422, 'send {"key": "..."}', field="key") from error
    if not server.settings.owner(key):
        raise Refused(401, "nobody's key", www_authenticate="Bearer")
    answer, secure = Response(status_code=204), request.url.scheme == "https"
    answer.set_cookie(COOKIE, key, COOKIE_S, httponly=True, secure=secure, samesite="strict")
    return answer


def _file(path: Path, kind: str) -> Endpoint:
    async def answer(request: Request) -> Response:
        return FileResponse(path, media_type=kind)

    return answer


async def _refused(request: Request, error: HTTPException) -> Response:
    return answer(error)


async def _failed(request: Request, error: Exception) -> Response:
    words = in_words(error)
    status, said = status_of(kind := type(words).__name__), str(words)
    if status >= 500:
        number = secrets.token_hex(4)
        log.error("%s %s: %s (%s)", request.method, request.url.path, words, number)
        said = f"a fault of the server; its log says more, under {number}"
    wait = {429: {"Retry-After": "10"}, 503: {"Retry-After": "60"}}.get(status, {})
    return await _refused(request, Refused(status, said, kind=kind, **wait))


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


class _Headers:
    """Adds what browsers are told with every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "private")  # no proxy gives it to another key
                if scope["path"].startswith("/page/") or scope["path"] == "/":
                    headers["Cache-Control"] = "no-cache"  # a new version meets no old modules
            await send(message)

        await self._app(scope, receive, sending)
