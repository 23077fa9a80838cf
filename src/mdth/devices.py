"""How many GPUs there are, and whether that is enough."""

import ctypes
import os
import shutil
import subprocess
import sys
from functools import cache

from mdth import guard
from mdth.errors import SYSTEM_LIBRARIES, DeviceError

TIMEOUT_S = 20
CPU = "cpu"


def count_gpus() -> int:
    """The NVIDIA GPUs the driver lists, 0 without a driver."""
    return len(gpu_names())


def gpu_names() -> list[str]:
    """What the driver calls them, such as "GPU 0: NVIDIA H200"."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        listed = subprocess.run(
            [command, "-L"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = listed.stdout.splitlines()
    return [line.partition(" (UUID")[0] for line in lines if line.startswith("GPU ")]


@cache
def missing_libraries() -> list[str]:
    """Which of the system's libraries are not there that others' packages link."""
    missing = []
    for name in SYSTEM_LIBRARIES if sys.platform == "linux" else ():
        try:
            ctypes.CDLL(name)
        except OSError:
            missing.append(name)
    return missing


def usable_cores() -> list[int]:
    """The numbers of the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def torch_devices(wanted: int) -> list[str]:
    """Names for torch of the first `wanted` GPUs it can use, else of the CPU. Needs torch."""
    import torch

    found = min(wanted, torch.cuda.device_count())
    # The seed's networks take 2.5 GB on a CPU; drivers of GPUs reserve more than they use.
    guard.allow_memory(0 if found else 2)
    return [f"cuda:{number}" for number in range(found)] or [CPU]


def check(wanted: int) -> None:
    """Accept 0 and 1 anywhere, more only where there are as many. Raises DeviceError."""
    found = count_gpus() if wanted else 0
    if wanted > max(1, found):
        raise DeviceError(f"{wanted} GPUs were asked for, {found} found; n_gpus 1 runs anywhere")
