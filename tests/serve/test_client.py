"""`mdth.Client` and `mdth talk --server`, against a server of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from serving import EXAMPLES, KEYS, Served

import mdth
from mdth.media.video import probe_video

CHOICES = {"fps": 10, "preset": "ultrafast"}


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    return serve("--workers", "1")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, portrait: bytes, speech: bytes) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "anna.jpg").write_bytes(portrait)
    (folder / "half.wav").write_bytes(speech)
    return folder


def test_an_avatar_speaks_and_a_clip_is_dubbed(server: Served, files: Path, tmp_path: Path) -> None:
    told: list[int] = []
    with mdth.Client(server.url, key=KEYS["anna"]) as client:
        avatar = client.prepare(files / "anna.jpg")
        out = tmp_path / "out.mp4"
        more = {"progress": lambda done, _: told.append(done), **CHOICES}
        job = client.talk(avatar["id"], files / "half.wav", out, name="said", **more)
        assert probe_video(out).fps == 10 and told[-1] == 100
        assert [each["id"] for each in client.jobs()] == [job["id"]]
        dubbed = tmp_path / "dubbed.mp4"
        short = {"fit": "cut", "preset": "ultrafast", "seconds": 0.5}
        job = client.dub(EXAMPLES / "clip.mp4", files / "half.wav", dubbed, **short)
        assert probe_video(dubbed).width == probe_video(EXAMPLES / "clip.mp4").width
    with server.client() as anna:
        original = anna.get(f"/v1/dubs/{job['id']}/source", headers={"Range": "bytes=0-"})
    assert original.status_code == 206
    assert original.content == (EXAMPLES / "clip.mp4").read_bytes()


@pytest.mark.parametrize(
    ("who", "sound", "choices", "error", "words"),
    [
        ("half.wav", "half.wav", {}, mdth.UnreadableMedia, "half.wav: not a picture"),
        ("anna.jpg", "anna.jpg", {}, mdth.UnreadableMedia, "anna.jpg: "),
        ("anna.jpg", "half.wav", {"mouth": 9}, mdth.InputError, "mouth 9: give a number from"),
        ("anna.jpg", "half.wav", {"n_gpus": 2}, mdth.InputError, "no option 'n_gpus'"),
        ("none.jpg", "half.wav", {}, mdth.InputError, "none.jpg"),
        ("av_none", "half.wav", {}, mdth.InputError, "no such job"),
        ("wall.png", "half.wav", {}, mdth.NoFaceFound, "no face in the picture"),
        ("anna.jpg", "blip.wav", {}, mdth.SpeechTooShort, "blip.wav"),
    ],
)
def test_errors_are_those_of_mdth(
    server: Served, files: Path, who: str, sound: str, choices: dict[str, int],
    error: type[Exception], words: str,
) -> None:  # fmt: skip
    import cv2
    import numpy as np
    from made_media import make_wav

    cv2.imwrite(str(files / "wall.png"), np.full((80, 80, 3), 200, np.uint8))
    make_wav(files / "blip.wav", np.zeros(800))
    portrait = who if who.startswith("av_") else files / who
    with mdth.Client(server.url, key=KEYS["anna"]) as client:
        with pytest.raises(error, match=words) as raised:
            client.talk(portrait, files / sound, files / "out.mp4", **choices, **CHOICES)
    assert str(server.data) not in str(raised.value)
    assert not (files / "out.mp4").exists()


def test_nobody_there_and_no_key(
    server: Served, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdth.client.TRY_AGAIN_S", 0)
    for url, words in (("http://127.0.0.1:1", "is it there"), (server.url, "give a key")):
        with mdth.Client(url) as client, pytest.raises(mdth.MdthError, match=words):
            client.prepare(files / "anna.jpg")
    with pytest.raises(mdth.InputError, match="no address"):
        mdth.Client("localhost:8000")


def test_the_command_line_asks_a_server(
    server: Served, files: Path, tmp_path: Path, mdth: Callable[..., object]
) -> None:
    out = tmp_path / "out.mp4"
    options = ["--fps", "10", "--preset", "ultrafast", "--server", server.url]
    said = mdth(
        "talk", files / "anna.jpg", files / "half.wav", "-o", out, *options, "--key", KEYS["anna"]
    )
    assert said.out == f"{out}\n", said
    assert probe_video(out).fps == 10
