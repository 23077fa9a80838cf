"""Sizes of the generator and the head-pose network, read from the YAML beside the checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from mdth.errors import CheckpointError, MissingDependency

LARGEST_SIZE = 1 << 14
MOST_BLOCKS = 64
"""A network of 16,384 blocks takes a minute to make, before any weight is missed."""
LANDMARKS = 68


class Section(NamedTuple):
    """Landmarks of one part of the face, and how many keypoints are made of them."""

    landmarks: tuple[int, ...]
    keypoints: int


@dataclass(frozen=True)
class DenseMotionConfig:
    """The hourglass over the feature volume; the defaults are the published sizes."""

    block_expansion: int = 32
    max_features: int = 1024
    num_blocks: int = 5
    reshape_depth: int = 16
    compress: int = 4


@dataclass(frozen=True)
class DecoderConfig:
    """The SPADE decoder. The published code has these numbers inside, its YAML does not."""

    ic: int = 256
    oc: int = 64
    label_nc: int = 256
    nhidden: int = 128


@dataclass(frozen=True)
class GeneratorConfig:
    """The generator; sections differ from one training to the other and have no default.

    frame_size: side of the square picture, px.
    """

    sections: tuple[Section, ...]
    frame_size: int = 256
    image_channel: int = 3
    block_expansion: int = 64
    max_features: int = 512
    num_down_blocks: int = 2
    reshape_channel: int = 32
    reshape_depth: int = 16
    num_resblocks: int = 6
    dense_motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)

    @property
    def keypoints(self) -> int:
        """All sections' together."""
        return sum(section.keypoints for section in self.sections)


@dataclass(frozen=True)
class HeadPoseConfig:
    """The head-pose network. expression: numbers of its last layer, which nobody uses here."""

    image_channel: int = 3
    block_expansion: int = 64
    max_features: int = 2048
    num_bins: int = 66
    expression: int = 45


def read_generator(path: Path) -> GeneratorConfig:
    """The generator's sizes. Raises CheckpointError for a YAML that cannot be used."""
    tree = _read(path)
    own = _params(path, tree, "generator_params")
    own["frame_size"] = _frame_size(path, tree)
    motion, decoder = (_part(path, own, name) for name in ("dense_motion_params", "decoder"))
    config = GeneratorConfig(
        sections=_sections(path, own.get("sections")),
        **_sizes(path, GeneratorConfig, own),
        dense_motion=DenseMotionConfig(**_sizes(path, DenseMotionConfig, motion)),
        decoder=DecoderConfig(**_sizes(path, DecoderConfig, decoder)),
    )
    _check_agreement(path, config, own)
    return config


def read_headpose(path: Path) -> HeadPoseConfig:
    """The head-pose network's sizes. Raises CheckpointError for a YAML that cannot be used."""
    own = _params(path, _read(path), "he_estimator_params")
    return HeadPoseConfig(**_sizes(path, HeadPoseConfig, own))


def _params(path: Path, tree: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A network's own parameters, and the common ones."""
    params = _part(path, tree, "model_params")
    return {**_part(path, params, "common_params"), **_part(path, params, name)}


def _part(path: Path, values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a part of the YAML; empty if there is none."""
    found = values.get(name)
    if not isinstance(found, dict | None):
        raise CheckpointError(f"{path}: {name} is no mapping")
    return found or {}


def _sizes(path: Path, kind: type, values: Mapping[str, Any]) -> dict[str, int]:
    """Those of a kind's sizes that are given: whole numbers from 1 to 16,384, of blocks to 64."""
    names = [size.name for size in fields(kind) if size.type is int and size.name in values]
    for name in names:
        most = MOST_BLOCKS if name.endswith("blocks") else LARGEST_SIZE
        if type(values[name]) is not int or not 1 <= values[name] <= most:
            raise CheckpointError(
                f"{path}: {kind.__name__.removesuffix('Config')}: {name} is "
                f"{str(values[name])[:40]!r}, not a whole number from 1 to {most}"
            )
    return {name: values[name] for name in names}


def _frame_size(path: Path, tree: Mapping[str, Any]) -> Any:
    """Side of the square pictures; 256 if the YAML says nothing."""
    shape = _part(path, tree, "dataset_params").get("frame_shape", [256, 256, 3])
    if not isinstance(shape, list) or len(shape) != 3 or shape[0] != shape[1]:
        raise CheckpointError(f"{path}: frame_shape {str(shape)[:60]} is not a square")
    return shape[0]


def _read(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency(
            "reading the seed's YAML needs PyYAML; run: pip install 'mdth[seed]'"
        ) from error
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; put the configuration there") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise CheckpointError(f"{path}: cannot be read as YAML ({reason})") from error
    if not isinstance(found, dict) or "model_params" not in found:
        raise CheckpointError(f"{path}: has no model_params; use the YAML of the checkpoint")
    return found


def _sections(path: Path, given: Any) -> tuple[Section, ...]:
    if not isinstance(given, list) or not given:
        raise CheckpointError(f"{path}: common_params.sections is missing")
    return tuple(_section(path, entry) for entry in given)


def _section(path: Path, entry: Any) -> Section:
    match entry:
        case [list(marks), int(keypoints)] if (
            marks
            and all(type(mark) is int and 0 <= mark < LANDMARKS for mark in marks)
            and 1 <= keypoints <= LANDMARKS
        ):
            return Section(tuple(marks), keypoints)
    raise CheckpointError(
        f"{path}: section {str(entry)[:60]} is not [landmarks 0..67, number of keypoints]"
    )


def _check_agreement(path: Path, config: GeneratorConfig, own: Mapping[str, Any]) -> None:
    for flag, needed in (("estimate_jacobian", False), ("estimate_occlusion_map", True)):
        if own.get(flag, needed) is not needed:
            raise CheckpointError(f"{path}: {flag} {own[flag]!r} is not the seed's generator")
    if own.get("num_kp", config.keypoints) != config.keypoints:
        raise CheckpointError(f"{path}: num_kp is not the sum of the sections' keypoints")
    if config.dense_motion.reshape_depth != config.reshape_depth:
        raise CheckpointError(f"{path}: two different values of reshape_depth")
    if own.get("feature_channel", config.reshape_channel) != config.reshape_channel:
        raise CheckpointError(f"{path}: feature_channel is not reshape_channel")
    step = 2 ** (config.num_down_blocks + config.dense_motion.num_blocks)
    if config.frame_size % step:
        raise CheckpointError(f"{path}: frame_shape {config.frame_size} is no multiple of {step}")
