"""The same job on a Ray cluster that the tests start: killed actors, logical GPUs, the command."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import made_tasks
import pytest
from made_tasks import PATIENCE_S, noted

from mdth.batch import cluster
from mdth.batch.job import Job
from mdth.batch.run import run
from mdth.errors import InputError, MissingDependency

HERE = Path(made_tasks.__file__).parent
all_results = partial(made_tasks.all_results, where="auto")


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster of this machine alone: 2 CPUs, and 2 GPUs that exist for its bookkeeping only."""
    ray = pytest.importorskip("ray", reason="ray, the extra `cluster`, is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False,
            logging_level="ERROR", object_store_memory=100_000_000,
        )  # fmt: skip
        yield ray
        ray.shutdown()


def test_an_actor_per_gpu_stays_warm(ray: Any, tmp_path: Path) -> None:
    twins = ["meet-1", "meet-2", *(f"device-{number}" for number in range(4))]
    results = all_results(tmp_path, twins)
    assert {result.state for result in results.values()} == {"done"}
    assert len(noted(tmp_path, "loaded")) == 2
    assert set(noted(tmp_path, "devices")) <= {"0", "1"}


def test_killed_actors_lose_and_repeat_no_finished_twin(ray: Any, tmp_path: Path) -> None:
    fine = [f"t-{number}" for number in range(4)]
    results = all_results(tmp_path, ["die_once-1", *fine, "die-1"], retries=1)
    assert {(results[name].state, results[name].attempts) for name in fine} == {("done", 1)}
    assert (results["die_once-1"].state, results["die_once-1"].attempts) == ("done", 2)
    assert (results["die-1"].state, results["die-1"].attempts) == ("failed", 2)
    assert "its worker died" in results["die-1"].error
    assert sorted(noted(tmp_path, "finished")) == sorted(["die_once-1", *fine])


def test_late_and_faulty_twins(ray: Any, tmp_path: Path) -> None:
    twins = ["hang-1", "storeless_once-1", "faceless-1", "t-1"]
    results = all_results(tmp_path, twins, retries=1, timeout_s=5)
    assert {name: (result.state, result.attempts) for name, result in results.items()} == {
        "hang-1": ("failed", 1), "storeless_once-1": ("done", 2), "faceless-1": ("failed", 1),
        "t-1": ("done", 1),
    }  # fmt: skip


def test_nodes_of_other_version(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "__version__", "99.0")
    monkeypatch.setattr("mdth.batch.run.MOST_FALSE_STARTS", 1)
    with pytest.raises(InputError, match=r"no worker starts .* the batch 99\.0"):
        all_results(tmp_path, ["t-1"])


def test_the_command_on_a_cluster_by_its_address(ray: Any, tmp_path: Path) -> None:
    script = tmp_path / "command.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(HERE)!r})
            from mdth import cli
            from mdth.cli import batch
            batch.TASKS["inference"] = "made_tasks:in_the_store"
            sys.exit(cli.main(sys.argv[1:]))
            """
        )
    )
    store = tmp_path / "store"
    store.mkdir()
    (tmp_path / "twins.txt").write_text("t-1\ndie-1\nt-2\n")
    address = ray.get_runtime_context().gcs_address
    ended = subprocess.run(
        [
            *(sys.executable, script, "batch", "--twins", tmp_path / "twins.txt"),
            *("--task", "inference", "--cluster", address, "--retries", "0"),
            *("--results", tmp_path / "results.csv"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "MDTH_STORE": str(store)},
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["twin", "state", "seconds", "error", "attempts"]
    assert (lines[-1], len(lines)) == ("3 twins: 2 done, 0 skipped, 1 failed", 5)
    assert "mdth: die-1 failed: its worker died" in ended.stderr
    assert "raylet" not in ended.stdout + ended.stderr
    assert sorted(noted(store, "finished")) == ["t-1", "t-2"]
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 4


def test_no_cluster_and_no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="nobody answers there"):
        cluster._check_reachable("127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependency, match=r"mdth\[cluster\]"):
        next(run(["t-1"], Job("made_tasks:cheap"), where="local"))


def test_secrets_stay_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not to be sent")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    passed = cluster._environment()
    assert "not to be sent" not in passed.values()
    assert passed["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert Path(passed["MDTH_HOME"]).is_absolute()
