"""The generator's sizes as published, small ones for a rehearsal, and the YAML that tells them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from mdth.bfv2v.config import (
    DecoderConfig,
    DenseMotionConfig,
    GeneratorConfig,
    HeadPoseConfig,
    Section,
    read_generator,
)


def _range(first: int, last: int, keypoints: int) -> Section:
    return Section(tuple(range(first, last + 1)), keypoints)


SECTIONS = (
    _range(48, 59, 4),
    _range(60, 67, 3),
    _range(36, 41, 2),
    _range(42, 47, 2),
    _range(17, 21, 1),
    _range(22, 26, 1),
    _range(27, 35, 2),
    _range(0, 16, 3),
    _range(3, 3, 1),
    _range(4, 4, 1),
)
"""Parts of a face: lips outside and inside, eyes, brows, nose, jaw, irises. 20 keypoints."""
FULL = GeneratorConfig(SECTIONS)
SMALL = GeneratorConfig(
    (_range(48, 67, 2), _range(17, 47, 2), _range(0, 16, 1)),
    block_expansion=4,
    max_features=16,
    reshape_channel=4,
    reshape_depth=4,
    num_resblocks=1,
    dense_motion=DenseMotionConfig(
        block_expansion=4, max_features=16, num_blocks=3, reshape_depth=4, compress=1
    ),
    decoder=DecoderConfig(ic=16, oc=4, label_nc=16, nhidden=4),
)
FULL_HEADPOSE = HeadPoseConfig()
SMALL_HEADPOSE = HeadPoseConfig(block_expansion=8, max_features=64)
SIZES = {"full": FULL, "small": SMALL}


def chosen(name: str, side: int | None) -> GeneratorConfig:
    """One of `SIZES` or a YAML's, at another side (px) if one is given."""
    config = SIZES[name] if name in SIZES else read_generator(Path(name))
    return config if side is None else dataclasses.replace(config, frame_size=side)


def write_config(path: Path, config: GeneratorConfig, posed: HeadPoseConfig) -> None:
    """Write the YAML that describes a pair of networks (JSON, which is YAML too)."""
    own = dataclasses.asdict(config)
    sections = [[list(section.landmarks), section.keypoints] for section in config.sections]
    side = own.pop("frame_size")
    own.pop("sections")
    tree: dict[str, Any] = {
        "dataset_params": {"frame_shape": [side, side, config.image_channel]},
        "model_params": {
            "common_params": {
                "num_kp": config.keypoints,
                "sections": sections,
                "image_channel": own.pop("image_channel"),
                "feature_channel": config.reshape_channel,
                "estimate_jacobian": False,
            },
            "generator_params": {
                **{key: value for key, value in own.items() if key != "dense_motion"},
                "estimate_occlusion_map": True,
                "dense_motion_params": own["dense_motion"],
            },
            "he_estimator_params": {
                "block_expansion": posed.block_expansion,
                "max_features": posed.max_features,
                "num_bins": posed.num_bins,
            },
        },
    }
    path.write_text(json.dumps(tree, indent=1), "utf-8")
