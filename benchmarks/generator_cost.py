"""What rendering costs: counted operations and bytes, and what a device can do at most."""

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mdth.bfv2v.config import GeneratorConfig
from mdth.bfv2v.fast import FastRenderer
from mdth.bfv2v.fused import Fused
from mdth.bfv2v.motion import Face
from mdth.bfv2v.network import Generator
from tests.support.generator_plain import PlainRenderer

MATRIX = {"cuda": 8192, "cpu": 1024}
COPIED_BYTES = {"cuda": 1 << 32, "cpu": 1 << 28}
REPEATS = 10


class Count(NamedTuple):
    """Of one frame: multiplications and additions, and bytes that operations read and write."""

    operations: float
    bytes: float


class Limits(NamedTuple):
    """A device's own: operations and bytes a second, measured."""

    operations_s: float
    bytes_s: float


class _Bytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the inputs and outputs of every operation that is no view."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0
        self.inside_fused = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if not func.is_view and not self.inside_fused:
            given = [*args, *(kwargs or {}).values()]
            self.add([given, made])
        return made

    def add(self, tensors: object) -> None:
        """Count them."""
        self.total += sum(_size(tensor) for tensor in _tensors(tensors))

    def fused(self, chain: Fused[..., Any], *given: Any, **named: Any) -> Any:
        """A call of a fused chain, which reads its inputs and writes its outputs once."""
        self.inside_fused = True
        try:
            made = chain.plain(*given, **named)
        finally:
            self.inside_fused = False
        self.add([given, made])
        return made


def count(render: Callable[[], Tensor], *, frames: int) -> Count:
    """What one call of `render` costs a frame; nothing is computed on the device "meta".

    Fused chains read their inputs and write their outputs once.
    """
    operations, moved = FlopCounterMode(display=False), _Bytes()
    with patch.object(Fused, "__call__", lambda *given, **named: moved.fused(*given, **named)):
        with moved, operations:
            render()
    return Count(operations.get_total_flops() / frames, moved.total / frames)


def counted(config: GeneratorConfig, batch: int) -> dict[str, Count]:
    """What a frame costs in both ways, its source given, on the device "meta"."""
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

            def run(renderer: PlainRenderer | FastRenderer = renderer) -> torch.Tensor:
                return renderer.render(faces[1])

            found[name] = count(run, frames=batch)
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


def _tensors(tree: object) -> Iterable[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for branch in tree:
            yield from _tensors(branch)


def _size(tensor: Tensor) -> int:
    # What is shown many times without being there many times is read once.
    there = [n for n, step in zip(tensor.shape, tensor.stride(), strict=True) if step]
    return int(torch.Size(there).numel()) * tensor.element_size()
