"""Which machine figures are from."""

import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path


def machine() -> str:
    """Processor, cores this process may use, system, Python, and torch with its GPUs."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    parts = [processor(), f"{cores} cores", platform.platform(terse=True)]
    parts.append(f"Python {platform.python_version()}")
    if find_spec("torch") is not None:
        import torch

        parts.append(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
        parts += [torch.cuda.get_device_name(gpu) for gpu in range(torch.cuda.device_count())]
    return ", ".join(parts)


def processor() -> str:
    """The name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
