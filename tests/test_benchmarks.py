"""Which commands scripts/bench runs for the seed's networks, and what it shows when one fails."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "benchmarks/__main__.py"
FACEFORMER = "benchmarks.faceformer"
GENERATOR = "benchmarks.generator"
PLAIN_FAST = f"{GENERATOR} --rows plain fast"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/bench.py, on a machine with torch."""
    spec = importlib.util.spec_from_file_location("bench_rows", BENCH)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    monkeypatch.setattr(made, "find_spec", lambda name: spec)
    return made


def commands(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, *, quick: bool) -> list[str]:
    """What is run, less `python -m`."""
    seen: list[str] = []

    def run(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        assert command[:2] == [sys.executable, "-m"]
        seen.append(" ".join(command[2:]))
        return subprocess.CompletedProcess(command, 0, "", "a row\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert bench.seed_faceformer(quick=quick)
    assert bench.seed_generator(quick=quick)
    return seen


SHORT = [f"{FACEFORMER} speed --seconds 10", f"{FACEFORMER} steps"]
ON_GPU = [f"{FACEFORMER} gpu", *SHORT, f"{GENERATOR} --rows limits plain fast mp4"]
DEVICES = f"{GENERATOR} --rows devices --frames {{}} --devices cuda:0 cuda:1"


@pytest.mark.parametrize(("count", "expected"), [
    (0, [*SHORT, f"{PLAIN_FAST} --small --frames 8"]), (1, ON_GPU),
    (2, [*ON_GPU, DEVICES.format(1800)]),
])  # fmt: skip
def test_quick_rows(
    count: int, expected: list[str], bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "gpus", lambda: count)
    assert commands(bench, monkeypatch, quick=True) == expected


def test_all_rows(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    long = f"{FACEFORMER} speed --seconds 60 --every 20"
    monkeypatch.setattr(bench, "gpus", lambda: 0)
    found = commands(bench, monkeypatch, quick=False)
    small = f"{PLAIN_FAST} --small --frames 8"
    assert found == [SHORT[0], long, SHORT[1], small, f"{PLAIN_FAST} --frames 1"]
    monkeypatch.setattr(bench, "gpus", lambda: 2)
    assert commands(bench, monkeypatch, quick=False)[-1] == DEVICES.format(18000)


def test_a_row_that_fails_is_shown_and_the_next_one_runs(
    bench: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not bench.seed_rows("json", "json.tool", [["no_such_file"], ["--help"]])
    assert not bench.seed_rows("json", "json.tool", [["--help"], ["no_such_file"]])
    shown = capsys.readouterr().out
    assert "No such file or directory: 'no_such_file'" in shown
    # json.tool's own status: 2 until Python 3.12, 1 since.
    assert len(re.findall(r"failed with status [12]: no_such_file", shown)) == 2
    assert bench.seed_rows("json", "json.tool", [["--help"]])
