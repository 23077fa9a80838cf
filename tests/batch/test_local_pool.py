"""Twins and local processes: warm, side by side, killed, hanging, restarted, left alone."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import made_tasks
import pytest
from made_tasks import PATIENCE_S, job, noted

from mdth.batch.local import gpu_shares, shares
from mdth.batch.run import run
from mdth.errors import DeviceError

all_results = partial(made_tasks.all_results, workers=2)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_one_worker_loads_once_and_does_all(tmp_path: Path) -> None:
    twins = [f"t-{number}" for number in range(8)]
    results = all_results(tmp_path, twins, workers=1)
    assert {result.state for result in results.values()} == {"done"}
    assert (noted(tmp_path, "finished"), len(noted(tmp_path, "loaded"))) == (twins, 1)


def test_two_workers_work_at_the_same_time(tmp_path: Path) -> None:
    results = all_results(tmp_path, ["meet-1", "meet-2"])
    assert {result.state for result in results.values()} == {"done"}
    assert len(set(noted(tmp_path, "by"))) == 2


def test_killed_workers_cost_one_attempt_and_no_other_twin(tmp_path: Path) -> None:
    fine = [f"t-{number}" for number in range(6)]
    results = all_results(tmp_path, ["die_once-1", *fine[:3], "die-1", *fine[3:], "die_once-2"])
    assert {name: results[name].attempts for name in fine} == dict.fromkeys(fine, 1)
    for name in ("die_once-1", "die_once-2"):
        assert (results[name].state, results[name].attempts) == ("done", 2)
    assert (results["die-1"].state, results["die-1"].attempts) == ("failed", 3)
    assert "signal 9" in results["die-1"].error
    assert sorted(noted(tmp_path, "finished")) == sorted([*fine, "die_once-1", "die_once-2"])


def test_an_idle_worker_killed_from_outside_costs_nothing(tmp_path: Path) -> None:
    batch = run(["t-1", "t-2"], job(tmp_path), workers=1)
    first = next(batch)
    (pid,) = map(int, noted(tmp_path, "loaded"))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))
    results = [first, *batch]
    assert [(result.twin, result.state, result.attempts) for result in results] == [
        ("t-1", "done", 1),
        ("t-2", "done", 1),
    ]


def test_a_busy_worker_killed_from_outside_is_replaced(tmp_path: Path) -> None:
    def kill_it() -> None:
        wait_for(lambda: noted(tmp_path, "loaded") != [])
        os.kill(int(noted(tmp_path, "loaded")[0]), signal.SIGKILL)

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_it)
        results = all_results(tmp_path, ["hang-1", "t-1"], workers=1, retries=0)
        killing.result()
    assert (results["hang-1"].state, results["hang-1"].attempts) == ("failed", 1)
    assert "signal 9" in results["hang-1"].error
    assert noted(tmp_path, "finished") == ["t-1"]


def test_late_twins_fail_alone_tidy_up_and_take_their_children_along(tmp_path: Path) -> None:
    late = ["hang-1", "parent-1", "tidy-1"]
    results = all_results(tmp_path, [*late, "t-1", "t-2"], timeout_s=5)
    for name in late:
        assert (results[name].state, results[name].attempts) == ("failed", 1)
        assert "5 s" in results[name].error
    assert results["t-1"].state == results["t-2"].state == "done"
    assert noted(tmp_path, "tidied") == ["tidy-1"]
    (child,) = map(int, noted(tmp_path, "children"))
    wait_for(lambda: not alive(child))


def test_children_of_idle_workers_end_with_them(tmp_path: Path) -> None:
    results = all_results(tmp_path, ["child-1", "t-1"], workers=1)
    assert {result.state for result in results.values()} == {"done"}
    (child,) = map(int, noted(tmp_path, "children"))
    wait_for(lambda: not alive(child))


def test_a_twin_that_ends_its_process_or_asks_to(tmp_path: Path) -> None:
    results = all_results(tmp_path, ["leave-1", "quit-1", "t-1"], retries=1)
    assert (results["leave-1"].state, results["leave-1"].attempts) == ("failed", 2)
    assert "its worker died" in results["leave-1"].error
    assert (results["quit-1"].state, results["t-1"].state) == ("failed", "done")


def test_only_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    names = ["faceless-1", "storeless-1", "storeless_once-1", "bug-1", "bug-long"]
    results = all_results(tmp_path, names, workers=1, retries=1)
    assert {name: (result.state, result.attempts) for name, result in results.items()} == {
        "faceless-1": ("failed", 1), "storeless-1": ("failed", 2), "storeless_once-1": ("done", 2),
        "bug-1": ("failed", 1), "bug-long": ("failed", 1),
    }  # fmt: skip
    assert results["faceless-1"].error == "faceless-1: no face"
    assert results["bug-1"].error == "unexpected ValueError: a mistake of ours"
    endless = results["bug-long"].error  # is told in one short line
    assert endless.startswith(results["bug-1"].error)
    assert len(endless) < 3000 and endless.isprintable()


def test_a_restarted_batch_repeats_nothing(tmp_path: Path) -> None:
    twins = [f"t-{number}" for number in range(6)]
    batch = run(twins, job(tmp_path), workers=2)
    early = [next(batch) for _ in range(2)]
    batch.close()
    before = noted(tmp_path, "finished")
    results = all_results(tmp_path, twins)
    skipped = {name for name, result in results.items() if result.state == "skipped"}
    assert {result.twin for result in early} <= skipped == set(before)
    assert sorted(noted(tmp_path, "finished")) == twins


def test_leaving_early_ends_the_workers(tmp_path: Path) -> None:
    batch = run(["t-1", "hang-1"], job(tmp_path), workers=2)
    assert next(batch).twin == "t-1"
    wait_for(lambda: "hang-1" in noted(tmp_path, "begun"))
    batch.close()
    assert not any(alive(int(pid)) for pid in noted(tmp_path, "loaded"))


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(made_tasks.__file__).parent)!r})
        from mdth.batch.job import Job
        from mdth.batch.run import run
        if __name__ == "__main__":
            job = Job("made_tasks:cheap", {{"folder": {str(tmp_path)!r}}})
            for result in run(["t-1", "t-2"], job, workers=1):
                print(result.twin, flush=True)
                sys.stdin.read()
        """
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(code))
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout.readline() == "t-1\n"
        parent.kill()
        wait_for(lambda: not any(alive(int(pid)) for pid in noted(tmp_path, "loaded")))


