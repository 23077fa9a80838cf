"""Workers that are actors of a Ray cluster. Ray is Apache-2.0, the extra `cluster`."""

import importlib
import logging
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdth import __version__
from mdth.batch.job import Job, Outcome, attempt
from mdth.config import config
from mdth.errors import InputError, MissingDependency

log = logging.getLogger("mdth")

LOCAL = "local"
CPUS_PER_WORKER = 1
MOST_FALSE_STARTS = 10
CONNECT_TIMEOUT_S = 10
# What a node needs to find the twins. Keys and secrets are each node's own affair.
PASSED_ON = (
    "MDTH_S3_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
)


class Worker:
    """The inside of an actor: one twin after the other, models loaded once."""

    def __init__(self, version: str, environment: dict[str, str]) -> None:
        self._version = version
        # What is said here goes into Ray's log of this actor, and with -v on to the driver.
        logging.getLogger("mdth").addHandler(logging.StreamHandler())
        os.environ.update(environment)
        config.cache_clear()

    def problem(self) -> str:
        """Why this node cannot take part, empty if it can."""
        if self._version == __version__:
            return ""
        return f"a node has mdth {__version__}, the batch {self._version}; install the same"

    def attempt(self, job: Job, twin: str) -> Outcome:
        """Do the job for one twin."""
        logging.getLogger("mdth").setLevel(job.log_level)
        return attempt(job, twin)


@dataclass
class _Actor:
    """An actor; starting, running: what to wait for until it is up, until its twin ended."""

    handle: Any
    starting: Any = None
    running: Any = None
    since: float = 0.0


class RayCrew:
    """`size` actors, each with `gpus` where the cluster has any, and with CPUS_PER_WORKER.

    address: "local" starts a cluster on this machine and ends it, "auto" finds the one that runs,
    else the address of one. size: None for as many actors as the cluster's GPUs allow or, without
    GPUs, its CPUs. Actors the cluster has no room for come up when it has, and join in then.
    An actor that dies, with its process or its node, is replaced wherever there is room; its twin
    goes back to the batch, which counts the attempts, so Ray itself repeats nothing.
    Raises MissingDependency without ray, InputError when there is no such cluster.
    """

    def __init__(self, job: Job, size: int | None, *, address: str, gpus: int) -> None:
        self._ray = _ray()
        self._job = job
        self._ours = _connect(self._ray, address, verbose=job.log_level <= logging.INFO)
        found = self._ray.cluster_resources()
        all_gpus, cpus = int(found.get("GPU", 0)), int(found.get("CPU", 0))
        gpus = gpus if all_gpus else 0
        self._resources = {"num_cpus": CPUS_PER_WORKER, "num_gpus": gpus}
        self._environment = _environment()
        self._false_starts = 0
        size = size or max(1, all_gpus // gpus if gpus else cpus // CPUS_PER_WORKER)
        log.info("Ray cluster: %d CPUs, %d GPUs, %d workers", cpus, all_gpus, size)
        self._actors = {number: self._start() for number in range(size)}

    def idle(self) -> list[int]:
        """The workers that are up and have no twin."""
        return [
            number
            for number, actor in self._actors.items()
            if actor.starting is None and actor.running is None
        ]

    def give(self, worker: int, twin: str) -> None:
        """Let an idle worker begin a twin."""
        actor = self._actors[worker]
        actor.since = time.monotonic()
        actor.running = actor.handle.attempt.remote(self._job, twin)

    def ends(self, timeout_s: float | None) -> list[tuple[int, Outcome]]:
        """Workers whose twin ended, and how; none when the time is over or a worker came up.

        Raises InputError when the cluster's nodes start no worker.
        """
        awaited = {
            reference: number
            for number, actor in self._actors.items()
            for reference in (actor.starting, actor.running)
            if reference is not None
        }
        ready, _ = self._ray.wait(list(awaited), num_returns=1, timeout=timeout_s)
        found = []
        for number in (awaited[reference] for reference in ready):
            if self._actors[number].starting is not None:
                self._came_up(number)
            else:
                found.append((number, self._outcome(number)))
        return found

    def stop(self, worker: int) -> None:
        """Kill a worker and start another in its place."""
        self._ray.kill(self._actors[worker].handle)
        self._actors[worker] = self._start()

    def close(self) -> None:
        """End all workers, and the cluster if it was started for them."""
        for actor in self._actors.values():
            self._ray.kill(actor.handle)
        self._actors.clear()
        if self._ours:
            self._ray.shutdown()

    def _start(self) -> _Actor:
        kind = self._ray.remote(**self._resources, max_restarts=0, max_task_retries=0)(Worker)
        handle = kind.remote(__version__, self._environment)
        return _Actor(handle, starting=handle.problem.remote())

    def _came_up(self, worker: int) -> None:
        actor = self._actors[worker]
        try:
            problem = self._ray.get(actor.starting)
        except self._ray.exceptions.RayError as error:
            problem = _first_line(error)
        if not problem:
            actor.starting, self._false_starts = None, 0
            return
        self._false_starts += 1
        if self._false_starts > MOST_FALSE_STARTS:
            raise InputError(f"no worker starts on the Ray cluster: {problem}")
        self.stop(worker)

    def _outcome(self, worker: int) -> Outcome:
        actor = self._actors[worker]
        spent = round(time.monotonic() - actor.since, 3)
        try:
            outcome: Outcome = self._ray.get(actor.running)
        except self._ray.exceptions.RayError as error:
            # It may only be out of reach: it must not write while another does its twin again.
            self.stop(worker)
            words = f"its worker died ({_first_line(error)})"
            return Outcome("failed", spent, words, again=True)
        actor.running = None
        return outcome


def _ray() -> Any:
    # Ray reports its use to its makers unless told otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingDependency("ray is not installed; run: pip install 'mdth[cluster]'") from error


def _connect(ray: Any, address: str, *, verbose: bool) -> bool:
    """Connect to a cluster, unless this process is; whether the connection is ours to end."""
    if ray.is_initialized():
        return False
    _check_reachable(address)
    # Ray says hello on stderr before it reads its own settings.
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet = {"log_to_driver": verbose, "logging_level": logging.ERROR}
    try:
        if address == LOCAL:
            ray.init(address="local", include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"--cluster {address}: no Ray cluster ({_first_line(error)}); start one with "
            "`ray start --head`, or use --cluster local"
        ) from error
    return True


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


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
