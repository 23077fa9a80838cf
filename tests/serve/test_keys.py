"""Who may come in, what they see, and how much they may have."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import EXAMPLES, KEYS, OPTIONS, Served, ended
from starlette.requests import HTTPConnection

from mdth.errors import InputError
from mdth.serve import jobs
from mdth.serve.crew import swept
from mdth.serve.problems import Refused
from mdth.serve.queue import Queue, TooMuch
from mdth.serve.run import opened
from mdth.serve.server import Server
from mdth.serve.settings import Settings, read_keys


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    flags = ["--workers", "1", "--max-jobs", "3", "--max-upload-mb", "1", "--max-seconds", "20"]
    return serve(*flags)


@pytest.fixture
def anna(server: Served) -> Iterator[httpx.Client]:
    with server.client("anna") as client:
        yield client


@pytest.fixture
def bert(server: Served) -> Iterator[httpx.Client]:
    with server.client("bert") as client:
        yield client


@pytest.fixture(scope="module")
def talk(server: Served, portrait: bytes, speech: bytes) -> dict[str, Any]:
    """Anna's."""
    with server.client("anna") as client:
        sent = {"options": OPTIONS}
        made = client.post("/v1/talks", data=sent, files={"source": portrait, "speech": speech})
        return ended(client, f"/v1/talks/{made.json()['id']}")


@pytest.mark.parametrize("key", ["x", "anna", KEYS["anna"][:-1], KEYS["anna"] + "x"])
def test_nobodys_key_opens_nothing(server: Served, key: str) -> None:
    with server.client(None) as client:
        headers = {b"authorization": f"Bearer {key}".encode()}
        for path in ("/v1/options", "/v1/talks", "/v1/avatars/av_1/preview", "/metrics"):
            answer = client.get(path, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert client.post("/v1/session", json={"key": key}).status_code == 401
        assert client.get("/healthz").status_code == 200


def test_a_key_becomes_a_cookie(server: Served) -> None:
    with server.client(None) as client:
        answer = client.post("/v1/session", json={"key": KEYS["bert"]})
        assert answer.status_code == 204
        assert {"HttpOnly", "SameSite=strict"} <= set(answer.headers["set-cookie"].split("; "))
        assert client.get("/v1/options").json()["owner"] == "bert"
        for body in (b"", b"[]", b'{"key": 1}', '{"key": "é"}'.encode(), b"[" * 3000):
            assert client.post("/v1/session", content=body).status_code == 422
        assert client.post("/v1/session", content=b" " * 5000).status_code == 413


def test_others_jobs_are_not_there(bert: httpx.Client, talk: dict[str, Any], speech: bytes) -> None:
    one = f"/v1/talks/{talk['id']}"
    for path in (one, f"{one}/content", f"{one}/thumbnail", f"{one}/events"):
        assert bert.get(path).status_code == 404
    assert bert.delete(one).status_code == 404
    assert bert.get("/v1/talks").json()["data"] == []
    assert bert.get("/v1/talks", params={"after": talk["id"]}).status_code == 404
    answer = bert.post("/v1/talks", data={"avatar": talk["id"]}, files={"speech": speech})
    assert (answer.status_code, answer.json()["field"]) == (404, "avatar")


def test_pages_of_other_sites_may_do_nothing(anna: httpx.Client, tmp_path: Path) -> None:
    for origin in ("https://evil.example", "null", "http://["):
        foreign = {"Origin": origin}
        assert anna.post("/v1/faces", headers=foreign, files={"source": b"x"}).status_code == 403
        key = {"key": KEYS["anna"]}  # nor may they leave a key of theirs here
        assert anna.post("/v1/session", headers=foreign, json=key).status_code == 403
    own = {"Origin": str(anna.base_url).rstrip("/")}
    assert anna.post("/v1/faces", headers=own, files={"source": b"x"}).status_code == 422
    without_keys = Server(Settings(tmp_path))

    def owner(host: bytes) -> str:
        scope = {"type": "http", "method": "GET", "headers": [(b"host", host)]}
        return without_keys.owner(HTTPConnection(scope))

    assert owner(b"localhost:8000") == owner(b"127.0.0.1:8000") == "local"
    # A name of somebody's own that leads here is no way in for pages of that name.
    with pytest.raises(Refused, match="only localhost") as refused:
        owner(b"evil.example")
    assert refused.value.status_code == 403


def test_only_this_machine_comes_without_a_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="MDTH_API_KEYS"):
        opened(Settings(tmp_path, host="0.0.0.0", port=0))
    opened(Settings(tmp_path, host="0.0.0.0", port=0, insecure=True)).close()
    keys = read_keys("anna:0123456789abcdef")
    opened(Settings(tmp_path, host="0.0.0.0", port=0, keys=keys)).close()


