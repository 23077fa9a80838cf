"""The command line: what a user types, sees, and finds on the disk afterwards."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from made_media import make_clip, make_wav
from PIL import Image

from mdth import cli
from tests.support.commands import Command, hear_interrupts

ROOT = Path(__file__).parents[1]


def refused(ended: tuple[int, str, str], *words: str) -> None:
    """Exit 1, nothing on stdout, one line on stderr with these words."""
    code, out, err = ended
    lines = err.splitlines()
    assert code == 1, ended
    assert out == ""
    assert len(lines) == 1, err
    assert lines[0].startswith("mdth: error: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("arguments", [
    [], ["sing"], ["talk", "a.jpg", "b.wav", "-q"],
    ["talk", "a.jpg", "b.wav", "-o", "c.mp4", "--fps", "many"],
    ["talk", "a.jpg", "b.wav", "-o", "c.mp4", "--preset", "fastest"],
    ["talk", "a.jpg", "--still", "b.wav", "c.wav"],
    ["preprocess", "anna", "--n-gpus", "-1"], ["assets", "steal"],
])  # fmt: skip
def test_wrong_usage_is_2(mdth: Command, arguments: list[str]) -> None:
    ended = mdth(*arguments)
    assert ended.code == 2
    assert "usage: mdth" in ended.err


@pytest.mark.parametrize("arguments", [
    "talk a.jpg b.wav -o c.mp4", "talk a.jpg -o c.mp4 b.wav", "talk -o c.mp4 a.jpg --still b.wav",
    "talk a.jpg -o c.mp4 -- b.wav", "dub a.jpg --fit cut b.wav -o c.mp4",
])  # fmt: skip
def test_files_may_stand_before_behind_and_between_options(arguments: str) -> None:
    parsed = cli.parser().parse_args(arguments.split())
    first = parsed.portrait if arguments.startswith("talk") else parsed.clip
    assert (first, parsed.speech) == (Path("a.jpg"), Path("b.wav"))


@pytest.mark.parametrize("arguments", [
    "--model TH --task preprocess", "--model FLAME --task preprocess --twin-id a",
    "--model TH --task train --twin-id a", "--model TH --task inference --twin-id a --n-gpus none",
])  # fmt: skip
def test_the_seeds_command_refuses_other_usage(arguments: str) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.guarantee(arguments.split())
    assert stop.value.code == 2


def test_version_and_assets(mdth: Command, checkpoints: Path) -> None:
    assert "mdth " in mdth("version").out
    listed = mdth("assets", "verify")
    assert listed.code == 0
    assert "face_landmarker.task" in listed.out and "Apache-2.0" in listed.out


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("--fps", 0), ("--fps", 1000), ("--max-size", 10), ("--crf", 52), ("--face", 0)],
        *[("--mouth", -1), ("--motion", 3), ("--blink", "nan")],
    ],
)
def test_numbers_out_of_range(mdth: Command, tmp_path: Path, option: str, value: int) -> None:
    refused(mdth("talk", "a.jpg", "b.wav", "-o", tmp_path / "c.mp4", option, value), str(value))


def test_missing_files_and_missing_kinds(
    mdth: Command, tmp_path: Path, portrait_path: Path, short_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    nowhere = tmp_path / "nowhere.jpg"
    refused(mdth("talk", nowhere, short_path, "-o", out), "nowhere.jpg", "no such file")
    refused(mdth("talk", portrait_path, nowhere, "-o", out), "nowhere.jpg", "no such file")
    refused(mdth("talk", portrait_path, "-o", out), "no sound")
    refused(mdth("talk"), "no face")
    refused(mdth("talk", short_path, "-o", out), "no face")
    refused(mdth("talk", portrait_path, short_path, "-o", tmp_path / "out.avi"), ".mp4")
    refused(mdth("talk", short_path, portrait_path, "-o", out), "the portrait comes first")
    refused(mdth("talk", "https://a.b/c.jpg", short_path, "-o", out), "https://a.b/c.jpg: an")
    refused(
        mdth("talk", portrait_path, short_path, "-o", tmp_path / "no/out.mp4"), "no such folder"
    )
    assert list(tmp_path.iterdir()) == []
    clip = make_clip(tmp_path / "clip.mp4", [np.zeros((64, 64, 3), np.uint8)] * 9, range(9))
    refused(mdth("talk", clip, short_path, "-o", out), "is a clip", "give it as the video")


@pytest.mark.parametrize(("arguments", "meant"), [
    (["tlak", "a.jpg"], "talk"), (["talk", "a.jpg", "b.wav", "--fsp", 30], "--fps"),
    (["mesh", "b.wav", "--portait", "a.jpg", "-o", "a.glb"], "--portrait"),
    (["talk", "a.jpg", "b.wav", "--fps", "30x"], ""),
])  # fmt: skip
def test_what_was_meant(mdth: Command, monkeypatch, arguments: list[str], meant: str) -> None:
    monkeypatch.setattr(sys, "argv", ["mdth", *arguments])
    ended = mdth(*arguments)
    said = ended.err.rstrip().partition("; did you mean ")[2]
    assert (ended.code, said) == (2, f"{meant}?" if meant else "")


def test_the_version_and_the_way_to_a_pipe_with_sound(mdth: Command) -> None:
    assert mdth("--version").out == f"mdth {version('mdth')}\n"
    assert "-f rawvideo -pix_fmt rgb24" in " ".join(mdth("talk", "--help").out.split())


@pytest.mark.parametrize("command", ["talk", "mesh"])
def test_nobodys_file_is_replaced(
    mdth: Command, tmp_path: Path, monkeypatch, portrait_path, short_path, checkpoints, command
) -> None:
    """Neither by a record nor by a video that was given no name, nor is a pipe written into."""
    monkeypatch.chdir(tmp_path)
    given, name, own = {
        "talk": ((portrait_path, short_path, "--max-size", 256), "film.mp4", "film.mdth.json"),
        "mesh": ((short_path,), "face.glb", "face.glb.mdth.json"),
    }[command]
    given += ("--fps", 10, *(["--preview"] if command == "talk" else []))
    for content in ('{"title": "my film"}', "[]", "my notes"):
        Path(own).write_text(content)
        refused(mdth(command, *given, "-o", name), own, "not ours")
        assert Path(own).read_text() == content
    Path(own).unlink()
    Path(own).symlink_to("/dev/zero")
    refused(mdth(command, *given, "-o", name), own, "not ours")
    Path(own).unlink()
    Path("film.json").write_text("mine")
    os.mkfifo(f"pipe{Path(name).suffix}")
    refused(mdth(command, *given, "-o", f"pipe{Path(name).suffix}"), "pipe or a device")
    for _ in range(2):  # the second replaces what is ours
        assert mdth(command, *given, "-o", name).code == 0
    assert json.loads(Path(own).read_text())["inputs"]["speech"]["name"] == "short.wav"
    assert Path("film.json").read_text() == "mine"
    if command == "talk":
        Path("grace_hopper_short.mp4").write_text("mine")
        refused(mdth(command, *given), "grace_hopper_short.mp4", "not ours")
        Path("grace_hopper_short.mp4").unlink()
        assert [mdth(command, *given).out for _ in range(2)] == ["grace_hopper_short.mp4\n"] * 2


def test_without_its_record_no_video_is_left(
    mdth: Command, tmp_path: Path, portrait_path, short_path, checkpoints, monkeypatch
) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    out = tmp_path / "out.mp4"
    refused(mdth("talk", portrait_path, short_path, "-o", out, "--preview"), "the disk is full")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "2>&- >&- <&-"])
def test_a_closed_stream_is_no_fault(tmp_path, short_path, checkpoints, closed) -> None:
    line = f"{sys.executable} -m mdth mesh {short_path} -o {tmp_path}/a.csv --fps 10 {closed}"
    ended = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == 0 and b"Traceback" not in ended.stderr
    assert (tmp_path / "a.csv").read_text("utf-8").startswith("Timecode")


@pytest.mark.parametrize("limit_kb", [200_000, 600_000, 1_500_000])
def test_little_address_space_ends_in_words(
    short_path: Path, tmp_path: Path, limit_kb: int
) -> None:
    line = f"ulimit -v {limit_kb}; {sys.executable} -m mdth mesh {short_path} -o {tmp_path}/a.glb"
    ended = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True)
    refused((ended.returncode, ended.stdout, ended.stderr), "address space is limited", "needed")


def test_an_input_is_never_overwritten(
    mdth: Command, tmp_path: Path, portrait_path: Path, short_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(short_path.read_bytes())
    refused(mdth("talk", portrait_path, clip, "-o", clip), "is an input")
    assert clip.read_bytes() == short_path.read_bytes()


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory, portrait_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    Image.new("RGB", (300, 200), (180, 170, 160)).save(folder / "wall.png")
    (folder / "text.jpg").write_text("not a picture")
    (folder / "text.wav").write_text("not a sound")
    (folder / "empty.jpg").touch()
    (folder / "empty.wav").touch()
    with Image.open(portrait_path) as picture:
        picture.resize((130, 152)).save(folder / "tiny.png")
    content = portrait_path.read_bytes()
    (folder / "cut.jpg").write_bytes(content[: len(content) // 3])
    make_wav(folder / "short.wav", np.zeros(4_700))
    (folder / "folder.jpg").mkdir()
    return folder


@pytest.mark.parametrize(("name", "words"), [
    ("wall.png", ["no face in the picture"]), ("text.jpg", ["text.jpg", "not a picture"]),
    ("empty.jpg", ["empty.jpg", "empty"]), ("cut.jpg", ["cut.jpg", "cut off"]),
    ("tiny.png", ["the face is 5", "px high", "64"]), ("folder.jpg", ["folder.jpg", "not a file"]),
    # As sounds.
    ("text.wav", ["text.wav", "not a sound"]), ("empty.wav", ["empty.wav", "empty"]),
    ("short.wav", ["0.29 s", "at least 0.3"]), ("wall.png", ["wall.png"]),
])  # fmt: skip
def test_bad_files(mdth: Command, bad_files, tmp_path, portrait_path, short_path, name, words):
    sound = name.endswith(".wav") or words == ["wall.png"]
    given = (portrait_path, bad_files / name) if sound else (bad_files / name, short_path)
    refused(mdth("talk", *given, "-o", tmp_path / "out.mp4"), *words)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_twin(mdth: Command, twin_home: Path) -> None:
    (twin_home / "store").mkdir()
    refused(mdth("preprocess", "nobody"), "no files in raw/nobody")
    refused(mdth("inference", "nobody"), "nothing is prepared", "mdth preprocess nobody")


def test_more_gpus_than_there_are(mdth: Command, twin_home: Path) -> None:
    refused(mdth("preprocess", "anna", "--n-gpus", 64), "64 GPUs", "found")


def start(*arguments: object, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "mdth", *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Until it is so; the process must not end before."""
    while not condition():
        assert process.poll() is None, "it does not come"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_group_comes_twice(mdth: Command, monkeypatch, number: int) -> None:
    """To the job, and from the process that watches it: the second breaks no tidying off."""
    tidied = []

    def job(*_: object) -> list[str]:
        try:
            signal.raise_signal(number)
        finally:
            for again in (number, signal.SIGTERM):
                signal.raise_signal(again)
            tidied.append(number)

    monkeypatch.setattr("mdth.cli.commands.version", job)
    # What a shell starts in the background ignores Ctrl-C.
    heeded = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, heeded)
    try:
        assert (mdth("version").code, tidied) == (128 + number, [number])
    finally:
        signal.signal(number, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupt_leaves_nothing(
    tmp_path: Path, portrait_path: Path, checkpoints: Path, number: int, code: int
) -> None:
    speech = make_wav(
        tmp_path / "long.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 16_000 * 120)
    )
    folder = tmp_path / "out"
    folder.mkdir()
    process = start(
        "talk", portrait_path, speech, "-o", folder / "out.mp4", preexec_fn=hear_interrupts
    )
    wait_for(lambda: any(path.stat().st_size > 1000 for path in folder.iterdir()), process)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in err
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, portrait_path: Path, short_path: Path, checkpoints: Path
) -> None:
    limit = 40_000  # bytes a file may have: what a full disk does, without filling one

    def little_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = start(
        "talk", portrait_path, short_path, "-o", tmp_path / "out.mp4", preexec_fn=little_space
    )
    out, err = process.communicate()
    refused((process.returncode, out, err), "out.mp4", "free some space")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_raw_pipe(portrait_path: Path, short_path: Path, checkpoints: Path, tmp_path: Path) -> None:
    arguments = ["talk", portrait_path, short_path, "--preview", "--max-size", 256, "--fps", 10]
    to_stdout = subprocess.run(
        [sys.executable, "-m", "mdth", *map(str, arguments), "-o", "-"], cwd=ROOT,
        capture_output=True, check=True,
    )  # fmt: skip
    assert b"rgb24, 218x256, 10 frames/s" in to_stdout.stderr
    assert len(np.frombuffer(to_stdout.stdout, np.uint8).reshape(-1, 256, 218, 3)) == 10
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start(*arguments, "--raw", "-o", pipe)
    assert pipe.read_bytes() == to_stdout.stdout
    process.communicate()
    assert process.returncode == 0


def test_a_raw_file_is_complete_or_as_it_was(
    mdth: Command, tmp_path: Path, portrait_path: Path, short_path: Path, bad_files: Path
) -> None:
    raw = tmp_path / "frames.rgb"
    raw.write_bytes(b"before")
    arguments = ["--raw", "-o", raw, "--preview", "--max-size", 256]
    refused(mdth("talk", bad_files / "text.jpg", short_path, *arguments), "not a picture")
    assert raw.read_bytes() == b"before"
    assert mdth("talk", portrait_path, short_path, *arguments).code == 0
    assert raw.stat().st_size == 30 * 256 * 218 * 3
    assert list(tmp_path.iterdir()) == [raw]


@pytest.mark.slow
def test_a_pipes_reader_may_leave(portrait_path: Path, short_path: Path, checkpoints: Path) -> None:
    process = start("talk", portrait_path, short_path, "-o", "-", "--max-size", 256)
    process.stdout.buffer.read(1000)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait() == 1
    assert "Traceback" not in err
