"""How many GPUs there are, and whether that is enough."""

import logging
import shutil
import subprocess

from mdth import guard
from mdth.errors import DeviceError

log = logging.getLogger("mdth")

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


def torch_devices(wanted: int) -> list[str]:
    """Names for torch of the first `wanted` GPUs it can use, else of the CPU. Needs torch."""
    import torch

    found = min(wanted, torch.cuda.device_count())
    # The seed's networks take 2.5 GB on a CPU; drivers of GPUs reserve more than they use.
    guard.allow_memory(0 if found else 2)
    return [f"cuda:{number}" for number in range(found)] or [CPU]


def check(wanted: int, *, used: bool = False) -> None:
    """Accept 0 and 1 anywhere, more only where there are as many. Raises DeviceError.

    used: whether the engine can use GPUs, for the log.
    """
    found = count_gpus() if wanted else 0
    if wanted > max(1, found):
        raise DeviceError(f"{wanted} GPUs were asked for, {found} found; n_gpus 1 runs anywhere")
    if found < wanted:
        log.info("no GPU found: running on the CPU")
    elif wanted and not used:
        log.info("this engine runs on the CPU; the GPUs stay idle")
