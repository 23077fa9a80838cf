"""Sizes of the generator and the head-pose network, read from the YAML beside the checkpoint."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mdth.errors import CheckpointError, MissingDependency

LARGEST_FILE = 1 << 20
LARGEST_SIZE = 1 << 14
MOST_BLOCKS = 64
"""A network of 16,384 blocks takes a minute to make, before any weight is missed."""
DEEPEST = 12
MOST_ALIASES = 16
"""Each can double what a merge copies."""
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

    @property
    def feature_size(self) -> int:
        """Side of the feature volume."""
        return int(self.frame_size // 2**self.num_down_blocks)


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
    tree = Tree(path)
    common, own = tree.at("common_params"), tree.at("generator_params")
    for flag, needed in (("estimate_jacobian", False), ("estimate_occlusion_map", True)):
        given = {**common.values, **own.values}.get(flag, needed)
        if given is not needed:
            raise CheckpointError(f"{path}: {flag} {given!r} is not the seed's generator")
    sections = _sections(common)
    config = GeneratorConfig(
        sections=sections,
        frame_size=tree.frame_size(),
        **{**common.sizes("image_channel"), **own.sizes("image_channel")},
        **own.sizes(
            *("block_expansion", "max_features", "num_down_blocks"),
            *("reshape_channel", "reshape_depth", "num_resblocks"),
        ),
        dense_motion=DenseMotionConfig(
            **own.at("dense_motion_params").sizes(*DenseMotionConfig.__dataclass_fields__)
        ),
        decoder=DecoderConfig(**own.at("decoder").sizes(*DecoderConfig.__dataclass_fields__)),
    )
    if common.sizes("num_kp").get("num_kp", config.keypoints) != config.keypoints:
        raise CheckpointError(f"{path}: num_kp is not the sum of the sections' keypoints")
    _check_agreement(path, config, common.sizes("feature_channel"))
    return config


def read_headpose(path: Path) -> HeadPoseConfig:
    """The head-pose network's sizes. Raises CheckpointError for a YAML that cannot be used."""
    tree = Tree(path)
    return HeadPoseConfig(
        **tree.at("common_params").sizes("image_channel"),
        **tree.at("he_estimator_params").sizes("block_expansion", "max_features", "num_bins"),
    )


class Tree:
    """A part of the YAML that knows how to complain."""

    def __init__(self, path: Path, *, values: dict[str, Any] | None = None, name: str = "") -> None:
        self.path, self.name = path, name
        self.root = _read(path) if values is None else {}
        self.values = self._mapping(self.root, "model_params") if values is None else values

    def at(self, name: str) -> "Tree":
        """A part of this part; empty if there is none."""
        return Tree(self.path, values=self._mapping(self.values, name), name=f"{self.name}{name}.")

    def sizes(self, *names: str) -> dict[str, int]:
        """Those of the names that are given: whole numbers from 1 to 16,384, of blocks to 64."""
        found = {name: self.values[name] for name in names if name in self.values}
        for name, value in found.items():
            most = MOST_BLOCKS if name.endswith("blocks") else LARGEST_SIZE
            if type(value) is not int or not 1 <= value <= most:
                raise CheckpointError(
                    f"{self.path}: {self.name}{name} is {str(value)[:40]!r}, "
                    f"not a whole number from 1 to {most}"
                )
        return found

    def frame_size(self) -> int:
        """Side of the square pictures, from dataset_params; 256 if it says nothing."""
        shape = self._mapping(self.root, "dataset_params").get("frame_shape", [256, 256, 3])
        if not isinstance(shape, list) or len(shape) != 3 or shape[0] != shape[1]:
            raise CheckpointError(f"{self.path}: frame_shape {str(shape)[:60]} is not a square")
        return Tree(self.path, values={"frame_shape": shape[0]}).sizes("frame_shape")["frame_shape"]

    def _mapping(self, values: dict[str, Any], name: str) -> dict[str, Any]:
        found = values.get(name)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise CheckpointError(f"{self.path}: {self.name}{name} is no mapping")
        return found


def _read(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency(
            "reading the seed's YAML needs PyYAML; run: pip install 'mdth[seed]'"
        ) from error
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise CheckpointError(f"{path}: larger than {LARGEST_FILE} bytes; no configuration")
        text = path.read_text("utf-8")
        _check_events(path, yaml.parse(text, Loader=yaml.SafeLoader))
        found = yaml.safe_load(text)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; put the configuration there") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise CheckpointError(f"{path}: cannot be read as YAML ({reason})") from error
    if not isinstance(found, dict) or "model_params" not in found:
        raise CheckpointError(f"{path}: has no model_params; use the YAML of the checkpoint")
    return found


def _check_events(path: Path, events: Any) -> None:
    """Refuse deep nesting and many aliases, which a small file can blow up with."""
    import yaml

    depth = aliases = 0
    for event in events:
        aliases += isinstance(event, yaml.AliasEvent)
        if aliases > MOST_ALIASES:
            raise CheckpointError(f"{path}: over {MOST_ALIASES} YAML aliases; write values out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise CheckpointError(f"{path}: nested deeper than {DEEPEST} levels")


def _sections(common: Tree) -> tuple[Section, ...]:
    given = common.values.get("sections")
    if not isinstance(given, list) or not given:
        raise CheckpointError(f"{common.path}: common_params.sections is missing")
    return tuple(_section(common.path, entry) for entry in given)


def _section(path: Path, entry: Any) -> Section:
    match entry:
        case [list(landmarks), int(keypoints)] if (
            landmarks
            and all(type(mark) is int and 0 <= mark < LANDMARKS for mark in landmarks)
            and 1 <= keypoints <= LANDMARKS
        ):
            return Section(tuple(landmarks), keypoints)
    raise CheckpointError(
        f"{path}: section {str(entry)[:60]} is not [landmarks 0..67, number of keypoints]"
    )


def _check_agreement(path: Path, config: GeneratorConfig, feature: dict[str, int]) -> None:
    motion = config.dense_motion
    step = int(2 ** (config.num_down_blocks + motion.num_blocks))
    if motion.reshape_depth != config.reshape_depth:
        raise CheckpointError(f"{path}: two different values of reshape_depth")
    if feature.get("feature_channel", config.reshape_channel) != config.reshape_channel:
        raise CheckpointError(f"{path}: feature_channel is not reshape_channel")
    if config.frame_size % step:
        raise CheckpointError(f"{path}: frame_shape {config.frame_size} is no multiple of {step}")
