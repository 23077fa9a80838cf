"""Dense motion: where every place of the feature volume comes from (face-vid2vid, 3.2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.bfv2v.blocks import VolumeBlock
from mdth.bfv2v.config import DenseMotionConfig, GeneratorConfig, Section

HIDDEN = 256
VARIANCE = 0.01
"""Of the keypoints' heat, in units of half the volume."""


class Face(NamedTuple):
    """Landmarks of B faces as tensors: value [B,68,3], U [B,4,4], scale [B]."""

    value: Tensor
    U: Tensor
    scale: Tensor


class Hourglass(nn.Module):
    """A U-net over [B,C,D,H,W] that keeps the depth; its input comes out beside its output.

    The encoder halves height and width after each block; the decoder doubles them before each and
    has the encoder's output beside it.
    """

    class Encoder(nn.Module):
        """The way down."""

        def __init__(self, widths: list[int]) -> None:
            super().__init__()
            self.down_blocks = _volume_blocks(widths, widths[1:])

    class Decoder(nn.Module):
        """The way up."""

        def __init__(self, widths: list[int], inputs: int) -> None:
            super().__init__()
            *upper, deepest = widths
            enters = [deepest] + [2 * width for width in reversed(upper[1:])]
            self.up_blocks = _volume_blocks(enters, list(reversed(upper)))
            self.out_filters = upper[0] + inputs
            self.conv = nn.Conv3d(self.out_filters, self.out_filters, 3, padding=1)
            self.norm = nn.BatchNorm3d(self.out_filters)

    def __init__(self, config: DenseMotionConfig, inputs: int) -> None:
        super().__init__()
        widths = [
            min(config.max_features, config.block_expansion * 2**level)
            for level in range(config.num_blocks + 1)
        ]
        self.encoder = self.Encoder([inputs, *widths[1:]])
        self.decoder = self.Decoder([config.block_expansion, *widths[1:]], inputs)


class DenseMotion(nn.Module):
    """Keypoints from landmarks, and the flow between two sets of them."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        motion = config.dense_motion
        self.sections = config.sections
        self._marks_on: dict[torch.device, list[Tensor]] = {}
        self.prior_extractors = nn.ModuleList(_extractor(section) for section in config.sections)
        self.compress = nn.Conv3d(config.reshape_channel, motion.compress, 1)
        self.norm = nn.BatchNorm3d(motion.compress)
        # One channel of zeros comes first: the published network was trained with it.
        inputs = 1 + (config.keypoints + 1) * (motion.compress + 1)
        self.hourglass = Hourglass(motion, inputs)
        width = self.hourglass.decoder.out_filters
        self.mask = nn.Conv3d(width, config.keypoints + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(width * motion.reshape_depth, 1, 7, padding=3)

    def keypoints(self, face: Face) -> Tensor:
        """[B,K,3], x y z in -1..1 over the picture: each section's MLP, then through U."""
        points = torch.cat(
            [
                extractor(face.value[:, marks].flatten(1)).view(len(face.value), -1, 3)
                for extractor, marks in zip(
                    self.prior_extractors, self._marks(face.value.device), strict=True
                )
            ],
            1,
        )
        one = (1 / face.scale)[:, None, None].expand(-1, points.shape[1], 1)
        seen = torch.cat([points, one], 2) @ face.U
        return torch.cat([seen[..., :2] - 1, seen[..., 2:3]], 2)

    def _marks(self, device: torch.device) -> list[Tensor]:
        """Each section's landmarks, on a device once: a captured graph copies nothing there."""
        if device not in self._marks_on:
            self._marks_on[device] = [
                torch.tensor(section.landmarks, device=device) for section in self.sections
            ]
        return self._marks_on[device]

    def compressed(self, volume: Tensor) -> Tensor:
        """Few channels of the feature volume: [B,compress,D,H,W]."""
        return functional.relu(self.norm(self.compress(volume)))


def grid(size: torch.Size, like: Tensor) -> Tensor:
    """[D,H,W,3]: x y z of every place, -1 and 1 at the centres of the first and the last."""
    axes = [torch.linspace(-1, 1, count, dtype=like.dtype, device=like.device) for count in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)


def heatmap(size: torch.Size, keypoints: Tensor) -> Tensor:
    """[B,K,D,H,W]: a Gaussian around each keypoint."""
    away = grid(size, keypoints) - keypoints[:, :, None, None, None]
    return torch.exp(-0.5 * away.square().sum(-1) / VARIANCE)


def _volume_blocks(enters: list[int], leaves: list[int]) -> nn.ModuleList:
    return nn.ModuleList(VolumeBlock(a, b) for a, b in zip(enters, leaves, strict=False))


def _extractor(section: Section) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(3 * len(section.landmarks), HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, 3 * section.keypoints),
        nn.Tanh(),
    )
