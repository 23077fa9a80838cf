"""What rendering costs: counted operations, and what a device can do at most."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from mdth.bfv2v.config import GeneratorConfig
from mdth.bfv2v.fast import FastRenderer
from mdth.bfv2v.motion import Face
from mdth.bfv2v.network import Generator
from tests.support.generator_plain import PlainRenderer

MATRIX = {"cuda": 8192, "cpu": 1024}
COPIED_BYTES = {"cuda": 1 << 32, "cpu": 1 << 28}
REPEATS = 10


class Limits(NamedTuple):
    """A device's own: operations and bytes a second, measured."""

    operations_s: float
    bytes_s: float


def counted(config: GeneratorConfig, batch: int) -> dict[str, float]:
    """Multiplications and additions of a frame in both ways, its source given, on "meta"."""
    meta = torch.device("meta")
    side = config.frame_size
    with meta:
        source = torch.empty(1, 3, side, side)
        faces = [
            Face(torch.empty(n, 68, 3), torch.empty(n, 4, 4), torch.empty(n)) for n in (1, batch)
        ]
        empty = Generator(config).eval()
    found = {}
    for name, renderer in (
        ("plain", PlainRenderer(empty, meta)),
        ("ours", FastRenderer(empty, meta, torch.float16)),
    ):
        with torch.no_grad():
            renderer.source(source, faces[0])

            with FlopCounterMode(display=False) as operations:
                renderer.render(faces[1])
            found[name] = operations.get_total_flops() / batch
    return found


def limits(device: torch.device, dtype: torch.dtype) -> Limits:
    """A matrix product and a copy, the best of some."""
    side = MATRIX[device.type]
    a = torch.randn(side, side, device=device).to(dtype)
    b = torch.randn(side, side, device=device).to(dtype)
    product_s = best_s(lambda: a @ b, device)
    source = torch.empty(COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy_s = best_s(lambda: target.copy_(source), device)
    return Limits(2 * side**3 / product_s, 2 * len(source) / copy_s)


def best_s(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of some runs."""
    run()
    found = []
    for _ in range(REPEATS):
        wait(device)
        start = time.perf_counter()
        run()
        wait(device)
        found.append(time.perf_counter() - start)
    return min(found)


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
