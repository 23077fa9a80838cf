"""BFv2v's files with random weights, in the published layout: for tests and measurements.

Nobody looks right in what they render. The small ones a CPU runs in a moment.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mdth.bfv2v import checkpoint
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
CONFIG = Path("bfv2v/config/vox-256-renderer_v16.yaml")
EYE_PCA = Path("bfv2v/eye_pca.pt")
POWER_ITERATIONS = 10
EYE_POINTS, EYE_COMPONENTS, EYE_SAMPLES = 24, 6, 200


def generator(config: GeneratorConfig = FULL, *, random_seed: int = 0) -> Generator:
    """A generator with random weights, ready to infer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        made = Generator(config)
        _settle(made)
    return made.requires_grad_(False).eval()


def headpose(config: HeadPoseConfig = FULL_HEADPOSE, *, random_seed: int = 0) -> HeadPose:
    """A head-pose network with random weights, ready to infer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        made = HeadPose(config)
        _settle(made)
    return made.requires_grad_(False).eval()


def eye_pca(*, random_seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """U [200,6], S [6], V [72,6] of random motion of 24 points, as torch.pca_lowrank gives."""
    random = torch.Generator().manual_seed(random_seed)
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


def landmarks(count: int, *, random_seed: int = 0) -> list[Landmarks]:
    """A random face that moves a little from frame to frame, for pictures of 256 px."""
    random = np.random.default_rng(random_seed)
    rest = random.normal(0, 0.4, (68, 3))
    matrix = np.diag([1.0, -1.0, 1.0, 1.0])
    matrix[3, :3] = SCALE, SCALE, -75
    phase = random.uniform(0, 2 * np.pi, (68, 3))
    return [Landmarks(rest + 0.1 * np.sin(phase + 0.2 * step), matrix) for step in range(count)]


def write(folder: Path, *, random_seed: int = 0, small: bool = False) -> list[Path]:
    """Write generator, head pose, YAML and eye PCA under a `checkpoints` folder; their paths."""
    made = SMALL if small else FULL
    posed = SMALL_HEADPOSE if small else FULL_HEADPOSE
    paths = [folder / name for name in (CHECKPOINT, HEADPOSE, CONFIG, EYE_PCA)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    weights = generator(made, random_seed=random_seed).state_dict()
    torch.save({checkpoint.GENERATOR: weights, "epoch": 2099}, paths[0])
    torch.save(
        {checkpoint.HEADPOSE: headpose(posed, random_seed=random_seed).state_dict()}, paths[1]
    )
    write_config(paths[2], made, posed)
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
