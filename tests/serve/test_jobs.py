"""Avatars, talks and dubs over HTTP, by the real engine."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from serving import EXAMPLES, OPTIONS, Served, ended

from mdth.media.audio import probe_sound
from mdth.media.video import probe_video


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    return serve("--workers", "1")


@pytest.fixture
def anna(server: Served) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def avatar(server: Served, portrait: bytes) -> str:
    with server.client() as client:
        made = client.post("/v1/avatars", files={"source": ("../../a\\b/Anna ☺.jpg", portrait)})
        assert made.status_code == 202, made.text
        job = ended(client, f"/v1/avatars/{made.json()['id']}")
    assert (job["status"], job["name"], job["kind"]) == ("completed", "Anna ☺.jpg", "portrait")
    return str(job["id"])


@pytest.fixture(scope="module")
def talk(server: Served, avatar: str, speech: bytes) -> dict[str, object]:
    with server.client() as client:
        sent = {"avatar": avatar, "options": OPTIONS}
        made = client.post("/v1/talks", data=sent, files={"speech": ("half.wav", speech)})
        assert made.status_code == 202, made.text
        return ended(client, f"/v1/talks/{made.json()['id']}")


def test_an_avatar_shows_its_face(anna: httpx.Client, avatar: str) -> None:
    job = anna.get(f"/v1/avatars/{avatar}").json()
    (face,) = job["faces"]
    x, y, width, height = face["box"]
    assert 0.2 < x + width / 2 < 0.8 and 0.2 < y + height / 2 < 0.8
    assert anna.get(job["preview_url"]).content.startswith(b"\xff\xd8")


def test_a_talk_is_a_film_with_its_sound(
    anna: httpx.Client, talk: dict[str, str], tmp_path: Path
) -> None:
    assert (talk["status"], talk["progress"], talk["error"]) == ("completed", 100, None)
    whole = anna.get(talk["content_url"])
    assert whole.headers["content-type"] == "video/mp4" and whole.headers["etag"]
    assert whole.headers["cache-control"] == "private"
    film = tmp_path / "film.mp4"
    film.write_bytes(whole.content)
    assert (probe_video(film).fps, probe_video(film).width) == (10, 200)
    assert probe_sound(film).duration_s == pytest.approx(0.5, abs=0.06)
    part = anna.get(talk["content_url"], headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert anna.get(talk["thumbnail_url"]).content.startswith(b"\xff\xd8")
    saved = anna.get(talk["content_url"], params={"download": "1"})
    assert saved.headers["content-disposition"] == 'attachment; filename="half.mp4"'


def test_events_tell_of_a_job_until_its_end(anna: httpx.Client, avatar: str, speech: bytes) -> None:
    sent = {"avatar": avatar, "options": OPTIONS, "name": "told"}
    made = anna.post("/v1/talks", data=sent, files={"speech": speech}).json()
    with anna.stream("GET", f"/v1/talks/{made['id']}/events") as stream:
        said = [line for line in stream.iter_lines() if line.startswith("data: ")]
    states = [json.loads(line.removeprefix("data: ")) for line in said]
    assert states[0]["status"] in ("queued", "in_progress")
    assert states[-1]["status"] == "completed"
    assert [state["progress"] for state in states] == sorted(state["progress"] for state in states)


def test_several_faces_are_told_from_the_left(anna: httpx.Client) -> None:
    picture = (EXAMPLES / "grace_hopper.jpg").read_bytes()
    seen = anna.post("/v1/faces", files={"source": picture}).json()
    assert (seen["width"], seen["height"], len(seen["faces"])) == (512, 600, 1)
    assert base64.b64decode(seen["picture"].partition(",")[2]).startswith(b"\xff\xd8")


def test_a_talk_of_an_avatar_that_fails_says_why(anna: httpx.Client, speech: bytes) -> None:
    """Both are sent at once; the talk waits for the avatar."""
    wall = bytes(cv2.imencode(".png", np.full((90, 90, 3), 200, np.uint8))[1])
    avatar = anna.post("/v1/avatars", files={"source": ("wall.png", wall)}).json()
    sent = {"avatar": avatar["id"], "options": OPTIONS}
    talk = anna.post("/v1/talks", data=sent, files={"speech": speech}).json()
    job = ended(anna, f"/v1/talks/{talk['id']}")
    assert job["status"] == "failed"
    assert job["error"]["type"] == "urn:mdth:NoFaceFound"
    assert job["error"]["detail"].startswith("the avatar: no face in the picture (90x90)")


def test_metrics_count_what_was_done(anna: httpx.Client, talk: dict[str, object]) -> None:
    said = anna.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in said.splitlines() if not line.startswith("#"))
    assert int(values['mdth_jobs{object="talk",status="completed"}']) >= 1
    assert float(values['mdth_frames_total{of="all"}']) >= 5
    assert float(values['mdth_seconds_total{stage="total"}']) > 0
    assert float(values["mdth_frames_per_second"]) > 0


@pytest.mark.slow
def test_twins_of_the_store(
    serve: Callable[..., Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = {"MDTH_STORE": str(tmp_path / "store"), "MDTH_HOME": str(tmp_path / "home")}
    for name, folder in home.items():
        monkeypatch.setenv(name, folder)
    for kind, name in (("audio", "short.wav"), ("image", "grace_hopper.jpg")):
        (tmp_path / "store/raw/ada" / kind).mkdir(parents=True)
        shutil.copy(EXAMPLES / name, tmp_path / "store/raw/ada" / kind)
    form = {"options": (None, '{"preview": true, "fps": 10}')}
    with serve("--workers", "1", "--twins", **home).client() as anna:
        for task, options in (("preprocess", {"name": (None, "ada")}), ("inference", form)):
            made = anna.post(f"/v1/twins/ada/{task}", files=options)
            job = ended(anna, f"/v1/twins/{made.json()['id']}")
            assert (job["status"], job["error"]) == ("completed", None)
        film = anna.get(job["content_url"]).content
        assert film == next((tmp_path / "store").rglob("output.mp4")).read_bytes()
        assert anna.post("/v1/twins/ada/other", files=form).status_code == 404
        odd = anna.post("/v1/twins/..%2fada/preprocess", files=form)
        assert odd.status_code == 404
        wrong = anna.post("/v1/twins/.ada/preprocess", files=form)
        assert wrong.status_code == 422


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({}, "speech"),
        ({"text": " "}, "text"),
        ({"text": ""}, "text"),
        ({"text": "x" * 5001}, "text"),
        ({"text": "Hi.", "voice": "nobody"}, "voice"),
        ({"text": "Hi.", "seconds": "0"}, "seconds"),
        ({"text": "Hi.", "options": "[]"}, "options"),
        ({"text": "Hi.", "options": '{"mouth": 3}'}, "options"),
        ({"text": "Hi.", "avatar": "av_none"}, "source"),
        ({"text": "Hi.", "speech": "no file"}, "speech"),
        ({"text": "Hi.", "other": "1"}, "other"),
    ],
)
def test_what_is_wrong_is_told_at_once(
    anna: httpx.Client, portrait: bytes, form: dict[str, str], field: str
) -> None:
    answer = anna.post("/v1/talks", data=form, files={"source": portrait})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
