"""The dense motion for many driving faces of one source, with what they share done once."""

from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from mdth.bfv2v import chains, fold
from mdth.bfv2v.blocks import VolumeBlock
from mdth.bfv2v.chains import TAPS
from mdth.bfv2v.fold import Conv, Place, Shown
from mdth.bfv2v.motion import DenseMotion, Face, grid, heatmap

# A convolution's time jumps where its channels do not fill the tiles of the library's kernels;
# these multiples were the fastest on one H200 (`docs/performance.md`).
INPUTS_ALIGNED, ROWS_ALIGNED = 16, 64


class SourceParts(NamedTuple):
    """What depends on the source alone, float32.

    volume: [1,C,D,H,W]. compressed: [1,c,D,H,W]. still: [1,c,D,H,W], compressed under no motion.
    heat: [1,K,D,H,W]. keypoints: [1,K,3].
    """

    volume: Tensor
    compressed: Tensor
    still: Tensor
    heat: Tensor
    keypoints: Tensor


class FastMotion:
    """Deformation and occlusion as `DenseMotion`, in another order of the same operations."""

    def __init__(self, motion: DenseMotion, place: Place) -> None:
        # Its small parts stay float32: keypoints and what is done once for a source.
        self.exact = fold.without(motion, "hourglass", "mask", "occlusion").to(place.device)
        encoder, decoder = motion.hourglass.encoder, motion.hourglass.decoder
        count = motion.mask.out_channels - 1
        order = _order(count, motion.compress.out_channels)
        downs, ups = (
            [fold.with_norm(block.conv, block.norm) for block in cast(list[VolumeBlock], blocks)]
            for blocks in (encoder.down_blocks, decoder.up_blocks)
        )
        downs[0] = fold.padded_inputs(
            Conv(downs[0].weight[:, order], downs[0].bias), INPUTS_ALIGNED
        )
        last = fold.with_norm(decoder.conv, decoder.norm)
        upper = len(ups[-1].weight)
        chosen = fold.padded_inputs(
            Conv(last.weight[:, upper + order], last.bias), INPUTS_ALIGNED
        ).weight
        last = fold.padded_outputs(Conv(torch.cat([last.weight[:, :upper], chosen], 1), last.bias))
        self.entry = _by_planes(downs[0]).to(place)
        self.downs = [conv.to(place) for conv in downs[1:]]
        self.ups = [Shown(conv, 2).to(place) for conv in ups]
        self.last = _by_planes(last).to(place)
        self.by_rows = _by_rows(fold.padded_inputs(fold.plain(motion.mask))).to(place)
        self.given = TAPS * motion.mask.out_channels
        depth = motion.occlusion.in_channels // motion.mask.in_channels
        self.by_taps = _by_taps(fold.plain(motion.occlusion), depth).to(place)
        self.occlusion_bias = motion.occlusion.bias.to(place.device)  # type: ignore[union-attr]
        self.mask_bias = motion.mask.bias.to(place.device)  # type: ignore[union-attr]

    def source(self, volume: Tensor, face: Face) -> SourceParts:
        """What a source's volume [1,C,D,H,W] and face give for all frames."""
        size = volume.shape[2:]
        keypoints = self.exact.keypoints(face)
        compressed = self.exact.compressed(volume)
        still = functional.grid_sample(compressed, grid(size, volume)[None], align_corners=False)
        return SourceParts(volume, compressed, still, heatmap(size, keypoints), keypoints)

    def flow(self, parts: SourceParts, face: Face) -> tuple[Tensor, Tensor]:
        """Deformation [B,D,H,W,3] and occlusion map [B,1,H,W], float32."""
        shift = parts.keypoints - self.exact.keypoints(face)
        features = self.hourglass(self.inputs(parts, shift))
        # The shares of a place sum to 1: only the shifts are left to be mixed.
        given = chains.over_rows(self.by_rows.raw(_planes(features), (0, TAPS // 2)), self.given)
        mixed = chains.mixed(given, self.mask_bias, shift)
        deformation = grid(parts.volume.shape[2:], shift) + mixed
        return deformation, torch.sigmoid(self.occlusion(features))

    def inputs(self, parts: SourceParts, shift: Tensor) -> Tensor:
        """The hourglass's input [B,entries,D,H,W]: heat, what moved, what stands still, zeros."""
        batch, count = shift.shape[:2]
        size = parts.volume.shape[2:]
        motions = grid(size, shift) + shift.flatten(0, 1)[:, None, None, None]
        moved = functional.grid_sample(
            parts.compressed.expand(batch * count, -1, -1, -1, -1), motions, align_corners=False
        )
        moved = moved.view(batch, -1, *size)
        keypoints = parts.keypoints - shift
        return chains.entries(keypoints, parts.heat, moved, parts.still, self.entry.weight)

    def hourglass(self, entries: Tensor) -> Tensor:
        """[B,out_filters (aligned),D,H,W]."""
        partial = self.entry.raw(_planes(entries), 1)
        seen = [entries, chains.pooled_planes(partial, self.entry.bias, len(entries))]
        for down in self.downs:
            seen.append(chains.pooled(down.raw(seen[-1], 1), down.bias))
        x = seen.pop()
        for up in self.ups:
            x = chains.shown_beside(up(x), up.bias, 2, seen.pop())
        return chains.rectified_planes(self.last.raw(_planes(x), 1), self.last.bias, len(x))

    def occlusion(self, features: Tensor) -> Tensor:
        """[B,1,H,W] before the sigmoid, float32: one number a tap, then the taps put together."""
        taps = self.by_taps.raw(features)[:, : TAPS**2].squeeze(2).float()
        size = (taps.shape[2], taps.shape[3])
        total = functional.fold(taps.flatten(2), size, TAPS, padding=TAPS // 2)
        return total + self.occlusion_bias


def _order(count: int, channels: int) -> Tensor:
    """Where our inputs of the hourglass are among the published ones; two are always zero there."""
    first = 1 + torch.arange(count + 1) * (channels + 1)
    moved = first[:, None] + 1 + torch.arange(channels)
    return torch.cat([first[1:], moved[1:].flatten(), moved[0]])


def _planes(x: Tensor) -> Tensor:
    """[B,C,D,H,W] as [B D,C,H,W]."""
    return x.transpose(1, 2).flatten(0, 1)


def _by_planes(conv: Conv) -> Conv:
    """[3 C',C,3,3] of [C',C,3,3,3]: depths of the kernel as outputs; the bias is of their sum."""
    return Conv(conv.weight.permute(2, 0, 1, 3, 4).flatten(0, 1), conv.bias)


def _by_rows(mask: Conv) -> Conv:
    """[49 (K+1) (aligned),C,1,7] of [K+1,C,7,7,7]: rows and depths of the kernel as outputs."""
    weight = mask.weight.permute(3, 2, 0, 1, 4).flatten(0, 2)[:, :, None]
    return fold.padded_outputs(fold.unbiased(weight), ROWS_ALIGNED)


def _by_taps(occlusion: Conv, depth: int) -> Conv:
    """[49 (aligned),C (aligned),D,1,1] of [1,C D,7,7], taps in the order `fold` adds them."""
    weight = occlusion.weight.view(-1, depth, TAPS, TAPS).flip(2, 3)
    weight = weight.permute(2, 3, 0, 1).flatten(0, 1)[..., None, None]
    return fold.padded_outputs(fold.padded_inputs(fold.unbiased(weight)))
