"""A server under load: jobs of many clients at once, none lost, none done twice.

python -m benchmarks.serve sends 200 talks of half a second (the portrait of the demo, small) by 20
clients of 4 keys, most of them of one key, and waits for all. --kill S ends a worker or the server
by SIGKILL every S seconds, in turn, and starts the server again. Exit 1 where a job was lost.
"""

import argparse
import contextlib
import itertools
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import mdth
from benchmarks.machine import machine
from training import command

EXAMPLES = Path(mdth.__file__).parent / "examples"
KEYS = {f"key{number}": f"key{number}-0123456789abcdef" for number in range(4)}
SMALL_PX = 200


class Server:
    """`mdth serve`, with the largest memory of its processes."""

    def __init__(self, data: Path, workers: int) -> None:
        self._flags = ["--data", str(data), "--workers", str(workers), "--max-jobs", "1000"]
        self.kills, self.most_mb = 0, dict[str, float]()
        self.url = self._start("0")
        self._port = self.url.rstrip("/").rpartition(":")[2]

    def _start(self, port: str) -> str:
        keys = ",".join(f"{name}:{key}" for name, key in KEYS.items())
        command = [sys.executable, "-m", "mdth", "serve", "--port", port, *self._flags]
        environment = {**os.environ, "MDTH_API_KEYS": keys}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def children(self) -> list[int]:
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        with contextlib.suppress(OSError):
            return [int(child) for thread in threads for child in thread.read_text().split()]
        return []

    def kill(self) -> None:
        """A child, or every second time the server, which is started again."""
        self.kills += 1
        children = self.children()
        if self.kills % 2 and children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(children[self.kills // 2 % len(children)], signal.SIGKILL)
            return
        self.process.kill()
        self.process.wait()
        self._start(self._port)

    def measure(self) -> None:
        for name, processes in (("server", [self.process.pid]), ("worker", self.children())):
            for process in processes:
                with contextlib.suppress(OSError, StopIteration):
                    lines = Path(f"/proc/{process}/status").read_text().splitlines()
                    kb = next(line.split()[1] for line in lines if line.startswith("VmRSS"))
                    self.most_mb[name] = max(self.most_mb.get(name, 0.0), int(kb) / 1024)


def main() -> None:
    parser = command.parser("benchmarks.serve", __doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", type=float, metavar="S")
    given = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(folder / "data", given.workers)
        try:
            missing = load(server, folder, given)
        finally:
            server.process.terminate()
            server.process.wait()
    sys.exit(bool(missing))


def load(server: Server, folder: Path, given: argparse.Namespace) -> int:
    """Send the jobs, wait for them, and print what became of them; how many were lost."""
    picture, speech = inputs(folder)
    avatars = {}
    for key in KEYS:
        with mdth.Client(server.url, key=KEYS[key]) as client:
            avatars[key] = client.prepare(picture, max_size=SMALL_PX)["id"]
    owners = [*KEYS][:1] * (given.clients - 3 * (len(KEYS) - 1)) + [*KEYS][1:] * 3
    begun, over = time.monotonic(), threading.Event()
    watch = threading.Thread(target=watched, args=(server, over, given.kill))
    watch.start()
    shares = [given.jobs // given.clients] * given.clients
    try:
        with ThreadPoolExecutor(given.clients) as pool:
            sent = [
                pool.submit(client_of, server.url, owner, avatars[owner], speech, share)
                for owner, share in zip(owners, shares, strict=True)
            ]
        waited = [(owner, job.result()) for owner, job in zip(owners, sent, strict=True)]
        seconds = time.monotonic() - begun
    finally:
        over.set()
        watch.join()
    return report(folder / "data", waited, seconds, server)


def report(
    data: Path, waited: list[tuple[str, list[float]]], seconds: float, server: Server
) -> int:
    with sqlite3.connect(data / "serve.sqlite3") as db:
        states = dict(db.execute("SELECT status, count(*) FROM jobs GROUP BY 1"))
        (ends,) = db.execute("SELECT total(value) FROM counters WHERE name = 'jobs'").fetchone()
        (tries,) = db.execute("SELECT total(attempts) FROM jobs").fetchone()
    count = sum(len(times) for _, times in waited)
    print(f"machine: {machine()}")
    print(f"{count} talks in {seconds:.0f} s, {count / seconds * 60:.0f} a minute; {states}")
    print(f"ends counted {ends:.0f}, tries {tries:.0f}, killed {server.kills} times")
    for name, most in sorted(server.most_mb.items()):
        print(f"largest {name}: {most:.0f} MB")
    for key, group in itertools.groupby(sorted(waited), key=lambda one: one[0]):
        times = np.array([t for _, own in group for t in own])
        print(f"{key}: {len(times)} talks, the last after {times.max():.0f} s")
    made = states.get("completed", 0)
    return int(made != count + len(KEYS) or ends != made)


def client_of(url: str, owner: str, avatar: str, speech: Path, count: int) -> list[float]:
    """Seconds from the first sent to each ended, of one client's jobs sent at once."""
    begun, ended = time.monotonic(), []
    with mdth.Client(url, key=KEYS[owner]) as client:
        options = {"avatar": avatar, "speech": speech, "fps": 10, "preset": "ultrafast"}
        for job in [client.start("talk", **options) for _ in range(count)]:
            client.wait(job)
            ended.append(time.monotonic() - begun)
    return ended


def watched(server: Server, over: threading.Event, kill_s: float | None) -> None:
    last = time.monotonic()
    while not over.wait(0.5):
        server.measure()
        if kill_s and time.monotonic() - last > kill_s:
            server.kill()
            last = time.monotonic()


def inputs(folder: Path) -> tuple[Path, Path]:
    """The portrait, and half a second of its example speech."""
    target = folder / "half.wav"
    with wave.open(str(EXAMPLES / "short.wav")) as whole, wave.open(str(target), "wb") as half:
        half.setparams(whole.getparams())
        half.writeframes(whole.readframes(whole.getframerate() // 2))
    return EXAMPLES / "grace_hopper.jpg", target


if __name__ == "__main__":
    command.run(main)
