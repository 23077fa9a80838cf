"""What the store costs: many files, large files, parts, shared connections, a stall. A table.

python -m benchmarks.store [--quick]; needs the extra `test`: rclone's S3 server is started here.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.machine import machine
from mdth.errors import InputError
from mdth.files.reading import sha256
from mdth.storage.settings import MIB, S3Settings
from mdth.storage.store import Store
from mdth.twins.sources import choose
from training import command

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "storage")]

from fault_proxy import CUT, SLOW, STALL, FaultProxy, fault_proxy  # noqa: E402

from s3_servers import KEY, SECRET, rclone_server  # noqa: E402

FILES = 5_000
TWINS = 200
SOUNDS = "raw/many/audio"
VIDEO = "raw/large/video/clip.mp4"
SLOW_PART_S = 0.4  # 8 MiB on a line that gives each connection 20 MB/s


def main() -> None:
    parser = command.parser("benchmarks.store", __doc__)
    parser.add_argument("--quick", action="store_true", help="small files, no stall of 30 s")
    given = parser.parse_args()
    video_mib, parts_mib = (128, 80) if given.quick else (2048, 256)
    row("machine", machine())
    os.environ.update(
        AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION="us-east-1"
    )
    with tempfile.TemporaryDirectory() as name:
        root, work = Path(name, "root"), Path(name, "work")
        work.mkdir()
        put_inputs(root / "bucket/store", video_mib)
        with rclone_server(root) as server, fault_proxy(server) as proxy:
            many_files(root, server, work)
            large_file(root, server, work, video_mib)
            parts(proxy, work, parts_mib)
            shared_connections(proxy, work)
            resumed(proxy, work)
            if not given.quick:
                stalled(proxy, work)


def put_inputs(store: Path, video_mib: int) -> None:
    """A twin of thousands of sounds, and one with a large video of zeros that takes no space."""
    (store / SOUNDS).mkdir(parents=True)
    for number in range(FILES):
        (store / SOUNDS / f"{number}.wav").write_bytes(b"x")
    (store / VIDEO).parent.mkdir(parents=True)
    with (store / VIDEO).open("wb") as file:
        file.truncate(video_mib * MIB)


@contextmanager
def reached_at(endpoint: str) -> Iterator[None]:
    """Stores opened meanwhile talk to that server."""
    os.environ["MDTH_S3_ENDPOINT"] = endpoint
    try:
        yield
    finally:
        del os.environ["MDTH_S3_ENDPOINT"]


def many_files(root: Path, server: str, work: Path) -> None:
    """List a twin's files and take the first that can be read, which is the second."""
    local = str(root / "bucket/store")
    row(f"pick one of {FILES} files, local", seconds_and_cpu(lambda: pick(Store(local), work)))
    with reached_at(server):
        store = Store("s3://bucket/store")
        store.files("raw")  # the first request also loads the S3 library
        row(f"pick one of {FILES} files, S3", seconds_and_cpu(lambda: pick(store, work)))
    with fault_proxy(server) as proxy, reached_at(proxy.url):
        pick(Store("s3://bucket/store"), work)
        lists, gets = proxy.count("GET", "list-type=2"), proxy.count("GET", r"\.wav")
        row("its requests", f"{lists} listings, {gets} downloads")


def pick(store: Store, work: Path) -> None:
    """Choose among the sounds; the first one cannot be used."""

    def readable(name: str) -> None:
        store.download(f"{SOUNDS}/{name}", work / name)
        if name == "0.wav":
            raise InputError("no sound")

    if choose(store.files(SOUNDS), readable).name != "1.wav":
        raise SystemExit("the wrong file was picked")


def large_file(root: Path, server: str, work: Path, mib: int) -> None:
    """A video from the store to the disk and back, each in a process of its own."""
    target = work / "clip.mp4"
    with reached_at(server):
        growth, took_s = in_a_process(download_video, str(target))
        same = sha256(target) == sha256(root / "bucket/store" / VIDEO)
        row(f"download of {mib} MiB", f"memory +{growth:.0f} MiB, {took_s:.1f} s, same: {same}")
        # rclone's server keeps the parts of an upload in memory until it is complete.
        os.truncate(target, min(mib, 512) * MIB)
        growth, took_s = in_a_process(upload_video, str(target))
        row(f"upload of {min(mib, 512)} MiB", f"memory +{growth:.0f} MiB, {took_s:.1f} s")
    target.unlink()


