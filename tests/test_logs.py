"""`--log json`: a line for each stage, an error as a line, and no secret in any of them."""

import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import datetime
from io import StringIO
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from mdth import cli
from mdth.errors import StorageError
from mdth.log import stages
from mdth.log.console import JSON, TEXT, Progress, logging_to, one_line, progress_line
from mdth.log.redact import hide
from tests.support.commands import Command, Terminal

PREPARE = ["fetch", "prepare speech", "prepare portrait", "seal", "publish"]
FILM = ["fetch", "load", "read speech", "speech to mesh", "retarget", "render", "encode", "upload"]


def lines(err: str) -> list[dict[str, Any]]:
    """Every line of stderr is one object with time, level and message."""
    found = [json.loads(line) for line in err.splitlines()]
    for line in found:
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
        assert line["level"] in ("info", "warning", "error")
        assert isinstance(line["message"], str)
    return found


def told(err: str) -> list[dict[str, Any]]:
    return [line for line in lines(err) if "stage" in line]


def test_twin_stages(mdth: Command, twin_home: Path, portrait_path: Path, short_path: Path) -> None:
    for kind, path in (("audio", short_path), ("image", portrait_path)):
        folder = twin_home / "store/raw/anna" / kind
        folder.mkdir(parents=True)
        copyfile(path, folder / path.name)
    prepared = mdth("preprocess", "anna", "--log", "json")
    assert prepared.code == 0, prepared.err
    filmed = mdth("inference", "anna", "--preview", "--log=json")
    assert filmed.code == 0, filmed.err
    for ended, expected in ((prepared, PREPARE), (filmed, FILM)):
        found = told(ended.err)
        assert [line["stage"] for line in found] == expected
        assert {line["twin"] for line in found} == {"anna"}
        assert all(line["seconds"] >= 0 for line in found)
    moved = {line["stage"]: line["bytes"] for line in told(prepared.err)}
    raw = short_path.stat().st_size + portrait_path.stat().st_size
    assert moved["fetch"] == raw
    assert moved["prepare portrait"] == portrait_path.stat().st_size
    # What is put is read back, but for the manifest.
    assert 0 < moved["seal"] < moved["publish"] < 2 * moved["seal"]
    video = twin_home / "home/warping-serving/anna/th/output.mp4"
    moved = {line["stage"]: line["bytes"] for line in told(filmed.err)}
    assert moved["encode"] == video.stat().st_size and moved["upload"] > moved["encode"]
    again = mdth("inference", "anna", "--preview", "--log", "json")
    assert [line["stage"] for line in told(again.err)] == ["fetch", "upload"]
    assert told(again.err)[1]["bytes"] is None


def test_errors_are_lines_with_the_same_exit_code(mdth: Command, tmp_path: Path) -> None:
    talk = ("talk", tmp_path / "a\nb.jpg", tmp_path / "b.wav", "-o", tmp_path / "c.mp4")
    plain, ended = mdth(*talk), mdth(*talk, "--log", "json")
    assert ended.code == plain.code == 1
    last = lines(ended.err)[-1]
    assert (last["level"], last["error"], last["exit"]) == ("error", "MissingInput", 1)
    assert plain.err.splitlines()[-1] == f"mdth: error: {last['message']}"


@pytest.mark.parametrize(
    "arguments",
    [["mesh"], ["sing"], ["version", "--loud"], ["talk", "a", "b", "-o", "c", "--fps", "x"]],
)
def test_wrong_usage_is_a_line_too(mdth: Command, arguments: list[str]) -> None:
    ended = mdth(*arguments, "--log", "json")
    assert ended.code == 2
    (line,) = lines(ended.err)
    assert (line["error"], line["exit"]) == ("Usage", 2)


