"""State dict files, read safely; all that a network needs has to be there. Needs torch."""

import logging
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mdth.errors import CheckpointError
from mdth.files.pickle import TensorsOnly
from mdth.files.reading import BoundedFile

log = logging.getLogger("mdth")

SHOWN = 3
PARALLEL = "module."
"""What torch puts before the names of a network that was trained on several GPUs."""
COUNTER = "num_batches_tracked"
"""Ends the name of a batch norm's counter, which old files lack and nobody reads."""
MOST_REPEATED = 200_000_000  # numbers that a file may stand for without holding them
ZIP = b"PK\3\4"
LATER = (b"\x80\4", b"\x80\5")  # a pickle of protocol 4 or 5
DAMAGED = (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError,
           AssertionError, ArithmeticError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error,
           struct.error)  # fmt: skip
"""What torch raises for a file that is cut off, of another kind, or holds more than tensors."""

Shape = tuple[int, ...]
Network = TypeVar("Network", bound=nn.Module)


def read(path: Path, entry: str | None = None) -> dict[str, Tensor]:
    """Names and tensors of a state dict file, on the CPU; nothing in the file is executed.

    entry: where the state dict lies in a file that is a dict of several things. Names are without
    `PARALLEL`.
    Raises CheckpointError if the file is missing, damaged, or no state dict.
    """
    try:
        found = load(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; put the checkpoint there") from error
    except DAMAGED as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise CheckpointError(
            f"{path}: no readable state dict ({type(error).__name__}: {reason}); fetch it again"
        ) from error
    if entry is not None:
        if not isinstance(found, dict) or entry not in found:
            raise CheckpointError(f"{path}: has no entry {entry!r}; use the published file")
        found = found[entry]
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and _is_plain(tensor) for name, tensor in found.items()
    ):
        raise CheckpointError(f"{path}: not a state dict of names and tensors")
    if sum(tensor.numel() for tensor in found.values() if _is_repeated(tensor)) > MOST_REPEATED:
        raise CheckpointError(f"{path}: its tensors are larger than the file; fetch it again")
    return {name.removeprefix(PARALLEL): tensor for name, tensor in found.items()}


def load(path: Path) -> Any:
    """Tensors and plain values in whatever order the file has them.

    Nothing in it is executed. Raises what `DAMAGED` lists.
    """
    with BoundedFile(path) as file:
        begin = file.peek(len(ZIP))
        if begin.startswith(ZIP):  # as torch tells them
            _check_members(path, file.size)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251
        except pickle.UnpicklingError:
            # Its own safe reader knows no protocol above 3; a program it refused by another error.
            if not begin.startswith((ZIP, *LATER)):
                raise
        file.seek(0)
        return torch.load(  # noqa: TID251
            file, map_location="cpu", weights_only=False, pickle_module=TensorsOnly
        )


def _check_members(path: Path, size: int) -> None:
    """Refuse a zip that unfolds: torch itself stores tensors as they are."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or sum(member.file_size for member in members) > size:
        raise ValueError("a zip whose members are packed")


def _is_plain(tensor: object) -> bool:
    """Whether it is a dense tensor of plain numbers."""
    return (
        isinstance(tensor, Tensor)
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
    )


def _is_repeated(tensor: Tensor) -> bool:
    """Whether some of its numbers stand for several, as after `expand`."""
    return tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()


def filled(
    make: Callable[[], Network], weights: dict[str, Tensor], *, path: Path, kind: str
) -> Network:
    """The network that `make` gives, with these weights, in float32 on the CPU; ready to infer.

    path, kind: the file and what it should be, for messages. What the network does not know is left
    out with a warning. Raises CheckpointError: a tensor is missing or of another shape (with the
    first differences), or no network can be made.
    """
    source = f"{path}: not {kind}"
    try:
        with torch.device("meta"):
            network = make()
    except (ValueError, RuntimeError, AssertionError, ArithmeticError) as error:
        raise CheckpointError(f"{source}: no network has such sizes ({error})") from error
    own = network.state_dict()
    counters = {name: w for name, w in own.items() if name.endswith(COUNTER)}
    given = {name: torch.zeros(w.shape, dtype=w.dtype) for name, w in counters.items()} | weights
    expected = {name: tuple(tensor.shape) for name, tensor in own.items()}
    extra = [name for name in given if name not in own]
    weights = {name: w for name, w in given.items() if name in own}
    if differences(expected, {name: tuple(w.shape) for name, w in weights.items()}):
        wrong = "; ".join(
            differences(expected, {name: tuple(w.shape) for name, w in given.items()})
        )
        raise CheckpointError(f"{source}: {wrong}; use the published file that belongs to it")
    if extra:
        log.warning("%s: tensors left out: %d (%s)", path, len(extra), _first(extra))
    plain = {name: w.float() if w.is_floating_point() else w for name, w in weights.items()}
    if not all(
        w.is_floating_point() == own[name].is_floating_point() and _is_finite(w)
        for name, w in plain.items()
    ):
        raise CheckpointError(f"{source}: holds numbers that no network has; fetch it again")
    network.load_state_dict(plain, strict=True, assign=True)
    return network.requires_grad_(False).eval()


def _is_finite(tensor: Tensor) -> bool:
    """Whether all are numbers: what is none shows in the extremes, in an eighth of the time."""
    if not tensor.numel():
        return True
    return not tensor.is_complex() and all(bool(torch.isfinite(end)) for end in tensor.aminmax())


def differences(expected: dict[str, Shape], found: dict[str, Shape]) -> list[str]:
    """What is missing, unexpected, or of another shape: at most three lines, first names first."""
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    shapes = [
        f"{name} is {_shape(found[name])}, not {_shape(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of other shape": shapes}
    return [f"{len(names)} {kind} ({_first(names)})" for kind, names in kinds.items() if names]


def size(weights: dict[str, Tensor], name: str, otherwise: int, *, axis: int = 0) -> int:
    """A size of a tensor as the file has it; `otherwise` if the tensor is missing or odd."""
    tensor = weights.get(name)
    return otherwise if tensor is None or tensor.dim() <= axis else int(tensor.shape[axis])


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