def download_video(store: Store, path: str) -> None:
    """Store to disk."""
    store.download(VIDEO, Path(path))


def upload_video(store: Store, path: str) -> None:
    """Disk to store."""
    store.upload(Path(path), f"{VIDEO}.back")


def in_a_process(work: Callable[[Store, str], None], path: str) -> tuple[float, float]:
    """MiB by which memory grew at its highest, and seconds."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (work, path))


def measured(work: Callable[[Store, str], None], path: str) -> tuple[float, float]:
    """The work with all libraries loaded and connections open before."""
    store = Store("s3://bucket/store")
    store.files("raw")
    before = peak_mib()
    took_s = seconds(lambda: work(store, path))
    return peak_mib() - before, took_s


def peak_mib() -> float:
    """The most memory this process has had."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def parts(proxy: FaultProxy, work: Path, mib: int) -> None:
    """The same upload with one connection and with as many as usual, on a line with a limit."""
    source = work / "parts.bin"
    with source.open("wb") as file:
        file.truncate(mib * MIB)
    settings = S3Settings()
    proxy.slow_s = SLOW_PART_S
    proxy.break_next(SLOW, pattern="partNumber=")
    took_s = {}
    with reached_at(proxy.url):
        for parallel in (1, settings.parallel):
            store = Store("s3://bucket/store", settings=replace(settings, parallel=parallel))
            took_s[parallel] = seconds(partial(store.upload, source, "raw/parts.bin"))
    ratio = took_s[1] / took_s[settings.parallel]
    row(
        f"upload of {mib} MiB, each part {SLOW_PART_S} s late",
        f"{settings.parallel} parts at a time {ratio:.1f} times as fast as one",
    )
    proxy.clear()


def shared_connections(proxy: FaultProxy, work: Path) -> None:
    """Many twins, each with a store of its own, in eight threads."""
    (work / "a.txt").write_text("a")
    before = proxy.connections

    def one(number: int) -> None:
        store = Store("s3://bucket/store")
        store.upload(work / "a.txt", f"raw/t{number}/audio/a.txt")
        store.files(f"raw/t{number}/audio")
        store.download(f"raw/t{number}/audio/a.txt", work / f"{number}.txt")

    with reached_at(proxy.url), ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(TWINS)))
    row(
        f"{TWINS} twins in 8 threads",
        f"{proxy.count()} requests on {proxy.connections - before} connections",
    )
    proxy.clear()


def resumed(proxy: FaultProxy, work: Path) -> None:
    """A download that breaks three times."""
    size = 64 * MIB
    (work / "b.bin").write_bytes(os.urandom(size))
    with reached_at(proxy.url):
        store = Store("s3://bucket/store")
        store.upload(work / "b.bin", "raw/b.bin")
        proxy.clear()
        proxy.break_next(CUT, method="GET", pattern=r"b\.bin", times=3)
        store.download("raw/b.bin", work / "back.bin")
    sent = sum(seen.sent for seen in proxy.requests("GET", r"b\.bin"))
    same = sha256(work / "b.bin") == sha256(work / "back.bin")
    row("download of 64 MiB that breaks 3 times", f"{sent / size:.3f} of it sent, same: {same}")
    proxy.clear()


def stalled(proxy: FaultProxy, work: Path) -> None:
    """A server that says nothing for 30 s, with the settings everybody has."""
    proxy.stall_s = 30.0
    proxy.break_next(STALL, method="GET", pattern=r"b\.bin", times=1)
    with reached_at(proxy.url):
        store = Store("s3://bucket/store")
        took_s = seconds(lambda: store.download("raw/b.bin", work / "back.bin"))
    row("download after a stall of 30 s", f"done in {took_s:.0f} s")
    proxy.clear()


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def seconds_and_cpu(work: Callable[[], object]) -> str:
    """How long the work takes, and how much of that this process computes."""
    start = time.process_time()
    took_s = seconds(work)
    return f"{took_s:.2f} s, of which {time.process_time() - start:.2f} s CPU of this process"


def row(what: str, figure: str) -> None:
    """One line of the table."""
    print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    command.run(main)
