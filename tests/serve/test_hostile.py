"""Requests that nobody would send by accident: none is a fault, none reaches beyond its own.

MDTH_REQUESTS=10000 sends so many instead of a few.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import API, EXAMPLES, Served
from starlette.requests import Request

from mdth.serve import uploads
from mdth.serve.problems import Refused
from mdth.serve.requests import FIELDS

CONNECTIONS = 900  # fewer than files that a process may have open as a rule
REQUESTS = int(os.environ.get("MDTH_REQUESTS", "120"))
PICTURE = (EXAMPLES / "grace_hopper.jpg").read_bytes()
SOUND = (EXAMPLES / "short.wav").read_bytes()
NAMES = [
    "../../../etc/passwd",
    "/etc/passwd",
    "a\\..\\b",
    "con",
    "",
    ".",
    "..",
    "x" * 300,
    "\u202e",
]
NUMBERS = ["nan", "inf", "-1", "1e999", "0", "1", "9" * 400, "0x1", "", "²"]
JSONS = ["{}", "[]", "null", "{", '{"mouth": NaN}', '{"mouth": 1e999}', '{"voice": "\\ud800"}']
JSONS += ['{"engine": "seed"}', '{"face": null}', '{"\\ud800": 1}', "[" * 9000, '{"point": "1,"}']

texts = st.one_of(st.text(max_size=30), st.sampled_from([*NUMBERS, *JSONS, *NAMES]))
contents = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([PICTURE[:9000], SOUND[:20_000], SOUND[:44], b"#EXTM3U\nfile:///etc/passwd"]),
)
kinds = st.sampled_from(["avatars", "talks", "dubs", "faces", "twins/x/inference", "twins/../x"])
fields = st.sampled_from(sorted(set().union(*FIELDS.values()) | {"", "a\r\nb", "\u2028"}))
forms = st.dictionaries(fields, texts, max_size=5)
files = st.dictionaries(
    st.sampled_from(["source", "speech", "options", "other"]),
    st.tuples(st.one_of(st.text(max_size=20), st.sampled_from(NAMES)), contents),
    max_size=3,
)
patient = settings(
    max_examples=REQUESTS, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    return serve("--workers", "1", "--max-jobs", "2", "--max-upload-mb", "1", "--twins")


@pytest.fixture(scope="module")
def anna(server: Served) -> httpx.Client:
    return server.client()


@patient
@given(kind=kinds, form=forms, sent=files)
def test_odd_forms(
    anna: httpx.Client, server: Served, kind: str, form: dict[str, str], sent: dict[str, Any]
) -> None:
    """Every answer is one that openapi.json has, none is a fault, no file lies elsewhere."""
    parts = {name: (None, value) for name, value in form.items()} | sent
    answer = anna.post(f"/v1/{kind}", files=parts or {"x": (None, "")})
    assert answer.status_code < 500, answer.text
    assert "/tmp" not in answer.text and str(server.data) not in answer.text
    if answer.status_code == 202:
        where = f"/v1/{answer.json()['object']}s/{answer.json()['id']}"
        anna.delete(where)
        anna.delete(where)
    assert {path.name for path in server.data.iterdir()} <= {
        *("jobs", "incoming", "serve.sqlite3", "serve.sqlite3-wal", "serve.sqlite3-shm")
    }


words = st.one_of(
    st.sampled_from(["v1", "page", "talks", "..", ".", "%2e%2e", "%00", "content", "events", "\\"]),
    st.text(max_size=8).map(quote),
)


@patient
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS", "X"]),
    path=st.lists(words, max_size=6).map(lambda parts: "/" + "/".join(parts)),
    query=st.text(max_size=20),
    header=st.sampled_from(["range", "if-range", "idempotency-key", "content-type", "cookie"]),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
)
def test_odd_paths_and_headers(
    anna: httpx.Client, method: str, path: str, query: str, header: str, value: str
) -> None:
    url = anna.base_url.copy_with(raw_path=f"{path}?after={quote(query)}".encode())
    answer = anna.request(method, url, headers={header: value.strip() or "x"})
    assert answer.status_code < 500, (method, path, answer.text)
    assert b"root:" not in answer.content and b"import " not in answer.content[:2000]


RAW = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST /v1/talks HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    b"POST /v1/faces HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/session HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n{",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /v1/talks/../../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET http://169.254.169.254/ HTTP/1.1\r\nhost: x\r\n\r\n",
]


@pytest.mark.parametrize("sent", RAW, ids=range(len(RAW)))
def test_odd_bytes(server: Served, anna: httpx.Client, sent: bytes) -> None:
    place = urlsplit(server.url)
    heard = b""
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        with contextlib.suppress(OSError):  # it hangs up
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            heard = connection.recv(4096)
    assert not heard.startswith(b"HTTP/1.1 5") and b"root:" not in heard
    assert anna.get("/healthz").json() == {"status": "ok"}


@pytest.fixture(scope="module")
def hasty(serve: Callable[..., Served]) -> Served:
    """One that hangs up sooner."""
    waits = {"connections.ASKING_S": 2, "connections.TAKING_S": 4}
    return serve("--workers", "1", hasty=waits)


UPGRADE = (
    "GET /v1/live?avatar=x HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n\r\n"
)
SESSION = "POST /v1/session HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"


@pytest.mark.parametrize(
    ("sent", "again"),
    [
        *((b"", b""), (b"GET / HTTP/1.1\r\nx: ", b"a"), (UPGRADE.encode(), b"")),
        (SESSION.encode(), b" "),
        # Answers that nobody takes.
        (b"GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 99, b""),
    ],
    ids=["silent", "slow", "sockets", "bodies", "deaf"],
)
def test_who_has_no_key_holds_nobody_up(hasty: Served, sent: bytes, again: bytes) -> None:
    """Of many connections none keeps an owner out, and after a while none is left."""
    place, held = urlsplit(hasty.url), list[socket.socket]()
    with contextlib.ExitStack() as opened, hasty.client() as anna:
        for _ in range(CONNECTIONS):
            one = socket.create_connection((place.hostname, place.port))
            held.append(opened.enter_context(one))
            one.setblocking(False)
            with contextlib.suppress(OSError):
                one.sendall(sent)
        begun, until = time.monotonic(), time.monotonic() + 60
        assert anna.get("/v1/options").status_code == 200
        print(f"{CONNECTIONS} connections: answered after {time.monotonic() - begun:.2f} s")
        while hasty.connections() > 5:
            assert time.monotonic() < until, hasty.connections()
            for one in held:
                with contextlib.suppress(OSError):
                    one.sendall(again)
            time.sleep(0.5)
        print(f"none left after {time.monotonic() - begun:.0f} s")


@pytest.mark.parametrize(
    "charset", ["unicode_escape", "utf-7", "hex", "idna", "undefined", "x" * 99]
)
def test_a_form_does_not_choose_how_it_is_decoded(anna: httpx.Client, charset: str) -> None:
    body = b'--b\r\ncontent-disposition: form-data; name="text"\r\n\r\n\\ud800\r\n--b--\r\n'
    headers = {"content-type": f"multipart/form-data; boundary=b; charset={charset}"}
    answer = anna.post("/v1/talks", content=body, headers=headers)
    assert answer.status_code == 422, answer.text


def test_many_parts_are_not_kept(anna: httpx.Client, server: Served) -> None:
    parts = [("source", (f"{number}", b"x")) for number in range(500)]
    assert anna.post("/v1/talks", files=parts).status_code == 400
    fields = [("name", (None, "x" * 60_000)) for _ in range(500)]
    assert anna.post("/v1/talks", files=fields).status_code in (400, 413)
    assert not list((server.data / "incoming").iterdir())


@pytest.mark.parametrize(
    ("blocks", "pause_s"), [([b"-", b"-", b"b"], 0.2), ([b"-"], 9.0)], ids=["slow", "silent"]
)
def test_slow_senders_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blocks: list[bytes], pause_s: float
) -> None:
    monkeypatch.setattr(uploads, "STALL_S", 0.5)
    monkeypatch.setattr(uploads, "START_S", 0.3)
    left = list(blocks)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    scope = {"type": "http", "method": "POST", "path": "/v1/talks", "headers": headers}
    scope |= {"query_string": b"", "server": ("localhost", 80), "scheme": "http"}
    request = Request(scope, receive)
    with pytest.raises(Refused) as refused:
        asyncio.run(uploads.receive(request, tmp_path, known={"source"}, most_bytes=100))
    assert refused.value.status_code == 408


def test_every_get_of_the_file_answers(anna: httpx.Client) -> None:
    """Those that openapi.json has, with ids of nothing."""
    for path, about in API["paths"].items():
        if "get" in about:
            assert anna.get(path.replace("{id}", "talk_none")).status_code in (200, 404), path
