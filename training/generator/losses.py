"""What the generator is trained for (face-vid2vid, section 3.4), as far as it applies here.

| published loss | here |
|---|---|
| perceptual (VGG-19) | where its weights are given; a pyramid of mean absolute errors always |
| adversarial, feature matching | two scales, hinge form (`critic`) |
| equivariance of keypoints | none: keypoints come from the mesh through U, which a map of the
  picture changes alike, so that it holds without training |
| keypoint prior | the spread; the depth is the mesh's own |
| head pose | none: the pose is the mesh's; the head-pose network is trained apart |
| deformation prior | none: nothing beside U moves the keypoints |
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.errors import CheckpointError
from mdth.files import state_dict

LEVELS = 4
NEAREST = 0.1
"""Square of the distance that two keypoints should keep, in half pictures."""
# VGG-19's convolutions, "M" a maximum over 2x2 (Simonyan and Zisserman, configuration E).
VGG = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512)
VGG_LAYERS = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}
"""Rectified features that are compared, by their place in the network, and their weights."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pyramid(made: Tensor, true: Tensor) -> Tensor:
    """Mean absolute error of [B,3,S,S] at full, half, quarter ... size, summed."""
    total = made.new_zeros(())
    for level in range(LEVELS):
        if level:
            made, true = functional.avg_pool2d(made, 2), functional.avg_pool2d(true, 2)
        total = total + functional.l1_loss(made, true)
    return total


def keypoint_spread(keypoints: Tensor) -> Tensor:
    """How far pairs of keypoints [B,K,3] are closer than they should be, summed over the pairs."""
    distances = (keypoints[:, :, None] - keypoints[:, None]).square().sum(-1)
    close = functional.relu(NEAREST - distances)
    count = keypoints.shape[1]
    return (close.sum((1, 2)) - NEAREST * count).mean() / count


class Perceptual(nn.Module):
    """Distance of VGG-19's features. The weights are torchvision's file, which is not shipped."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Path) -> None:
        """Raises CheckpointError."""
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for entry in VGG:
            if isinstance(entry, int):
                layers += [nn.Conv2d(width, entry, 3, padding=1), nn.ReLU()]
                width = entry
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        found = state_dict.read(weights)
        expected = self.features.state_dict()
        given = {name: found.get(f"features.{name}") for name in expected}
        wrong = [
            name
            for name, tensor in given.items()
            if tensor is None or tensor.shape != expected[name].shape
        ]
        if wrong:
            raise CheckpointError(f"{weights}: no VGG-19 of torchvision: {wrong[0]} is missing")
        self.features.load_state_dict(given)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        """Weighted mean absolute difference of the chosen features."""
        x = (torch.cat([made, true]) - self.mean) / self.deviation
        total = made.new_zeros(())
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in VGG_LAYERS:
                ours, theirs = x.chunk(2)
                total = total + VGG_LAYERS[place] * functional.l1_loss(ours, theirs)
        return total