@pytest.mark.parametrize(("raised", "code", "error"), [
    (StorageError("no AKIAIOSFODNN7EXAMPLE"), 1, "StorageError"),
    (OSError(28, "No space left on device"), 1, "OSError"),
    (MemoryError(), 1, "MemoryError"), (KeyboardInterrupt(), 130, "Stopped"),
    (cli._Terminated(143), 143, "Stopped"),
])  # fmt: skip
def test_every_way_to_end(
    mdth: Command, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, error: str
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr("mdth.record.versions", fail)
    ended = mdth("version", "--log", "json")
    assert ended.code == code
    (line,) = lines(ended.err)
    assert (line["error"], line["exit"]) == (error, code)
    plain = mdth("version")
    assert (plain.code, len(plain.err.splitlines())) == (code, 1)
    assert "AKIA" not in ended.err + plain.err


def test_a_librarys_warning_is_a_line_too(mdth: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn() -> dict[str, str]:
        warnings.warn("invalid value", RuntimeWarning, stacklevel=1)
        return {}

    monkeypatch.setattr("mdth.record.versions", warn)
    (line,) = lines(mdth("version", "--log", "json").err)
    assert line["level"] == "warning"
    assert "invalid value" in line["message"]


def test_exit_codes_are_documented(mdth: Command) -> None:
    said = " ".join(mdth("--help").out.split())
    for code in ("0 done", "1 an error", "2 wrong usage", "130 stopped by Ctrl-C", "143 stopped"):
        assert code in said


@pytest.mark.parametrize(("stream", "kind", "drawn"), [
    (Terminal, TEXT, True), (Terminal, JSON, False), (StringIO, TEXT, False),
])  # fmt: skip
def test_a_bar_is_for_a_terminal_and_among_no_lines(
    stream: type[StringIO], kind: str, drawn: bool
) -> None:
    bar = Progress(written := stream(), kind=kind)
    bar(1, 100)
    assert written.getvalue() == ""
    bar._start -= 3
    bar(30, 100)
    assert ("30%" in written.getvalue()) == drawn
    assert progress_line(50, 200, 2.0) == "[######..................]  25%  25 frames/s  0:06 left"
    assert progress_line(50, None, 2.0) == "50 frames, 25 frames/s"


def test_progress_is_told_as_json_now_and_then() -> None:
    """Between the stages, and not for every frame."""
    written = StringIO()
    with logging_to(written, verbose=False, kind=JSON) as bar:
        for done in range(1, 101):
            if done == 50 and bar._start is not None:
                bar._start -= 60
            bar(done, 100)
        bar._told -= 60
        bar(100, 100)
    found = [(line["done"], line["total"]) for line in lines(written.getvalue())]
    assert found == [(50, 100), (100, 100)]


@pytest.mark.parametrize("columns", [0, 8, 12, 20, 30, 40, 60, 80, 200])
def test_the_bar_fits_and_ends_its_line(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of any width, and before a warning or a result is written."""
    stream = Terminal()
    stream.fileno = lambda: 2
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    with logging_to(stream, verbose=False) as bar:
        bar(1, 100)
        bar._start -= 60
        bar(50, 100)
        assert "50%" in stream.getvalue()
        assert "left\x1b" in stream.getvalue() or 0 < columns < 20
        logging.getLogger("mdth").warning("odd")
    for drawn in stream.getvalue().split("\r")[1:]:
        assert len(drawn.partition("\x1b")[0].rstrip("\n")) < (columns or 80) or "odd" in drawn
    assert stream.getvalue().endswith("\r\x1b[Kmdth: odd\n")


@pytest.fixture(params=["text", "json"])
def stream(request: pytest.FixtureRequest) -> Iterator[StringIO]:
    """What the log writes, in both kinds."""
    written = StringIO()
    with logging_to(written, verbose=True, kind=request.param):
        yield written


SECRETS = {
    "an access key": ("AKIAIOSFODNN7EXAMPLE", "key AKIAIOSFODNN7EXAMPLE is unknown"),
    "a password in a URL": ("hunter2secret", "s3://user:hunter2secret@host/bucket: no"),
    "a signed query": ("abcdef0123456789", "GET /a?X-Amz-Signature=abcdef0123456789&x=1"),
    "a token": ("eyJhbGciOiJIUzI1NiJ9", "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9"),
    "a session token": ("FwoGZXIvYXdzEXAMPLE", "aws_session_token=FwoGZXIvYXdzEXAMPLE"),
    "a secret that is known": ("wJalrXUtnFEMI/K7MDENG", "tried wJalrXUtnFEMI/K7MDENG twice"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_the_handler_is_a_second_line_of_defence(stream: StringIO, kind: str) -> None:
    secret, said = SECRETS[kind]
    hide(["wJalrXUtnFEMI/K7MDENG"])
    log = logging.getLogger("mdth.anything")
    log.info("plain: %s", said)
    try:
        raise OSError(said)
    except OSError:
        log.exception("it failed")
    assert stream.getvalue().count("\n") == 2
    assert secret not in stream.getvalue()


def test_a_name_forges_no_line_and_moves_no_cursor(stream: StringIO) -> None:
    logging.getLogger("mdth").warning("%s: odd", "a\nmdth: error: forged\x1b[2J\r\u202egpj.exe\0")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text[:-1].isprintable()


def test_one_line_keeps_what_can_be_read() -> None:
    assert one_line("  größe 你好 \t a\nb\x07 ") == "größe 你好 a b\\x07"


def test_stages_count_what_moves_and_nest() -> None:
    with stages.about("anna"), stages.stage("outer") as outer, stages.stage("inner") as inner:
        stages.count(5)
        assert stages.current_twin() == "anna"
    assert (outer.bytes, inner.bytes) == (5, 5)
    assert stages.current_twin() is None
    with pytest.raises(KeyError), stages.stage("failing"):
        raise KeyError
    stages.count(7)
    assert JSON == "json"


def test_two_jobs_at_once_count_their_own(caplog: pytest.LogCaptureFixture) -> None:
    both_open = threading.Barrier(2)

    def move(twin: str, count: int) -> None:
        with stages.about(twin), stages.stage("upload"):
            both_open.wait()
            stages.count(count)
            both_open.wait()

    with caplog.at_level(logging.INFO, logger="mdth"):
        threads = [threading.Thread(target=move, args=job) for job in (("a", 1000), ("b", 5))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {(line.twin, line.bytes) for line in caplog.records} == {("a", 1000), ("b", 5)}


def test_the_stopwatch_counts_a_stage_inside_another_for_itself() -> None:
    def slow(items: Iterator[int], pause_s: float) -> Iterator[int]:
        for item in items:
            time.sleep(pause_s)
            yield item

    with stages.job() as watch:
        inner = stages.each("inner", slow(iter(range(5)), 0.02))
        assert list(stages.each("outer", slow(inner, 0.01))) == list(range(5))
    seconds = watch.seconds
    assert seconds["inner"] >= 0.099 and seconds["outer"] >= 0.049
    # Each second counts once, so that together they are no more than all.
    assert seconds["total"] >= seconds["inner"] + seconds["outer"] - 1e-3


def test_threads_of_a_job_count_for_it_and_only_for_it() -> None:
    def work() -> None:
        with stages.spent("paint"):
            time.sleep(0.01)

    with stages.job() as watch, stages.spent("outer"):
        mine = threading.Thread(target=stages.in_thread(work))
        other = threading.Thread(target=work)
        for thread in (mine, other):
            thread.start()
            thread.join()
    assert 0.01 <= watch.seconds["paint"] < watch.seconds["outer"]
