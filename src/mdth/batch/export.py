"""A job for many twins, wherever the workers are."""

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from mdth.batch.dispatch import Crew, Limits, work_off
from mdth.batch.job import Job, Result

log = logging.getLogger("mdth")


@dataclass(frozen=True)
class Place:
    """Where the workers are.

    workers: how many; None is 1 here, and on a cluster one per `gpus` or, without GPUs, per CPU.
    cluster: None for processes of this machine, else "local", "auto" or a Ray cluster's address.
    gpus: how many each worker sees, where there are any.
    """

    workers: int | None = None
    cluster: str | None = None
    gpus: int = 1


def run(
    twins: Sequence[str], job: Job, place: Place, limits: Limits | None = None
) -> Generator[Result, None, None]:
    """The result of each twin as it ends; closing the iterator ends the workers.

    Raises MissingDependency, InputError, DeviceError when the workers cannot be had; what goes
    wrong with a twin is in its result.
    """
    with closing(_crew(job, place)) as crew:
        yield from work_off(twins, crew, limits or Limits())


def _crew(job: Job, place: Place) -> Crew:
    if place.cluster is not None:
        from mdth.batch.cluster import RayCrew

        return RayCrew(job, place.workers, address=place.cluster, gpus=place.gpus)
    from mdth.batch.local import LocalCrew

    return LocalCrew(job, place.workers or 1, gpus=place.gpus)
