"""Workers that are actors of a Ray cluster. Ray is Apache-2.0, the extra `cluster`."""

import contextlib
import faulthandler
import importlib
import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from mdth import __version__
from mdth.batch.job import Job, Outcome, attempt, lost
from mdth.config import config
from mdth.errors import InputError, MissingDependency

log = logging.getLogger("mdth")

LOCAL = "local"
CPUS_PER_WORKER = 1
CONNECT_TIMEOUT_S = 10
STDERR = 2
# What a node needs to find the twins. Keys and secrets are each node's own affair.
PASSED_ON = ("MDTH_S3_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION")


@contextlib.contextmanager
def crew(
    job: Job, where: str, workers: int | None, *, most: int, gpus: int, timeout_s: float | None
) -> Iterator[Sequence["RayWorker"]]:
    """Actors with `gpus` each, where the cluster has any, at most `most`; they end with the `with`.

    where: "local" starts a cluster on this machine and ends it, "auto" finds the one that
    runs, else the address of one. Actors the cluster has no room for join in when it has.
    Raises MissingDependency without ray, InputError when there is no such cluster.
    """
    ray = _ray()
    with _connected(ray, where, verbose=job.log_level <= logging.INFO):
        found = ray.cluster_resources()
        all_gpus, cpus = int(found.get("GPU", 0)), int(found.get("CPU", 0))
        gpus = gpus if all_gpus else 0
        room = all_gpus // gpus if gpus else cpus // CPUS_PER_WORKER
        size = max(1, min(workers or room, most))
        log.info("Ray cluster: %d CPUs, %d GPUs, %d workers", cpus, all_gpus, size)
        kind = ray.remote(num_cpus=CPUS_PER_WORKER, num_gpus=gpus)(Actor)
        crew = [RayWorker(ray, kind, job, timeout_s=timeout_s) for _ in range(size)]
        try:
            yield crew
        finally:
            for worker in crew:
                worker.close()


class Actor:
    """The inside of the cluster: one twin after the other, models loaded once."""

    def __init__(self, version: str, environment: dict[str, str]) -> None:
        self._version = version
        # What is said here goes into Ray's log of this actor, and with -v on to the driver.
        logging.getLogger("mdth").addHandler(logging.StreamHandler())
        os.environ.update(environment)

    def problem(self) -> str:
        """Why this node cannot take part, empty if it can."""
        if self._version == __version__:
            return ""
        return f"a node has mdth {__version__}, the batch {self._version}; install the same"

    def attempt(self, job: Job, twin: str, timeout_s: float | None) -> Outcome:
        """Do the job for one twin; this process ends when it is late, whatever it is at."""
        logging.getLogger("mdth").setLevel(job.log_level)
        if timeout_s is not None:
            limit_s = min(timeout_s, threading.TIMEOUT_MAX)
            faulthandler.dump_traceback_later(limit_s, exit=True, file=STDERR)
        try:
            return attempt(job, twin)
        finally:
            faulthandler.cancel_dump_traceback_later()


class RayWorker:
    """An actor; when its process or node is lost another takes its place, wherever there is room.

    Ray itself restarts and repeats nothing: its restart of an actor that may only be out of reach
    raced with the kill that must come first, and cost twins their second attempt.
    """

    def __init__(self, ray: Any, kind: Any, job: Job, *, timeout_s: float | None) -> None:
        self._ray = ray
        self._kind = kind
        self._job = job
        self._timeout_s = timeout_s
        self._actor: Any = None

    def start(self) -> Future[str]:
        """A new actor in the place of what there was."""
        # That may only be out of reach: it must not write while another does its twin again.
        self.close()
        self._actor = self._kind.remote(__version__, _environment())
        up: Future[str] = self._actor.problem.remote().future()
        return up

    def begin(self, twin: str) -> Future[Outcome]:
        """One attempt."""
        outcome: Future[Outcome] = self._actor.attempt.remote(
            self._job, twin, self._timeout_s
        ).future()
        return outcome

    def lost(self, error: BaseException, seconds: float) -> Outcome:
        """Late, or with its process or node; then the twin can be tried again."""
        limit_s = self._timeout_s
        late = limit_s is not None and seconds >= limit_s
        return lost(first_line(error), seconds, limit_s=limit_s if late else None)

    def close(self) -> None:
        """End the actor."""
        if self._actor is not None:
            self._ray.kill(self._actor)


def _ray() -> Any:
    # Ray reports its use to its makers unless told otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingDependency("ray is not installed; run: pip install 'mdth[cluster]'") from error


@contextlib.contextmanager
def _connected(ray: Any, address: str, *, verbose: bool) -> Iterator[None]:
    """With a connection to the cluster: this process's, or one that ends with the `with`."""
    if ray.is_initialized():
        yield
        return
    _check_reachable(address)
    # Ray says hello on stderr before it reads its own settings.
    logging.getLogger("ray").setLevel(logging.ERROR)
    dashboard = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address, log_to_driver=verbose, logging_level=logging.ERROR, **dashboard)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"--cluster {address}: no Ray cluster ({first_line(error)}); start one with "
            "`ray start --head`, or use --cluster local"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse host:port where nobody listens: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise InputError(f"--cluster {address}: nobody answers there ({error})") from error


def _environment() -> dict[str, str]:
    """The settings the workers need, without any secret; local folders by their full paths."""
    store = config().store
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    passed["MDTH_STORE"] = store if "://" in store else str(Path(store).absolute())
    passed["MDTH_HOME"] = str(config().home.absolute())
    return passed


def first_line(error: BaseException) -> str:
    """What an exception says, without the rest of it."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
