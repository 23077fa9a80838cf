"""What is sent to a server: bounded while it arrives, and never named by its sender on disk."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mdth.errors import ArtefactError
from mdth.files.json import Json, parse
from mdth.serve.connections import ASKING_S
from mdth.serve.problems import Refused

FILES = ("source", "speech")
MOST_FIELDS, LONGEST_FIELD = 20, 64 << 10
# Who sends nothing for so long, or less than this in the mean, is a slow sender.
STALL_S, LEAST_BYTES_S, START_S = 30.0, 5_000, 60.0
LONGEST_NAME = 100


@dataclass
class Form:
    """fields: as they came. names: what the files were called. size: bytes of the files."""

    fields: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    size: int = 0
    fingerprint: str = ""


async def receive(request: Request, folder: Path, *, known: set[str], most_bytes: int) -> Form:
    """Write the files of a multipart form into `folder`, a new one, as `source` and `speech`.

    known: the fields it may have. Raises Refused.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise Refused(415, "send a form as multipart/form-data")
    # Its charset would choose any of Python's codecs.
    boundary = options.get(b"boundary", b"").decode("latin-1")
    headers = Headers({"content-type": f'multipart/form-data; boundary="{boundary}"'})
    parser = MultiPartParser(
        headers,
        _bounded(request, most_bytes),
        max_files=len(FILES),
        max_fields=MOST_FIELDS,
        max_part_size=LONGEST_FIELD,
    )
    try:
        sent = await parser.parse()
    except MultiPartException as error:
        raise Refused(400, error.message) from error
    folder.mkdir(exist_ok=True)  # not before: who sends for hours would find it swept away
    form, digest = Form(), hashlib.sha256(request.url.path.encode())
    for name, value in sorted(sent.multi_items(), key=lambda item: item[0]):
        if name not in known or name in {**form.fields, **form.names}:
            raise Refused(422, f"give only {', '.join(sorted(known))}, each once", field=name[:80])
        if isinstance(value, UploadFile) != (name in FILES):
            what = "a file" if name in FILES else "a text, no file"
            raise Refused(422, f"{name}: give {what}", field=name)
        digest.update(f"\0{name}\0".encode())
        if isinstance(value, UploadFile):
            form.names[name] = shown_name(value.filename or name)
            form.size += await run_in_threadpool(_write, value, folder / name, digest)
            await value.close()
        else:
            form.fields[name] = value
            digest.update(value.encode())
    form.fingerprint = digest.hexdigest()
    return form


async def short_json(request: Request, most_bytes: int) -> Json:
    """The object of a short body. Raises Refused."""
    try:
        async with asyncio.timeout(ASKING_S):
            blocks = [block async for block in _bounded(request, most_bytes)]
        return parse(b"".join(blocks), "the request")
    except TimeoutError as error:
        raise Refused(408, f"not all of it came within {ASKING_S:g} s") from error
    except ArtefactError as error:
        raise Refused(422, str(error)) from error


def shown_name(name: str) -> str:
    """A file's name as it is shown: no folders, no letters that cannot be seen."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:LONGEST_NAME] or "unnamed"


def _write(sent: UploadFile, path: Path, digest: "hashlib._Hash") -> int:
    own = hashlib.sha256()
    with path.open("xb") as file:
        while block := sent.file.read(1 << 20):
            file.write(block)
            own.update(block)
        digest.update(own.digest())
        return file.tell()


async def _bounded(request: Request, most_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body, as long as it is not too large and not too slow."""
    too_large = Refused(413, f"the request is larger than {most_bytes / 1e6:g} MB")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > most_bytes:
        raise too_large
    taken, begun, stream = 0, time.monotonic(), request.stream()
    while True:
        try:
            async with asyncio.timeout(STALL_S):
                block = await anext(stream, None)
        except TimeoutError as error:
            raise Refused(408, f"nothing came for {STALL_S:g} s") from error
        if block is None:
            return
        taken += len(block)
        if taken > most_bytes:
            raise too_large
        if time.monotonic() - begun > START_S + taken / LEAST_BYTES_S:
            raise Refused(408, f"less than {LEAST_BYTES_S} bytes a second came")
        yield block