def test_a_system_without_process_groups_and_affinity(tmp_path: Path) -> None:
    missing = "setpgid, os.killpg, os.sched_setaffinity, os.sched_getaffinity"
    (tmp_path / "sitecustomize.py").write_text(f"import os\ndel os.{missing}\n")
    code = f"""
        import os
        from mdth.batch.job import Job
        from mdth.batch.run import run
        if __name__ == "__main__":
            assert not hasattr(os, "killpg")
            job = Job("made_tasks:cheap", {{"folder": {str(tmp_path)!r}}})
            twins = ["t-1", "die-1", "hang-1", "t-2"]
            for result in run(twins, job, workers=2, retries=1, timeout_s=5):
                print(result.twin, result.state, result.attempts, flush=True)
        """
    script = tmp_path / "elsewhere.py"
    script.write_text(textwrap.dedent(code))
    path = [str(tmp_path), str(Path(made_tasks.__file__).parent), os.environ.get("PYTHONPATH", "")]
    ended = subprocess.run(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.splitlines()) == [
        "die-1 failed 2", "hang-1 failed 1", "t-1 done 1", "t-2 done 1",
    ]  # fmt: skip
    assert not any(alive(int(pid)) for pid in noted(tmp_path, "loaded"))


def test_workers_log_through_the_parent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mdth")
    all_results(tmp_path, ["tell-1"], workers=1)
    (record,) = [record for record in caplog.records if "working on" in record.message]
    assert (record.message, record.bytes, record.levelname) == ("working on tell-1", 7, "INFO")
    assert record.twin == "tell-1"


@pytest.mark.parametrize(("cores", "workers", "shared"), [
    ([0, 1], 1, [{0, 1}]), ([0, 1], 2, [{0}, {1}]), ([2, 3, 6, 7], 3, [{2}, {3}, {6, 7}]),
    ([0, 1], 3, [{0}, {1}, {0}]),
])  # fmt: skip
def test_shares_of_cores(cores: list[int], workers: int, shared: list[set[int]]) -> None:
    assert shares(cores, workers) == shared


def test_shares_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_shares(2, 1) == [[], []]
    listing = tmp_path / "nvidia-smi"
    listing.write_text("#!/bin/sh\necho 'GPU 0: A'\necho 'GPU 1: B'\n")
    listing.chmod(0o755)
    assert gpu_shares(3, 1) == [["0"], ["1"], ["0"]]
    assert gpu_shares(1, 2) == [["0", "1"]]
    assert gpu_shares(2, 0) == [[], []]
    with pytest.raises(DeviceError):
        gpu_shares(1, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpu_shares(2, 1) == [["1"], ["1"]]
