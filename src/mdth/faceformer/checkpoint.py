"""Published state dicts -> a network, of which no tensor may be missing or of another shape."""

import dataclasses
from pathlib import Path

from torch import Tensor

from mdth.faceformer.config import Config
from mdth.faceformer.network import Network
from mdth.files import state_dict

RECOMPUTED = "PPE.pe"
"""A table of positions that the published files carry; it is computed here."""
TODAYS_NAMES = {"parametrizations.weight.original0": "weight_g",
                "parametrizations.weight.original1": "weight_v"}  # fmt: skip


def load_network(path: Path, config: Config) -> Network:
    """The network of a state dict file, on the CPU, ready to infer.

    Numbers of vertices and subjects are the file's own. Raises CheckpointError if the file is
    missing, damaged, no plain state dict, or lacks a tensor of this network.
    """
    weights = read_weights(path)
    config = dataclasses.replace(
        config,
        vertices=state_dict.size(weights, "vertice_map_r.bias", 3 * config.vertices) // 3,
        subjects=state_dict.size(weights, "obj_vector.weight", config.subjects, axis=1),
    )
    kind = f"a FaceFormer checkpoint for {config.dataset}"
    return state_dict.filled(lambda: Network(config), weights, path=path, kind=kind)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Names and float32 tensors of a state dict; nothing in the file is executed."""
    weights = {published_name(name): w.float() for name, w in state_dict.read(path).items()}
    weights.pop(RECOMPUTED, None)
    return weights


def published_name(name: str) -> str:
    """The name a tensor has in the published files; today's torch calls two of them otherwise."""
    for today, published in TODAYS_NAMES.items():
        name = name.replace(today, published)
    return name
