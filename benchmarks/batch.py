"""What a batch of twins costs on this machine: see docs/scale.md. `--quick` for a first look.

python -m benchmarks.batch [--quick] [--ray]

Runs with one and with two workers take turns, so that what else runs here falls on both; CPU
seconds are those of the whole batch, its workers included, and hardly depend on it.
"""

import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.__main__ import row
from benchmarks.machine import machine
from training import command

ROOT = Path(__file__).parents[1]
SHORT_S = 1.0
TASKS = ("preprocess", "inference")


class Cost(NamedTuple):
    """What a batch took: by the clock, of the CPUs, and its twins' own seconds in order."""

    wall_s: float
    cpu_s: float
    twins_s: list[float]

    @property
    def start_s(self) -> float:
        """Of a batch with one worker: starting and ending, before and after the twins."""
        return self.wall_s - sum(self.twins_s)

    @property
    def load_s(self) -> float:
        """Of a batch with one worker: what the first twin took longer, loading libraries."""
        return self.twins_s[0] - statistics.median(self.twins_s[1:])


def main() -> None:
    parser = command.parser("benchmarks.batch", __doc__)
    parser.add_argument("--quick", action="store_true", help="few twins, one round")
    parser.add_argument("--ray", action="store_true", help="also the dispatch of a Ray cluster")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    counts, rounds = ((2, 4), 1) if given.quick else ((5, 20, 50), given.rounds)
    row("machine", machine())
    row("load average at the start", f"{os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = home(folder)
        twins = [make_twin(folder / "store", number, SHORT_S) for number in range(max(counts))]
        for task in TASKS:
            grow(folder, environment, task, twins, counts, rounds)
        skipped(folder, environment, twins)
        length(folder, environment, 2 if given.quick else 4)
        dispatch(folder, environment, 50 if given.quick else 1000, ray=given.ray)
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        row("largest process so far, a worker", f"{peak_mb:.0f} MB")
        requests(folder, environment)
    row("load average at the end", f"{os.getloadavg()[0]:.1f}")


def home(folder: Path) -> dict[str, str]:
    """The environment of an empty store and a home with the models."""
    from mdth.files import assets

    common = folder / "home/warping-common/th"
    common.mkdir(parents=True)
    (common / "checkpoints").symlink_to(assets.verify()[0].parent.absolute())
    (folder / "store/raw").mkdir(parents=True)
    return {
        **os.environ,
        "MDTH_STORE": str(folder / "store"),
        "MDTH_HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
    }


def make_twin(store: Path, number: int, length_s: float, prefix: str = "short") -> str:
    """A twin with a piece of the example speech and the sample portrait, 512x600 px."""
    from mdth.twins import sample

    twin = f"{prefix}-{number:03d}"
    audio, image = store / f"raw/{twin}/audio", store / f"raw/{twin}/image"
    audio.mkdir(parents=True)
    image.mkdir()
    with wave.open(str(sample.EXAMPLES / "speech.wav")) as whole:
        count = min(whole.getnframes(), round(length_s * whole.getframerate()))
        room = whole.getnframes() - count
        whole.setpos(round(number * 0.17 * whole.getframerate()) % (room or 1))
        with wave.open(str(audio / "speech.wav"), "wb") as piece:
            piece.setparams(whole.getparams())
            piece.writeframes(whole.readframes(count))
    (image / "portrait.jpg").write_bytes(sample.PORTRAIT.read_bytes())
    return twin


def run_batch(
    folder: Path, environment: dict[str, str], task: str, twins: list[str], *more: str
) -> Cost:
    """`mdth batch` for these twins. Ends the bench when a twin fails."""
    listed, results = folder / "twins.txt", folder / "results.jsonl"
    listed.write_text("\n".join(twins) + "\n")
    before, start = children_cpu_s(), time.perf_counter()
    command = [sys.executable, "-m", "mdth", "batch", "--twins", str(listed), "--task", task, *more]
    ended = subprocess.run(
        [*command, "--results", str(results)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s = time.perf_counter() - start
    if ended.returncode:
        sys.exit(f"{' '.join(command)}\n{ended.stderr}")
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    return Cost(wall_s, children_cpu_s() - before, [row["seconds"] for row in rows])


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def grow(
    folder: Path,
    environment: dict[str, str],
    task: str,
    twins: list[str],
    counts: tuple[int, ...],
    rounds: int,
) -> None:
    """The cost of a task as the number of twins grows, with one and with two workers in turns."""
    found: dict[tuple[int, int], list[Cost]] = {}
    for _ in range(rounds):
        for count in counts:
            for workers in (1, 2):
                cost = run_batch(
                    folder, environment, task, twins[:count], "--force", f"--workers={workers}"
                )
                found.setdefault((count, workers), []).append(cost)
    for (count, workers), costs in found.items():
        wall_s = statistics.median(cost.wall_s for cost in costs)
        cpu_s = statistics.median(cost.cpu_s for cost in costs)
        row(
            f"{task}, {count} twins of {SHORT_S:g} s, workers: {workers}",
            f"{wall_s:.1f} s, {wall_s / count:.2f} s a twin; "
            f"CPU {cpu_s:.1f} s, {cpu_s / count:.2f} s a twin",
        )
    for count in counts:
        pairs = zip(found[count, 1], found[count, 2], strict=True)
        ratios = [one.wall_s / two.wall_s for one, two in pairs]
        row(
            f"{task}, {count} twins, 1 worker : 2 workers",
            ", ".join(f"{ratio:.2f}" for ratio in ratios) + " times the time",
        )
    few, many = counts[0], counts[-1]
    for workers in (1, 2):
        extra = [
            (b.cpu_s - a.cpu_s) / (many - few)
            for a, b in zip(found[few, workers], found[many, workers], strict=True)
        ]
        row(
            f"{task}, one more twin, workers: {workers}", f"{statistics.median(extra):.2f} s of CPU"
        )
    alone = found[many, 1]
    row(
        f"{task}, start and end of a batch",
        f"{statistics.median(cost.start_s for cost in alone):.2f} s; loading in the first twin "
        f"{statistics.median(cost.load_s for cost in alone):.2f} s",
    )


def skipped(folder: Path, environment: dict[str, str], twins: list[str]) -> None:
    """A batch in which all is finished."""
    for task in TASKS:
        cost = run_batch(folder, environment, task, twins)
        each_ms = 1000 * statistics.median(cost.twins_s)
        row(f"{task}, {len(twins)} finished twins", f"skipped in {each_ms:.0f} ms each")


def length(folder: Path, environment: dict[str, str], count: int) -> None:
    """CPU seconds of one more second of video, and its bytes."""
    store = folder / "store"
    with wave.open(str(ROOT / "src/mdth/examples/speech.wav")) as speech:
        long_s = speech.getnframes() / speech.getframerate()
    short = [make_twin(store, number, SHORT_S, "brief") for number in range(count)]
    long = [make_twin(store, number, long_s, "long") for number in range(count)]
    for task in TASKS:
        brief = run_batch(folder, environment, task, short, "--force")
        more = run_batch(folder, environment, task, long, "--force")
        extra = (more.cpu_s - brief.cpu_s) / count / (long_s - SHORT_S)
        row(f"{task}, one more second of speech", f"{extra:.2f} s of CPU")
    for what, place in (
        ("raw", "raw/{}"),
        ("prepared", "processed/{}/preprocessed/th"),
        ("video and record", "inference/{}/th"),
    ):
        few, many = (bytes_below(store / place.format(twins[0])) for twins in (short, long))
        row(
            f"{what}, bytes in the store",
            f"{few} for {SHORT_S:g} s, {many} for {long_s:.1f} s of speech",
        )


def bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def dispatch(folder: Path, environment: dict[str, str], count: int, *, ray: bool) -> None:
    """Twins a second that a batch can give out, with a task that does nothing."""
    (folder / "nothing.py").write_text("def task(twin):\n    return True\n")
    code = (
        "import sys, time\n"
        "from mdth.batch.job import Job\n"
        "from mdth.batch.run import run\n"
        "if __name__ == '__main__':\n"
        "    count, where = int(sys.argv[1]), sys.argv[2] or None\n"
        "    twins = [f't{number}' for number in range(count)]\n"
        "    results = run(twins, Job('nothing:task'), workers=2, where=where)\n"
        "    next(results)\n"
        "    start = time.perf_counter()\n"
        "    print(len(list(results)) / (time.perf_counter() - start))\n"
    )
    (folder / "dispatch.py").write_text(code)
    for where in ("", "local") if ray else ("",):
        start = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, str(folder / "dispatch.py"), str(count), where],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        spent = time.perf_counter() - start
        rate = float(ended.stdout.split()[-1])
        row(
            f"dispatch, 2 {'Ray actors' if where else 'processes'}, {count} twins",
            f"{rate:.0f} twins a second; {spent:.1f} s from start to end",
        )


@contextmanager
def s3_proxy(folder: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """An S3 server with a bucket behind a proxy that counts, and the environment to reach it."""
    sys.path[:0] = [str(ROOT / "tests" / part) for part in ("", "storage", "support")]
    servers, proxies = map(importlib.import_module, ("s3_servers", "fault_proxy"))
    root = folder / "s3"
    (root / "bucket").mkdir(parents=True)
    with servers.rclone_server(root) as url, proxies.fault_proxy(url) as proxy:
        yield (
            proxy,
            {
                "MDTH_S3_ENDPOINT": proxy.url,
                "AWS_ACCESS_KEY_ID": servers.KEY,
                "AWS_SECRET_ACCESS_KEY": servers.SECRET,
                "AWS_DEFAULT_REGION": "us-east-1",
                "MDTH_STORE": "s3://bucket/twins",
                "MDTH_HOME": str(folder / "s3home"),
            },
        )


def requests(folder: Path, environment: dict[str, str]) -> None:
    """Requests of one twin to an S3 store, task by task, as a proxy counts them."""
    try:
        with s3_proxy(folder) as (proxy, reached):
            make_twin(folder / "s3/bucket/twins", 0, SHORT_S)
            (folder / "s3home/warping-common").parent.mkdir()
            (folder / "s3home/warping-common").symlink_to(folder / "home/warping-common")
            for what, task in [*((task, task) for task in TASKS), ("inference again", "inference")]:
                proxy.clear()
                run_batch(folder, {**environment, **reached}, task, ["short-000"])
                kinds = Counter(seen.method for seen in proxy.requests())
                told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
                row(f"{what}, requests to S3", told)
    except ImportError as error:
        row("requests to S3", f"not counted: {error.name} is not installed (scripts/test does)")


if __name__ == "__main__":
    command.run(main)
