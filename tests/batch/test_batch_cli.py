"""`mdth batch` as a user types it: exit codes, the table, progress, Ctrl-C."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import made_tasks
import pytest
from made_tasks import PATIENCE_S, noted

from mdth.batch.job import Result
from mdth.cli import batch
from mdth.log.console import Progress, logging_to
from tests.support.commands import Command, Terminal, hear_interrupts


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, and a cheap task in the place of inference that notes in this folder."""
    (tmp_path / "store/raw").mkdir(parents=True)
    monkeypatch.setenv("MDTH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MADE_TASKS_FOLDER", str(tmp_path))
    monkeypatch.setattr(
        batch, "TASKS", dict.fromkeys(("inference", "preprocess"), "made_tasks:told")
    )
    return tmp_path


def listed(folder: Path, *twins: str) -> Path:
    path = folder / "twins.txt"
    path.write_text("\n".join(twins) + "\n")
    return path


def test_all_done_is_0_and_a_table(mdth: Command, place: Path) -> None:
    twins = listed(place, "t-1", "t-2", "t-3")
    results = place / "results.csv"
    ended = mdth(
        "batch", "--twins", twins, "--task", "inference", "--workers=2", f"--results={results}"
    )
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].split() == ["twin", "state", "seconds", "error", "attempts"]
    assert sorted(line.split()[0] for line in lines[1:4]) == ["t-1", "t-2", "t-3"]
    assert lines[4] == "3 twins: 3 done, 0 skipped, 0 failed"
    assert len(results.read_text().splitlines()) == 4
    assert "3 of 3 twins, 0 failed" in ended.err


def test_any_failed_is_1_and_again_repeats_only_those(mdth: Command, place: Path) -> None:
    arguments = [
        "batch", "--twins", listed(place, "t-1", "faceless-1", "t-2"), "--task", "inference",
    ]  # fmt: skip
    ended = mdth(*arguments)
    assert ended.code == 1
    assert "mdth: faceless-1 failed: faceless-1: no face" in ended.err
    assert ended.err.splitlines()[-1].startswith("mdth: error: 1 of 3 twins failed")
    assert "3 twins: 2 done, 0 skipped, 1 failed" in ended.out
    ended = mdth(*arguments)
    assert ended.code == 1
    assert "3 twins: 0 done, 2 skipped, 1 failed" in ended.out
    assert noted(place, "finished") == ["t-1", "t-2"]


def test_options_reach_the_task(mdth: Command, place: Path) -> None:
    twins = listed(place, "t-1")
    for task, option in (("inference", "--fps=25"), ("preprocess", "--max-size=300")):
        assert mdth("batch", "--twins", twins, "--task", task, option, "--force").code == 0
    inference, preprocess = map(json.loads, (place / "settings").read_text().splitlines())
    assert (inference["fps"], inference["force"], inference["n_gpus"]) == (25, True, 1)
    assert (preprocess["max_size"], preprocess["face"], preprocess["force"]) == (300, None, True)
    assert "max_size" not in inference
    assert "fps" not in preprocess


def test_what_is_refused_before_any_work(mdth: Command, place: Path) -> None:
    twins = listed(place, "t-1")
    wrong = {
        "--fps is no option of preprocess": [twins, "preprocess", "--fps=25"],
        "fps 1000": [twins, "inference", "--fps=1000"],
        "not twin ids": [listed(place / "store", "../t"), "inference"],
        "no list of that name": ["nobody", "inference"],
        ".csv or a .jsonl": [twins, "inference", f"--results={place}/results.txt"],
        "No such file": [twins, "inference", f"--results={place}/nowhere/results.csv"],
    }
    for words, (where, task, *more) in wrong.items():
        ended = mdth("batch", "--twins", where, "--task", task, *more)
        assert (ended.code, ended.out) == (1, "")
        assert words in ended.err
    for more in (["--workers=0"], ["--timeout=-1"], ["--timeout=inf"], ["--retries=x"]):
        assert mdth("batch", "--twins", twins, "--task", "inference", *more).code == 2
    assert noted(place, "begun") == []


def test_the_tally() -> None:
    stream = Terminal()
    with logging_to(stream, verbose=False):
        tally = batch.Tally(4, Progress(stream))
        tally.add(Result("a", "skipped", 0.0, "", 1))
        assert tally.line() == "1 of 4 twins, 0 failed"
        tally.add(Result("b", "failed", 60.0, "no face", 1))
        tally._begun -= 60
        assert tally.line() == "2 of 4 twins, 1 failed, about 2:00 left"
    assert "mdth: b failed: no face\n" in stream.getvalue()
    assert "\r2 of 4 twins, 1 failed" in stream.getvalue()
    log = io.StringIO()
    with logging_to(log, verbose=False):
        tally = batch.Tally(2, Progress(log))
        tally.add(Result("a", "done", 1.0, "", 1))
        assert log.getvalue() == ""
        tally.add(Result("b", "done", 1.0, "", 1))
    assert log.getvalue() == "mdth: 2 of 2 twins, 0 failed\n"


def test_json_lines_on_stderr(mdth: Command, place: Path) -> None:
    twins = listed(place, "t-1", "faceless-1", "tell-1")
    ended = mdth("batch", "--twins", twins, "--task", "inference", "--log", "json")
    assert ended.code == 1
    lines = [json.loads(line) for line in ended.err.splitlines()]
    failed = next(line for line in lines if line.get("twin") == "faceless-1")
    assert failed["message"] == "faceless-1 failed: faceless-1: no face"
    told = next(line for line in lines if line["message"] == "working on tell-1")
    assert (told["level"], told["twin"], told["bytes"]) == ("info", "tell-1", 7)
    assert (lines[-1]["error"], lines[-1]["exit"]) == ("MdthError", 1)
    assert (lines[-2]["message"], lines[-2]["level"]) == ("3 of 3 twins, 1 failed", "info")


INTERRUPTED = """
    import sys
    sys.path.insert(0, {here!r})
    from mdth import cli
    from mdth.cli import batch
    batch.TASKS["inference"] = "made_tasks:told"
    if __name__ == "__main__":
        sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_keeps_what_is_finished(place: Path, number: int, code: int) -> None:
    script = place / "interrupted.py"
    script.write_text(
        textwrap.dedent(INTERRUPTED.format(here=str(Path(made_tasks.__file__).parent)))
    )
    results = place / "results.jsonl"
    arguments = [
        *("batch", "--twins", str(listed(place, "t-1", "t-2", "hang-1")), "--task", "inference"),
        *("--results", str(results)),
    ]
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, preexec_fn=hear_interrupts,
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE_S
    while "hang-1" not in noted(place, "begun"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # A terminal sends it to all processes of the group, the workers too.
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, err
    assert "2 twins: 2 done, 0 skipped, 0 failed" in out
    assert err.splitlines()[-1] == "mdth: stopped"
    assert "Traceback" not in err
    assert len(results.read_text().splitlines()) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in noted(place, "loaded"))
