"""The seed's files with random weights, in the published layout: for tests and measurements.

python -m tests.support.generator_made_up warping-shared/warping-common/th/checkpoints --small

Nobody looks right in what they render. `--small` makes networks that a CPU runs in a moment.
"""

import argparse
import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mdth.bfv2v import checkpoint
from mdth.bfv2v.blocks import SpectralConv2d
from mdth.bfv2v.config import (
    DecoderConfig,
    DenseMotionConfig,
    GeneratorConfig,
    HeadPoseConfig,
    Section,
)
from mdth.bfv2v.headpose import HeadPose
from mdth.bfv2v.landmarks import SCALE, Landmarks
from mdth.bfv2v.network import Generator

log = logging.getLogger("mdth")

CHECKPOINT = Path("bfv2v/v16.7/00002099-checkpoint.pth.tar")
HEADPOSE = Path("bfv2v/headpose.tar")
CONFIG = Path("bfv2v/config/vox-256-renderer_v16.yaml")
EYE_PCA = Path("bfv2v/eye_pca.pt")
POWER_ITERATIONS = 10
EYE_POINTS, EYE_COMPONENTS, EYE_SAMPLES = 24, 6, 200


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


def generator(config: GeneratorConfig = FULL, *, seed: int = 0) -> Generator:
    """A generator with random weights, ready to infer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Generator(config)
        _settle(made)
    return made.requires_grad_(False).eval()


def headpose(config: HeadPoseConfig = FULL_HEADPOSE, *, seed: int = 0) -> HeadPose:
    """A head-pose network with random weights, ready to infer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = HeadPose(config)
        _settle(made)
    return made.requires_grad_(False).eval()


def eye_pca(*, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """U [200,6], S [6], V [72,6] of random motion of 24 points, as torch.pca_lowrank gives."""
    random = torch.Generator().manual_seed(seed)
    motion = torch.randn(EYE_SAMPLES, 3 * EYE_POINTS, generator=random)
    motion *= torch.linspace(2, 0.1, 3 * EYE_POINTS)
    U, S, Vh = torch.linalg.svd(motion - motion.mean(0), full_matrices=False)
    kept = EYE_COMPONENTS
    return U[:, :kept].clone(), S[:kept].clone(), Vh[:kept].T.clone()


def picture(side: int) -> npt.NDArray[np.uint8]:
    """A smooth source with edges: RGB uint8 [side,side,3]."""
    rows, columns = np.mgrid[:side, :side] / side
    smooth = np.stack([rows, columns, (rows - columns) ** 2], axis=2)
    smooth[(rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.1] += 0.3
    return (smooth * 180).astype(np.uint8)


def landmarks(count: int, *, seed: int = 0) -> list[Landmarks]:
    """A random face that moves a little from frame to frame, for pictures of 256 px."""
    random = np.random.default_rng(seed)
    rest = random.normal(0, 0.4, (68, 3))
    matrix = np.diag([1.0, -1.0, 1.0, 1.0])
    matrix[3, :3] = SCALE, SCALE, -75
    phase = random.uniform(0, 2 * np.pi, (68, 3))
    return [Landmarks(rest + 0.1 * np.sin(phase + 0.2 * step), matrix) for step in range(count)]


def write(folder: Path, *, seed: int = 0, small: bool = False) -> list[Path]:
    """Write generator, head pose, YAML and eye PCA under a `checkpoints` folder; their paths."""
    made = SMALL if small else FULL
    posed = SMALL_HEADPOSE if small else FULL_HEADPOSE
    paths = [folder / name for name in (CHECKPOINT, HEADPOSE, CONFIG, EYE_PCA)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    weights = generator(made, seed=seed).state_dict()
    torch.save({checkpoint.GENERATOR: weights, "epoch": 2099}, paths[0])
    torch.save({checkpoint.HEADPOSE: headpose(posed, seed=seed).state_dict()}, paths[1])
    write_config(paths[2], made, posed)
    torch.save(eye_pca(seed=seed), paths[3])
    return paths


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


@torch.no_grad()
def _settle(network: nn.Module) -> None:
    """Uneven batch norms and spectral estimates that fit their weights, as after training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            for tensor, low, high in (
                (module.running_mean, -0.1, 0.1),
                (module.running_var, 0.5, 1.5),
                (module.weight, 0.8, 1.2),
                (module.bias, -0.1, 0.1),
            ):
                assert tensor is not None
                nn.init.uniform_(tensor, low, high)
        elif isinstance(module, SpectralConv2d):
            for _ in range(POWER_ITERATIONS):
                module.weight()


def main() -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.generator_made_up")
    parser.add_argument("folder", type=Path, help="a `checkpoints` folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for path in write(given.folder, seed=given.seed, small=given.small):
        log.info("%s: %.1f MB", path, path.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