def test_a_folder_that_cannot_be_is_said_before_the_address(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        opened(Settings(tmp_path / "file/data", host="127.0.0.1", port=0))


def test_keys_are_read_from_a_file_where_only_hashes_are(tmp_path: Path) -> None:
    hashed = hashlib.sha256(b"anna-0123456789abcdef").hexdigest()
    file = tmp_path / "keys"
    file.write_text(f"# who\nanna:sha256:{hashed}\n\nbert:bert-0123456789abcdef # plain\n")
    found = read_keys(str(file))
    assert found == read_keys("anna:anna-0123456789abcdef,bert:bert-0123456789abcdef")
    assert Settings(tmp_path, keys=found).owner("anna-0123456789abcdef") == "anna"
    assert Settings(tmp_path, keys=found).owner(hashed) is None
    for wrong in ("anna", "anna:short", ":0123456789abcdef", "a:sha256:00", "a:sha256:x", ",#"):
        with pytest.raises(InputError, match="MDTH_API_KEYS"):
            read_keys(wrong)


def test_more_than_a_key_may_have(anna: httpx.Client, bert: httpx.Client, portrait: bytes) -> None:
    """Jobs, bytes of a request, seconds: each says so, and nothing of it stays."""
    # The one worker is at the first of them until all have come.
    slow = {"source": portrait, "speech": (EXAMPLES / "short.wav").read_bytes()}
    sent = [anna.post("/v1/talks", data={"options": '{"fps": 120}'}, files=slow)]
    sent += [anna.post("/v1/avatars", files={"source": portrait}) for _ in range(3)]
    assert [job.status_code for job in sent] == [202, 202, 202, 429]
    assert sent[-1].json()["type"] == "urn:mdth:TooMuch" and sent[-1].headers["retry-after"]
    assert bert.post("/v1/avatars", files={"source": portrait}).status_code == 202
    for job in sent[:-1]:
        anna.delete(f"/v1/{job.json()['object']}s/{job.json()['id']}")
    large = b"x" * 1_100_000
    assert anna.post("/v1/avatars", files={"source": large}).status_code == 413
    boundary = {"content-type": "multipart/form-data; boundary=b"}
    start = b'--b\r\ncontent-disposition: form-data; name="source"; filename="f"\r\n\r\n'
    unsaid = anna.post("/v1/avatars", headers=boundary, content=iter([start, large]))
    assert unsaid.status_code == 413
    long = anna.post("/v1/talks", files={"source": portrait, "text": (None, "word " * 90)})
    assert (long.status_code, long.json()["field"]) == (422, "speech")


def test_the_same_request_makes_one_job(anna: httpx.Client, portrait: bytes, speech: bytes) -> None:
    key = {"Idempotency-Key": "once"}
    files = {"source": portrait, "speech": speech}
    first, again = (anna.post("/v1/talks", headers=key, files=files).json() for _ in range(2))
    assert first["id"] == again["id"]
    other = anna.post("/v1/talks", headers=key, files={**files, "name": (None, "another")})
    assert (other.status_code, other.json()["title"]) == (409, "Conflict")
    anna.delete(f"/v1/talks/{first['id']}")


def test_pages_have_every_job_once(anna: httpx.Client, bert: httpx.Client, portrait: bytes) -> None:
    made = [bert.post("/v1/avatars", files={"source": portrait}).json()["id"] for _ in range(2)]
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = bert.get("/v1/avatars", params={"limit": 1, **after}).json()
        seen += [job["id"] for job in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert seen[:2] == made[::-1] and len(set(seen)) == len(seen)
    for limit in ("0", "101", "x", "-1", "²", "9" * 5000, "0000000011", "000000001" + "9" * 5000):
        assert bert.get("/v1/avatars", params={"limit": limit}).status_code == 422


def job(number: int, owner: str, **more: Any) -> dict[str, Any]:
    return {
        **{"id": f"talk_{number}", "object": "talk", "owner": owner, "created": time.time()},
        **{"name": "n", "bytes": 10, "speech_s": 1.0, "request": json.dumps({}), **more},
    }


def test_who_sends_more_waits_longer(tmp_path: Path) -> None:
    """Anna's ninety before bert's three: he is served in every second turn."""
    queue, limits = Queue(tmp_path), Settings(tmp_path, jobs=100)
    for number in range(93):
        queue.add(job(number, "bert" if number >= 90 else "anna"), limits)
    begun = [queue.claim() for _ in range(8)]
    assert [each["owner"] for each in begun if each] == ["anna", "bert"] * 3 + ["anna"] * 2
    for each in filter(None, begun[:6]):
        assert queue.finish(each["id"], each["claim"], result={})
        assert not queue.finish(each["id"], each["claim"], result={})


def test_a_job_whose_worker_always_dies_fails_in_the_end(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.add(job(1, "anna"), Settings(tmp_path))
    for _ in range(3):
        claimed = queue.claim()
        assert claimed
        queue.hand_back(claimed["id"], claimed["claim"])
    assert queue.claim() is None
    failed, folder = queue.get("talk_1"), tmp_path / "jobs/talk_1"
    assert failed["status"] == "failed" and failed["expires"] > time.time()
    folder.mkdir(parents=True)
    swept(queue, folder.parent)  # what was sent stays no longer: it counts no more either
    assert not folder.exists() and queue.get("talk_1")


def test_requests_that_arrive_are_counted(tmp_path: Path) -> None:
    server = Server(Settings(tmp_path, jobs=1))
    for _ in range(2):
        with jobs._folder(server, "anna", "talk_"), jobs._folder(server, "bert", "talk_"):
            with pytest.raises(TooMuch), jobs._folder(server, "anna", "talk_"):
                pass


def test_results_expire_and_nothing_else(tmp_path: Path) -> None:
    queue, folder = Queue(tmp_path), tmp_path / "jobs"
    for number in range(2):
        (folder / f"talk_{number}").mkdir(parents=True)
        queue.add(job(number, "anna"), Settings(tmp_path))
    (folder / "look_of_now").mkdir()
    claimed = queue.claim()
    assert claimed and queue.finish("talk_0", claimed["claim"], result={}, keep_s=0.01)
    time.sleep(0.02)
    swept(queue, folder)
    assert {left.name for left in folder.iterdir()} == {"talk_1", "look_of_now"}
    assert [each["id"] for each in queue.page("talk", "anna", 9, None)[0]] == ["talk_1"]
