"""Kills the workers of a real batch again and again; the videos must be those of a quiet one.

python scripts/batch_chaos.py [--kills 8] [--seed 1] [--cluster local]
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.batch import home, make_twin, run_batch  # noqa: E402

TWINS = 6
# The command line of what does the work: a local worker, an actor.
WORKERS = ("spawn_main", "ray::Actor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cluster", choices=["local"], help="actors of a Ray cluster started here")
    given = parser.parse_args()
    random.seed(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = home(folder)
        twins = [make_twin(folder / "store", number, 1.0) for number in range(TWINS)]
        run_batch(folder, environment, "preprocess", twins)
        run_batch(folder, environment, "inference", twins)
        quiet = hashes(folder, twins)
        more = ["--cluster", given.cluster] if given.cluster else []
        kills, ended = disturbed(folder, environment, given.kills, more)
        same = hashes(folder, twins) == quiet
        strays = [path.name for path in folder.rglob(".*")]
        run_batch(folder, environment, "inference", twins)
        again = "skipped" if '"done"' not in (folder / "results.jsonl").read_text() else "repeated"
    print(ended.stdout)
    print(f"{kills} workers killed, exit code {ended.returncode}, same bytes: {same}")
    print(f"stray files: {len(strays)} {strays}; the same batch again: {again}")
    sys.exit(ended.returncode or not same or bool(strays) or again == "repeated")


def hashes(folder: Path, twins: list[str]) -> dict[str, str]:
    videos = {twin: folder / f"store/inference/{twin}/th/output.mp4" for twin in twins}
    return {twin: hashlib.sha256(path.read_bytes()).hexdigest() for twin, path in videos.items()}


def disturbed(
    folder: Path, environment: dict[str, str], most: int, more: list[str]
) -> tuple[int, "subprocess.CompletedProcess[str]"]:
    """All videos made again while workers are killed at random moments: kills, how it ended."""
    command = [
        *(sys.executable, "-m", "mdth", "batch", "--twins", str(folder / "twins.txt")),
        *("--task", "inference", "--force", "--workers", "2", "--retries", str(most), *more),
    ]
    kills = 0
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as batch:
        while batch.poll() is None:
            time.sleep(random.uniform(2, 6))
            workers = list(descendants(batch.pid))
            if kills < most and workers:
                os.kill(random.choice(workers), signal.SIGKILL)
                kills += 1
        out = batch.stdout.read() if batch.stdout else ""
    return kills, subprocess.CompletedProcess(command, batch.returncode, out)


def descendants(pid: int) -> Iterator[int]:
    """The worker processes that this one and its children started."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        try:
            said = Path(f"/proc/{child}/cmdline").read_text()
        except OSError:
            continue
        if any(name in said for name in WORKERS):
            yield child
        yield from descendants(child)


if __name__ == "__main__":
    main()
