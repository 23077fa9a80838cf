"""What the API does: jobs are made, listed, watched, fetched and deleted, by their owner alone."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from mdth.errors import InputError
from mdth.files.json import Json
from mdth.serve.answers import shown
from mdth.serve.problems import Refused, about_field, in_user_words, status_of
from mdth.serve.queue import DONE, FAILED, PREFIXES, QUEUED, RUNNING, Job, NotFound, TooMuch
from mdth.serve.requests import FIELDS, wanted
from mdth.serve.server import Server
from mdth.serve.uploads import Form, receive, shown_name

# What is had of each kind of job besides itself.
FILES = {
    "avatar": ("preview",),
    "talk": ("content", "thumbnail"),
    "dub": ("content", "thumbnail", "source"),
    "twin": ("content", "thumbnail"),
}
MOST_LISTED, LONGEST_KEY = 100, 255
LETTERS_S = 14.0  # of a text, about so many are said in a second
WATCH_S, ALIVE_S = 0.5, 15.0
MP4, WEBM = b"ftyp", b"\x1a\x45\xdf\xa3"


async def twin(server: Server, request: Request, owner: str) -> Response:
    """A task of a twin in the store, which belongs to all who have a key."""
    task, twin_id = request.path_params["task"], request.path_params["twin"]
    if not server.settings.twins:
        raise Refused(403, "this server does not work on twins; see: mdth serve --twins")
    if task not in ("preprocess", "inference"):
        raise Refused(404, "give preprocess or inference")
    return await create(server, request, owner, "twin", twin=twin_id, task=task)


async def create(server: Server, request: Request, owner: str, kind: str, **more: str) -> Response:
    """A new job of a form; the one before where the Idempotency-Key is known."""
    own, key = server.settings, request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise Refused(422, f"Idempotency-Key: give 1 to {LONGEST_KEY} letters")
    with _folder(server, owner, PREFIXES[kind]) as folder:
        form = await receive(request, folder, known=FIELDS[kind], most_bytes=own.upload_bytes)
        if key and (before := server.queue.same(owner, key, form.fingerprint)):
            return JSONResponse(shown(before), 202)
        task = more.get("task", kind)
        about = {**wanted(form, kind, task, own.webhook_hosts), **more}
        avatar, seen = _avatar(server, form, owner, kind), await _look(server, folder, form)
        if kind == "dub" and seen.get("kind") == "portrait":
            with about_field("source"):
                raise InputError("a dub needs a clip of a person; a picture can talk")
        about |= {name: seen[name] for name in ("kind", "clip_s") if name in seen}
        job = {
            **{"id": folder.name, "object": kind, "owner": owner, "created": time.time()},
            **{"avatar": avatar, "bytes": form.size, "request": json.dumps(about)},
            **{"idempotency": key, "fingerprint": form.fingerprint},
            "name": shown_name(form.fields.get("name") or _name(form, about)),
            "speech_s": _speech_s(seen, about, own.seconds),
        }
        return JSONResponse(shown(server.queue.add(job, own)), 202)


@contextmanager
def _folder(server: Server, owner: str, prefix: str) -> Iterator[Path]:
    """A job's folder, for `receive` to make; it stays if there is such a job then.

    Raises TooMuch where as many requests of this owner arrive as there may be jobs.
    """
    if server.arriving[owner] >= server.settings.jobs:
        raise TooMuch(f"{server.arriving[owner]} requests arrive at once; wait for one")
    folder = server.folder / f"{prefix}{token_hex(12)}"
    server.arriving[owner] += 1
    try:
        yield folder
    finally:
        server.arriving[owner] -= 1
        if not server.queue.read("SELECT 1 FROM jobs WHERE id = ?", folder.name):
            shutil.rmtree(folder, ignore_errors=True)


async def _look(server: Server, folder: Path, form: Form) -> Json:
    """What the files are. Raises Refused, which names the one that cannot be read."""
    if not form.names:
        return {}
    seen = await server.crew.look(folder)
    if error := seen.get("error"):
        named = {"request": {"names": form.names}}
        words = in_user_words(error["detail"], named, data=server.settings.data)
        kind = error["type"]
        raise Refused(status_of(kind), words, kind=kind, field=seen.get("field"))
    return seen


def _avatar(server: Server, form: Form, owner: str, kind: str) -> str | None:
    avatar = form.fields.get("avatar")
    if avatar is None:
        return None
    with about_field("avatar"):
        found = server.queue.get(avatar, owner)
        if found["object"] != "avatar":
            raise NotFound("there is no such avatar")
        if found["status"] == FAILED:
            raise InputError("the avatar could not be prepared; make it anew")
        known = (found["result"] or found["request"]).get("kind")
        if kind == "dub" and known == "portrait":
            raise InputError("the avatar is a portrait; a dub needs one of a clip")
    return avatar


def _name(form: Form, about: Json) -> str:
    sent = (form.names.get("speech") or about.get("text"), form.names.get("source"))
    return about.get("twin") or next(filter(None, sent), "unnamed")


def _speech_s(seen: Json, about: Json, most_s: float) -> float:
    """Seconds of speech that are asked for, of a text about as many. Raises Refused."""
    said_s = seen.get("speech_s") or len(about.get("text") or "") / LETTERS_S
    with about_field("speech"):
        if said_s > most_s:
            raise InputError(f"{said_s:.0f} s of speech; {most_s:g} s are taken here")
    return min(said_s, about.get("seconds") or said_s)


async def faces(server: Server, request: Request, owner: str) -> Response:
    """The faces in a picture, or in the first frames of a clip, from the left."""
    with _folder(server, owner, "look_") as folder:
        most = server.settings.upload_bytes
        form = await receive(request, folder, known={"source"}, most_bytes=most)
        if not form.names:
            raise Refused(422, "give a source", kind="MissingInput", field="source")
        (folder / "faces").touch()
        seen = await _look(server, folder, form)
        return JSONResponse({name: seen[name] for name in ("width", "height", "faces", "picture")})


async def page(server: Server, request: Request, owner: str, kind: str) -> Response:
    """The newest jobs, or those after one."""
    limit = request.query_params.get("limit", "20")
    digits = len(limit) < 4 and limit.isascii() and limit.isdigit()
    if not (digits and 1 <= int(limit) <= MOST_LISTED):
        raise Refused(422, f"limit: give 1 to {MOST_LISTED}", field="limit")
    after = request.query_params.get("after")
    found, more = server.queue.page(kind, owner, int(limit), after)
    last = found[-1]["id"] if found else None
    return JSONResponse({"data": [shown(job) for job in found], "has_more": more, "last_id": last})


def _get(server: Server, request: Request, owner: str, kind: str) -> Job:
    job = server.queue.get(request.path_params["id"], owner)
    if job["object"] != kind:
        raise NotFound(f"there is no such {kind}")
    return job


async def one(server: Server, request: Request, owner: str, kind: str) -> Response:
    """A job."""
    return JSONResponse(shown(_get(server, request, owner, kind)))


async def delete(server: Server, request: Request, owner: str, kind: str) -> Response:
    """Cancel a job, or forget one that has ended."""
    job = _get(server, request, owner, kind)
    if server.queue.cancel(job["id"], server.settings.keep_s):
        return JSONResponse(shown(server.queue.get(job["id"])))
    server.queue.remove(job["id"])
    await run_in_threadpool(shutil.rmtree, server.folder / job["id"], ignore_errors=True)
    return Response(status_code=204)


async def file(server: Server, request: Request, owner: str, kind: str, name: str) -> Response:
    """The video, its thumbnail, an avatar's preview, a dub's original; ranges are understood."""
    job = _get(server, request, owner, kind)
    folder, result = server.folder / job["id"], job["result"] or {}
    path = {
        "content": folder / result.get("file", "none"),
        "source": folder / "source",
    }.get(name, folder / f"{name}.jpg")
    if name == "source" and job["avatar"]:
        path = server.folder / job["avatar"] / "avatar/video/clip"
    if not path.is_file() or (name == "content" and job["status"] != DONE):
        raise Refused(404, f"there is no {name}, or not yet")
    download = request.query_params.get("download") == "1"
    called = f"{Path(job['name']).stem}.mp4" if download and name == "content" else None
    return FileResponse(path, media_type=_kind(path), filename=called)


def _kind(path: Path) -> str:
    """The media type, by content."""
    with path.open("rb") as opened:
        start = opened.read(8)
    if start[4:] == MP4:
        return "video/mp4"
    if start[:4] == WEBM:
        return "video/webm"
    return "image/jpeg" if path.suffix == ".jpg" else "application/octet-stream"


async def events(server: Server, request: Request, owner: str, kind: str) -> Response:
    """A job as server-sent events, on each change until it has ended."""
    job = _get(server, request, owner, kind)

    async def told() -> AsyncIterator[str]:
        before, silent_s, now = None, 0.0, job
        while True:
            if (said := shown(now)) != before:
                yield f"event: status\ndata: {json.dumps(said)}\n\n"
                before, silent_s = said, 0.0
            if now["status"] not in (QUEUED, RUNNING) or server.stopping:
                return
            await asyncio.sleep(WATCH_S)
            silent_s += WATCH_S
            if silent_s >= ALIVE_S:
                yield ": alive\n\n"
                silent_s = 0.0
            try:
                now = server.queue.get(job["id"], owner)
            except NotFound:
                return

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(told(), media_type="text/event-stream", headers=headers)
