"""Published state dicts -> a network, strictly: every name and shape has to be right."""

import dataclasses
import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from mdth.errors import CheckpointError
from mdth.faceformer.seed.config import Config
from mdth.faceformer.seed.network import Network

RECOMPUTED = "PPE.pe"
"""A table of positions that the published files carry; it is computed here."""
SHOWN = 3
DAMAGED = (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError,
           AssertionError, pickle.UnpicklingError, zipfile.BadZipFile)  # fmt: skip
"""What torch raises for a file that is cut off, of another kind, or holds more than tensors."""
TODAYS_NAMES = {"parametrizations.weight.original0": "weight_g",
                "parametrizations.weight.original1": "weight_v"}  # fmt: skip


def load_network(path: Path, config: Config) -> Network:
    """The network of a state dict file, on the CPU, ready to infer.

    Numbers of vertices and subjects are the file's own. Raises CheckpointError if the file is
    missing, damaged, no plain state dict, or not exactly this network's.
    """
    weights = read_weights(path)
    config = dataclasses.replace(
        config,
        vertices=_size(weights, "vertice_map_r.bias", 0, 3 * config.vertices) // 3,
        subjects=_size(weights, "obj_vector.weight", 1, config.subjects),
    )
    with torch.device("meta"):
        network = Network(config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    wrong = differences(expected, {name: tuple(w.shape) for name, w in weights.items()})
    if wrong:
        raise CheckpointError(
            f"{path}: not a FaceFormer checkpoint for {config.dataset}: {'; '.join(wrong)}; "
            "use the published file of this data set"
        )
    network.load_state_dict(weights, strict=True, assign=True)
    return network.requires_grad_(False).eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Names and float32 tensors of a state dict; nothing in the file is executed."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; put the checkpoint there") from error
    except DAMAGED as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise CheckpointError(
            f"{path}: no readable state dict ({type(error).__name__}: {reason}); fetch it again"
        ) from error
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()
    ):
        raise CheckpointError(f"{path}: not a state dict of names and tensors")
    weights = {_published_name(name): tensor.float() for name, tensor in found.items()}
    weights.pop(RECOMPUTED, None)
    return weights


def differences(
    expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]
) -> list[str]:
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


def _published_name(name: str) -> str:
    for today, published in TODAYS_NAMES.items():
        name = name.replace(today, published)
    return name


def _size(weights: dict[str, Tensor], name: str, axis: int, otherwise: int) -> int:
    """A size as the file has it; `otherwise` if the tensor is missing or odd."""
    tensor = weights.get(name)
    return otherwise if tensor is None or tensor.dim() <= axis else int(tensor.shape[axis])


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
