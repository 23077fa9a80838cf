"""The published files -> networks, of which no tensor may be missing or of another shape."""

import dataclasses
from pathlib import Path

from mdth.bfv2v.config import read_generator, read_headpose
from mdth.bfv2v.headpose import HeadPose
from mdth.bfv2v.network import Generator
from mdth.files import state_dict

GENERATOR, HEADPOSE = "generator", "he_estimator"
"""Entries of the published files."""


def load_generator(checkpoint: Path, config: Path) -> Generator:
    """The generator of `00002099-checkpoint.pth.tar`, float32, on the CPU, ready to infer.

    config: the YAML with its sizes and sections. Raises CheckpointError if a file is missing,
    damaged, or lacks what the other says.
    """
    sizes = read_generator(config)
    weights = state_dict.read(checkpoint, GENERATOR)
    kind = f"the generator that {config.name} describes"
    return state_dict.filled(lambda: Generator(sizes), weights, path=checkpoint, kind=kind)


def load_headpose(checkpoint: Path, config: Path) -> HeadPose:
    """The head-pose network of `headpose.tar`, float32, on the CPU, ready to infer.

    Its expression layer may have been trained with another number of keypoints than the YAML's;
    that size is the file's own. Raises CheckpointError as `load_generator` does.
    """
    weights = state_dict.read(checkpoint, HEADPOSE)
    sizes = read_headpose(config)
    expression = state_dict.size(weights, "fc_exp.bias", sizes.expression)
    sizes = dataclasses.replace(sizes, expression=expression)
    kind = f"the head-pose network that {config.name} describes"
    return state_dict.filled(lambda: HeadPose(sizes), weights, path=checkpoint, kind=kind)
