"""BFv2v's files with random weights, in the published layout: for tests and measurements.

Nobody looks right in what they render. The small ones a CPU runs in a moment.
"""

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mdth.bfv2v.blocks import SpectralConv2d
from mdth.bfv2v.config import GeneratorConfig, HeadPoseConfig
from mdth.bfv2v.headpose import HeadPose
from mdth.bfv2v.landmarks import SCALE, Landmarks
from mdth.bfv2v.network import Generator
from training.generator.sizes import FULL as FULL
from training.generator.sizes import FULL_HEADPOSE as FULL_HEADPOSE
from training.generator.sizes import SMALL as SMALL
from training.generator.sizes import SMALL_HEADPOSE as SMALL_HEADPOSE
from training.generator.sizes import write_config as write_config

CHECKPOINT = Path("bfv2v/v16.7/00002099-checkpoint.pth.tar")
HEADPOSE = Path("bfv2v/headpose.tar")
CONFIG = Path("bfv2v/config/vox-256-renderer_v16.7.yaml")
HEADPOSE_CONFIG = Path("bfv2v/config/vox-256-renderer_v16.yaml")
OTHER_CONFIG = Path("bfv2v/config/vox-256-renderer_v16.6.yaml")
EYE_PCA = Path("bfv2v/eye_pca.pt")
POWER_ITERATIONS = 10
# By the published description: irises, brows, eyes; each from the inner corner of its own side.
EYE_POINTS = (3, 4, *range(17, 27), *range(36, 48))
EYE_CORNERS = (39, 42, *[39] * 5, *[42] * 5, *[39] * 6, *[42] * 6)
EYE_COMPONENTS, EYE_SAMPLES = 5, 300


def generator(config: GeneratorConfig = FULL, *, random_seed: int = 0) -> Generator:
    """A generator with random weights, ready to infer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        made = Generator(config)
        _settle(made)
    return made.requires_grad_(False).eval()


def headpose(config: HeadPoseConfig = FULL_HEADPOSE, *, random_seed: int = 0) -> HeadPose:
    """A head-pose network with random weights, ready to infer: other pictures, other poses."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        made = HeadPose(config)
        _settle(made)
    shown = torch.from_numpy(np.stack([np.roll(picture(256), 40 * k, k % 2) for k in range(4)]))
    with torch.no_grad():
        norms = [module for module in made.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        made.train().features(shown.permute(0, 3, 1, 2) / 255)
    return made.requires_grad_(False).eval()


def eye_pca(*, random_seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """U [300,5], S [5], V [72,5], mm: blinks, looks to the sides, up and down, brows, noise."""
    random = np.random.default_rng(random_seed)
    motion = random.normal(0, 0.05, (EYE_SAMPLES, 68, 3))
    side, height, brows = random.normal(0, 1, (3, EYE_SAMPLES, 1))
    shut = (random.random((EYE_SAMPLES, 1)) < 0.05) + 0.1 * height
    motion[:, [37, 38, 43, 44], 1] -= 8 * shut
    motion[:, [3, 4], 0] += side
    motion[:, [3, 4], 1] += height
    motion[:, 17:27, 1] += 2 * brows
    relative = motion[:, EYE_POINTS] - motion[:, EYE_CORNERS]
    flat = torch.from_numpy(relative - relative.mean(axis=0)).float().flatten(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        U, S, V = torch.pca_lowrank(flat, EYE_COMPONENTS)
    return U, S, V


def picture(side: int) -> npt.NDArray[np.uint8]:
    """A smooth source with edges: RGB uint8 [side,side,3]."""
    rows, columns = np.mgrid[:side, :side] / side
    smooth = np.stack([rows, columns, (rows - columns) ** 2], axis=2)
    smooth[(rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.1] += 0.3
    return (smooth * 180).astype(np.uint8)


def landmarks(count: int, *, random_seed: int = 0) -> list[Landmarks]:
    """A random face that moves a little from frame to frame, for pictures of 256 px."""
    random = np.random.default_rng(random_seed)
    rest = random.normal(0, 0.4, (68, 3))
    matrix = np.diag([1.0, -1.0, 1.0, 1.0])
    matrix[3, :3] = SCALE, SCALE, -75
    phase = random.uniform(0, 2 * np.pi, (68, 3))
    return [Landmarks(rest + 0.1 * np.sin(phase + 0.2 * step), matrix) for step in range(count)]


def write(folder: Path, *, random_seed: int = 0, small: bool = False) -> list[Path]:
    """Write generator, head pose, generator's YAML, eye PCA and head pose's YAML; their paths.

    Each YAML tells the other network's sizes wrongly, and a third lies beside them. As published,
    the generator's file holds more than it, and the head pose's is of several GPUs and early.
    """
    made = SMALL if small else FULL
    posed = SMALL_HEADPOSE if small else FULL_HEADPOSE
    names = CHECKPOINT, HEADPOSE, CONFIG, EYE_PCA, HEADPOSE_CONFIG
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    weights = generator(made, random_seed=random_seed).state_dict()
    weights["head_model.v_template"] = torch.zeros(5023, 3)
    torch.save({"generator": weights, "discriminator": {}, "epoch": 2099}, paths[0])
    early = {
        f"module.{name}": tensor
        for name, tensor in headpose(posed, random_seed=random_seed).state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save({"he_estimator": early}, paths[1])
    other_made = dataclasses.replace(made, num_resblocks=made.num_resblocks + 1)
    other_posed = dataclasses.replace(posed, num_bins=posed.num_bins - 6)
    write_config(paths[2], made, other_posed)
    write_config(paths[4], other_made, posed)
    write_config(folder / OTHER_CONFIG, other_made, other_posed)
    torch.save(eye_pca(random_seed=random_seed), paths[3])
    return paths


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
