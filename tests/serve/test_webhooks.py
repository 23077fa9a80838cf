"""Messages about jobs: signed, sent again, through a restart, to nobody else."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from serving import OPTIONS, Served, ended

from mdth.errors import InputError
from mdth.serve import webhooks
from mdth.serve.queue import Queue
from mdth.serve.settings import Settings
from tests.support.web import Handler, serving


@pytest.fixture
def heard() -> Iterator[SimpleNamespace]:
    """A host that keeps its `messages`: it sends the first one elsewhere, and takes the others."""
    messages: list[tuple[dict[str, str], bytes]] = []

    class Hearing(Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            messages.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.answer(302 if len(messages) == 1 else 200, Location=f"{url}/elsewhere")

    with serving(Hearing) as url:
        yield SimpleNamespace(host=url.removeprefix("http://"), messages=messages)


def test_messages_are_signed_and_sent_again(
    serve: Callable[..., Served], heard: SimpleNamespace, portrait: bytes, speech: bytes
) -> None:
    server = serve("--workers", "1", "--webhook-hosts", heard.host)
    with server.client() as anna:
        sent = {"options": OPTIONS, "webhook_url": f"http://{heard.host}/told"}
        files = {"source": portrait, "speech": speech}
        made = anna.post("/v1/talks", data=sent, files=files).json()
        job = ended(anna, f"/v1/talks/{made['id']}")
        secret = anna.get("/v1/options").json()["webhook_secret"]
        until = time.monotonic() + 20
        while not heard.messages and time.monotonic() < until:
            time.sleep(0.1)
        server.stop()
        server.start()  # what was refused is sent again, by another process
    while len(heard.messages) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    (first, body), (second, again) = heard.messages
    assert first["webhook-id"] == second["webhook-id"] and body == again
    assert json.loads(body)["type"] == "talk.completed" and json.loads(body)["data"] == job
    for headers in (first, second):
        # As standardwebhooks.com says, written anew.
        said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60


@pytest.fixture(scope="module")
def strict(serve: Callable[..., Served]) -> Served:
    return serve("--webhook-hosts", "allowed.example")


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:1/", "http://169.254.169.254/latest", "file:///etc/passwd"),
        *("http://allowed.example@evil.example/", "http://allowed.example.evil.example/", "//x"),
        *("http://[::1", "ftp://allowed.example/", "http://allowed.example/\r\nx: y"),
    ],
)
def test_nobody_else_is_told(strict: Served, url: str, portrait: bytes, speech: bytes) -> None:
    with strict.client() as anna:
        files = {"source": portrait, "speech": speech}
        answer = anna.post("/v1/talks", data={"webhook_url": url}, files=files)
    assert (answer.status_code, answer.json()["field"]) == (403, "webhook_url")


@pytest.mark.parametrize(("first", "left"), [(b"", 0), (b"x: ", 1)], ids=["body", "headers"])
def test_who_answers_without_end_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes, left: int
) -> None:
    monkeypatch.setattr(webhooks, "ANSWER_S", 0.5)
    queue = Queue(tmp_path)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + (first or b"\r\n"))
        while not writer.is_closing():
            writer.write(b"a")
            await asyncio.sleep(0.05)

    async def told() -> None:
        async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
            host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            settings = Settings(tmp_path, webhook_hosts=frozenset({host}))
            request = json.dumps({"webhook_url": f"http://{host}/"})
            job = {"id": "talk_1", "object": "talk", "owner": "anna", "created": time.time()}
            more = {"name": "n", "bytes": 0, "speech_s": 1.0, "request": request}
            queue.add(job | more, settings)
            queue.cancel("talk_1", 60)
            await asyncio.wait_for(webhooks.send_due(settings, queue), 10)

    asyncio.run(told())
    assert [hook["tries"] for hook in queue.read("SELECT tries FROM hooks")] == [1] * left


@pytest.mark.parametrize("given", ["whsec_", "whsec_!", "whsec_YWJj", "b" * 33])
def test_a_secret_that_can_be_guessed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (tmp_path / "webhook.secret").touch()  # as a full disk leaves it
    assert (
        Settings(tmp_path).webhook_secret("anna") and (tmp_path / "webhook.secret").stat().st_size
    )
    monkeypatch.setenv("MDTH_WEBHOOK_SECRET", given)
    with pytest.raises(InputError, match="MDTH_WEBHOOK_SECRET"):
        Settings(tmp_path).webhook_secret("anna")
