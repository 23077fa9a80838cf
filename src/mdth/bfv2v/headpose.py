"""How a head is turned and where it is, from one picture (face-vid2vid, appendix A).

Angles come, as in Hopenet, from a softmax over 66 bins of 3 degrees from -99.
"""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.bfv2v.config import HeadPoseConfig

BIN_DEG, FIRST_DEG = 3.0, -99.0
PI = 3.14
"""What the published code turns degrees into radians with; the generator was trained on it."""
SIDE_PX = 256
BATCH = 32
STAGES = ((1, 3), (3, 3), (5, 5), (7, 2))
"""Names of the blocks that keep the size, and how many residual blocks each has."""

FloatArray = npt.NDArray[np.floating]


class Pose(NamedTuple):
    """R [B,3,3], t [B,3] in the network's own units, and (yaw, pitch, roll) [B,3] in degrees."""

    R: FloatArray
    t: FloatArray
    angles_deg: FloatArray


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with batch norms beside the input (ResNet-50's block)."""

    def __init__(self, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        inner = channels // 4
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, stride=stride)
        self.conv3 = nn.Conv2d(inner, channels, 1)
        self.norm1 = nn.BatchNorm2d(inner)
        self.norm2 = nn.BatchNorm2d(inner)
        self.norm3 = nn.BatchNorm2d(channels)
        self.shrinks = stride > 1
        if self.shrinks:
            self.skip = nn.Conv2d(channels, channels, 1, stride=stride)
            self.norm4 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """The block."""
        inner = functional.relu(self.norm1(self.conv1(x)))
        inner = functional.relu(self.norm2(self.conv2(inner)))
        inner = self.norm3(self.conv3(inner))
        beside = self.norm4(self.skip(x)) if self.shrinks else x
        return functional.relu(inner + beside)


class HeadPose(nn.Module):
    """The network; `poses` takes pictures as they are."""

    def __init__(self, config: HeadPoseConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.max_features // 2**level for level in (3, 2, 1, 0)]
        enters = [config.block_expansion, *widths]
        self.conv1 = nn.Conv2d(config.image_channel, config.block_expansion, 7, 2, padding=3)
        self.norm1 = nn.BatchNorm2d(config.block_expansion)
        for level, (width, (block, count)) in enumerate(zip(widths, STAGES, strict=True)):
            self.add_module(f"conv{level + 2}", nn.Conv2d(enters[level], width, 1))
            self.add_module(f"norm{level + 2}", nn.BatchNorm2d(width))
            if level:
                self.add_module(f"block{block - 1}", Bottleneck(width, stride=2))
            named = {f"b{block}_{index}": Bottleneck(width) for index in range(count)}
            self.add_module(f"block{block}", nn.Sequential(OrderedDict(named)))
        wide = config.max_features
        self.fc_roll = nn.Linear(wide, config.num_bins)
        self.fc_pitch = nn.Linear(wide, config.num_bins)
        self.fc_yaw = nn.Linear(wide, config.num_bins)
        self.fc_t = nn.Linear(wide, 3)
        self.fc_exp = nn.Linear(wide, config.expression)

    def features(self, pictures: Tensor) -> Tensor:
        """[B,max_features] from pictures [B,3,256,256] in 0..1."""
        x = functional.relu(self.norm1(self.conv1(pictures)))
        x = functional.max_pool2d(x, 3, 2, padding=1)
        for level, (block, _) in enumerate(STAGES):
            convolved = self.get_submodule(f"conv{level + 2}")(x)
            x = functional.relu(self.get_submodule(f"norm{level + 2}")(convolved))
            if level:
                x = self.get_submodule(f"block{block - 1}")(x)
            x = self.get_submodule(f"block{block}")(x)
        return x.mean((2, 3))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """R [B,3,3], t [B,3] and yaw, pitch, roll [B,3] in degrees."""
        features = self.features(pictures)
        # The published network reads yaw from the layer named roll, and roll from that named yaw.
        layers = (self.fc_roll, self.fc_pitch, self.fc_yaw)
        angles = torch.stack([_degrees(layer(features)) for layer in layers], 1)
        return rotation(angles), self.fc_t(features), angles

    @torch.inference_mode()
    def poses(self, pictures: npt.NDArray[np.uint8]) -> Pose:
        """Of RGB uint8 [B,256,256,3]: R [B,3,3], t [B,3], angles [B,3], float32.

        Raises ValueError for other shapes or types.
        """
        if pictures.dtype != np.uint8 or pictures.shape[1:] != (SIDE_PX, SIDE_PX, 3):
            raise ValueError(f"pictures are uint8 [B,256,256,3], not {pictures.shape}")
        device = self.fc_t.weight.device
        found = []
        for start in range(0, len(pictures), BATCH):
            batch = torch.from_numpy(pictures[start : start + BATCH]).to(device)
            found.append(self(batch.permute(0, 3, 1, 2).float() / 255))
        R, t, angles = (torch.cat(part).cpu().numpy() for part in zip(*found, strict=True))
        return Pose(R, t, angles)


def rotation(angles_deg: Tensor) -> Tensor:
    """[B,3,3] from yaw, pitch, roll [B,3]: inv(pitch) inv(yaw) inv(roll).

    Pitch turns around x, yaw around y, roll around z; each inverse is the transpose.
    """
    yaw, pitch, roll = (angles_deg * (PI / 180)).unbind(1)
    turned = [_turn(angle, axis).mT for angle, axis in ((pitch, 0), (yaw, 1), (roll, 2))]
    return turned[0] @ turned[1] @ turned[2]


def _turn(angle: Tensor, axis: int) -> Tensor:
    """[B,3,3] around x, y or z, right-handed."""
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.zeros(len(angle), 3, 3, dtype=angle.dtype, device=angle.device)
    one, two = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1
    matrix[:, one, one] = matrix[:, two, two] = cos
    matrix[:, one, two], matrix[:, two, one] = -sin, sin
    return matrix


def _degrees(scores: Tensor) -> Tensor:
    bins = torch.arange(scores.shape[1], dtype=scores.dtype, device=scores.device)
    return functional.softmax(scores, 1) @ bins * BIN_DEG + FIRST_DEG
