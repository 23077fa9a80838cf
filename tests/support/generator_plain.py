"""The generator as the papers write it: what is trained, and what `fast` is compared with.

It shares the parameters with the fast way and none of its shortcuts.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.bfv2v.blocks import VolumeBlock
from mdth.bfv2v.fast import FastRenderer
from mdth.bfv2v.motion import DenseMotion, Face, Hourglass, grid, heatmap
from mdth.bfv2v.network import MIDDLE, SLOPE, Generator, Spade, SpadeBlock, SpadeDecoder
from mdth.bfv2v.predictor import Predictor


class Flow(NamedTuple):
    """What moves the feature.

    deformation: [B,D,H,W,3], x y z in -1..1. occlusion_map: [B,1,H,W]. mask: [B,K+1,D,H,W], the
    share of each keypoint in moving a place.
    """

    deformation: Tensor
    occlusion_map: Tensor
    mask: Tensor


class Rendered(NamedTuple):
    """prediction [B,3,H,W] in 0..1, and the flow that made it."""

    prediction: Tensor
    flow: Flow


def render(generator: Generator, source: Tensor, source_face: Face, driving_face: Face) -> Rendered:
    """[B,3,H,W] in 0..1 from one picture, its face and the driving one each."""
    motion = generator.dense_motion_network
    volume = generator.volume(source)
    flow = dense_motion(
        motion, volume, motion.keypoints(source_face), motion.keypoints(driving_face)
    )
    return Rendered(picture(generator, volume, flow), flow)


def picture(generator: Generator, volume: Tensor, flow: Flow) -> Tensor:
    """The picture [B,3,H,W] of a volume moved by a flow."""
    moved = functional.grid_sample(volume, flow.deformation, align_corners=False)
    feature = generator.fourth(generator.third(moved.flatten(1, 2)))
    return spade_decoder(generator.decoder, feature * flow.occlusion_map)


def dense_motion(motion: DenseMotion, volume: Tensor, source: Tensor, driving: Tensor) -> Flow:
    """The flow for a volume [B,C,D,H,W] and keypoints [B,K,3] of both faces."""
    size = volume.shape[2:]
    motions = sparse_motions(size, source, driving)
    moved = deformed(motion.compressed(volume), motions)
    heat = heatmap(size, driving) - heatmap(size, source)
    heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], 1)
    entries = torch.cat([heat[:, :, None], moved], 2).flatten(1, 2)
    entries = torch.cat([torch.zeros_like(entries[:, :1]), entries], 1)
    features = hourglass(motion.hourglass, entries)
    mask = functional.softmax(motion.mask(features), 1)
    deformation = (mask[..., None] * motions).sum(1)
    occlusion = torch.sigmoid(motion.occlusion(features.flatten(1, 2)))
    return Flow(deformation, occlusion, mask)


def sparse_motions(size: torch.Size, source: Tensor, driving: Tensor) -> Tensor:
    """[B,K+1,D,H,W,3]: standing still first, then the shift of each keypoint."""
    shift = torch.cat([torch.zeros_like(source[:, :1]), source - driving], 1)
    return grid(size, source) + shift[:, :, None, None, None]


def deformed(volume: Tensor, motions: Tensor) -> Tensor:
    """[B,K+1,C,D,H,W]: a volume under each of the motions."""
    count = motions.shape[1]
    repeated = volume.repeat_interleave(count, 0)
    moved = functional.grid_sample(repeated, motions.flatten(0, 1), align_corners=False)
    return moved.view(-1, count, *volume.shape[1:])


def hourglass(network: Hourglass, x: Tensor) -> Tensor:
    """[B,block_expansion + C,D,H,W]."""
    seen = [x]
    for block in network.encoder.down_blocks:
        seen.append(functional.avg_pool3d(volume_block(block, seen[-1]), (1, 2, 2)))
    x = seen.pop()
    for block, beside in zip(network.decoder.up_blocks, reversed(seen), strict=True):
        larger = functional.interpolate(x, scale_factor=(1, 2, 2), mode="nearest")
        x = torch.cat([volume_block(block, larger), beside], 1)
    return functional.relu(network.decoder.norm(network.decoder.conv(x)))


def volume_block(block: nn.Module, x: Tensor) -> Tensor:
    """Convolution, batch norm, ReLU."""
    block = cast(VolumeBlock, block)
    return functional.relu(block.norm(block.conv(x)))


def spade(norm: Spade, x: Tensor, feature: Tensor) -> Tensor:
    """[B,C,H,W] under a feature [B,label_nc,h,w] of any smaller size."""
    shown = functional.interpolate(feature, size=x.shape[2:], mode="nearest")
    hidden = norm.mlp_shared(shown)
    scale, shift = norm.mlp_gamma(hidden), norm.mlp_beta(hidden)
    out: Tensor = functional.instance_norm(x) * (1 + scale) + shift
    return out


def spade_block(block: SpadeBlock, x: Tensor, feature: Tensor) -> Tensor:
    """The residual block."""
    beside = block.conv_s(spade(block.norm_s, x, feature)) if block.widens else x
    inner = block.conv_0(functional.leaky_relu(spade(block.norm_0, x, feature), SLOPE))
    inner = block.conv_1(functional.leaky_relu(spade(block.norm_1, inner, feature), SLOPE))
    out: Tensor = beside + inner
    return out


def spade_decoder(decoder: SpadeDecoder, feature: Tensor) -> Tensor:
    """The picture of a feature."""
    x = decoder.fc(feature)
    for index in range(MIDDLE):
        x = spade_block(decoder.middle(index), x, feature)
    x = spade_block(decoder.up_0, twice(x), feature)
    x = spade_block(decoder.up_1, twice(x), feature)
    return torch.sigmoid(decoder.conv_img(functional.leaky_relu(x, SLOPE)))


def twice(x: Tensor) -> Tensor:
    """Each pixel shown 2x2 times."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")


class Plain(nn.Module):
    """A generator as a module that renders."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, source: Tensor, source_face: Face, driving_face: Face) -> Rendered:
        """See `render`."""
        return render(self.generator, source, source_face, driving_face)


class PlainRenderer:
    """A generator and one source. Everything but the source's own parts is done for each frame."""

    compiled = False

    def __init__(self, generator: Generator, device: torch.device) -> None:
        self.generator = generator.to(device)
        self.device = device

    def source(self, picture: Tensor, face: Face) -> None:
        """Keep the source: picture [1,3,H,W] in 0..1 and its face."""
        self._picture, self._face = picture, face

    def render(self, face: Face) -> Tensor:
        """Pictures [B,3,H,W] in 0..1 of driving faces."""
        count = len(face.value)
        source = Face(*(part.expand(count, *part.shape[1:]) for part in self._face))
        pictures = self._picture.expand(count, -1, -1, -1)
        return render(self.generator, pictures, source, face).prediction


class PlainPredictor(Predictor):
    """Through the same lanes, in float32."""

    def new_renderer(self) -> FastRenderer:
        """The plain one in the fast one's place."""
        return cast(FastRenderer, PlainRenderer(self.generator, self.device))
