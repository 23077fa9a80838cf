"""The short form of scripts/fuzz, and what the long one has found before."""

import sys
from pathlib import Path

import fuzz_runner
import pytest
from fuzz_runner import run_files, run_slice
from fuzz_targets import TARGETS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
FOUND = Path(__file__).parents[1] / "data" / "fuzz"
CASES = 40
SEED = 4711


def _need_packages(target: str) -> None:
    for package in {"checkpoint": ["torch"], "settings": ["yaml"]}.get(target, []):
        pytest.importorskip(package)


@pytest.mark.parametrize("target", TARGETS)
def test_damaged_files_end_in_a_result_or_our_error(target: str) -> None:
    _need_packages(target)
    figures = run_slice(target, seed=SEED, count=CASES)
    assert [finding.why for finding in figures.findings] == []
    assert (figures.cases, figures.results + figures.refused) == (CASES, CASES)
    assert figures.peak_mb < 2048


@pytest.mark.parametrize("target", sorted({file.name.split("-")[0] for file in FOUND.iterdir()}))
def test_what_was_found_before_stays_mended(target: str) -> None:
    _need_packages(target)
    files = sorted(FOUND.glob(f"{target}-*.case"))
    assert files
    assert all(file.stat().st_size < 50_000 for file in files)
    figures = run_files(target, files)
    assert [finding.why for finding in figures.findings] == []
    assert figures.cases == len(files)


def test_every_kind_of_finding_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong error, a dead process, memory without end and a hang: each is a finding."""
    (tmp_path / "made_targets.py").write_text(
        "import os, time\n"
        "from types import SimpleNamespace\n"
        "def run(content, folder):\n"
        "    if content == b'wrong': {}['nothing']\n"
        "    if content == b'dead': os.abort()\n"
        "    if content == b'large': bytes(3 << 30)\n"
        "    if content == b'hang': time.sleep(60)\n"
        "TARGETS = {'made': SimpleNamespace(run=run)}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fuzz_runner, "LIMIT_S", 5)
    hangs = fuzz_runner.Ended("finding", "hangs", 5.0, 0)
    monkeypatch.setattr(fuzz_runner, "_alone", lambda _, content: {b"hang": hangs}[content])
    files = []
    for name in ("fine", "wrong", "dead", "large", "hang", "well"):
        files.append(tmp_path / f"{name}.case")
        files[-1].write_bytes(name.encode())
    figures = fuzz_runner.run_files("made", files, targets="made_targets")
    # Too much memory is an error of ours: the limits of a job make it that.
    assert (figures.cases, figures.results, figures.refused) == (6, 2, 1)
    said = {finding.content: finding.why.strip().splitlines()[-1] for finding in figures.findings}
    assert said == {
        b"wrong": "KeyError: 'nothing'", b"dead": "ends with -6", b"hang": "hangs",
    }  # fmt: skip
