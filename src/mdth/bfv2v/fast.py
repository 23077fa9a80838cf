"""The generator for many driving faces of one source: the papers' operations, fewer of them.

Convolutions are those of `fold`, their factors in half precision on a GPU; all else is float32.
Compiled, what lies between two convolutions is one kernel. What each step brings:
docs/performance.md.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.bfv2v import fold
from mdth.bfv2v.blocks import VolumeBlock
from mdth.bfv2v.fold import Conv, Place
from mdth.bfv2v.motion import DenseMotion, Face, grid, heatmap
from mdth.bfv2v.network import MIDDLE, SLOPE, Generator, Spade, SpadeBlock, SpadeDecoder

Parts = tuple[Tensor, ...]
Function = TypeVar("Function", bound=Callable[..., object])
EPSILON, COLOURS = 1e-5, 3
# Channels are filled up to what the fastest kernels of the library take (`docs/performance.md`).
ALIGNED, ROWS_ALIGNED = 16, 64
# Of each kernel one shape, not the fastest of several (`docs/performance.md`).
COMPILED: dict[str, str | int | bool | Callable[..., object]] = {
    "triton.autotune_pointwise": False,
    "loop_ordering_after_fusion": False,
}


class SourceParts(NamedTuple):
    """What depends on the source alone, float32.

    volume: [1,C,D,H,W]. compressed: [1,c,D,H,W]. heat: [1,K,D,H,W]. keypoints: [1,K,3].
    """

    volume: Tensor
    compressed: Tensor
    heat: Tensor
    keypoints: Tensor


class FastRenderer:
    """A generator and one source. dtype: of the convolutions' factors.

    compiled: whether the chains between convolutions are; it takes a while, for many frames.
    """

    compiled = False

    def __init__(
        self, generator: Generator, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        place = Place(device, dtype)
        self.motion = FastMotion(generator.dense_motion_network, place)
        self.third = fold.with_norm(generator.third.conv, generator.third.norm).to(place)
        self.slope = generator.third.slope
        # In float32: what follows takes the mean away, and with it the leading digits.
        self.fourth = fold.plain(generator.fourth).to(Place(device, torch.float32))
        self.decoder = FastDecoder(generator.decoder, place)
        # What makes volumes and nothing else, so that no weight lies on the device twice.
        used = fold.without(generator, "dense_motion_network", "third", "fourth", "decoder")
        self.encoder = used.to(device)
        self.parts: SourceParts | None = None

    def source(self, picture: Tensor, face: Face) -> None:
        """Keep the source: picture [1,3,H,W] in 0..1 and its face. Its volume is found once."""
        self.parts = self.motion.source(self.encoder.volume(picture), face)

    def render(self, face: Face) -> Tensor:
        """Pictures [B,3,H,W] in 0..1, float32, of driving faces. Raises ValueError: no source."""
        if self.parts is None:
            raise ValueError("no source was given")
        deformation, occlusion = self._way(FastMotion.flow)(self.motion, self.parts, face)
        volume = self.parts.volume.expand(len(deformation), -1, -1, -1, -1)
        moved = functional.grid_sample(volume, deformation, align_corners=False).flatten(1, 2)
        feature = self.fourth(functional.leaky_relu(self.third(moved), self.slope)) * occlusion
        x = self._way(_begun)(self.decoder.fc, feature)
        for size in self.decoder.sizes:
            seen = size.shared.raw(feature).chunk(size.parts, 1)
            biases = size.shared.bias.chunk(size.parts)
            for number, block in enumerate(size.blocks):
                parts = slice(number * size.norms, (number + 1) * size.norms)
                x = self._way(_block)(block, x, seen[parts], biases[parts], size.times)
        return self._way(_picture)(self.decoder.image, x)

    def _way(self, function: Function) -> Function:
        return _compiled(function) if self.compiled else function


@functools.cache
def _compiled(function: Function) -> Function:
    # Sizes known beforehand make index arithmetic cheap; a generator has few of them.
    return cast(Function, torch.compile(function, dynamic=False, options=COMPILED))


class FastMotion:
    """Deformation and occlusion as `DenseMotion`, in another order of the same operations."""

    def __init__(self, motion: DenseMotion, place: Place) -> None:
        self.dtype = place.dtype
        # Its small parts stay float32: keypoints and what is done once for a source.
        self.exact = fold.without(motion, "hourglass", "mask", "occlusion").to(place.device)
        encoder, decoder = motion.hourglass.encoder, motion.hourglass.decoder
        downs, ups = (
            [fold.with_norm(block.conv, block.norm) for block in cast(list[VolumeBlock], blocks)]
            for blocks in (encoder.down_blocks, decoder.up_blocks)
        )
        downs[0] = fold.by_planes(fold.padded(downs[0], inputs=ALIGNED))
        last = fold.with_norm(decoder.conv, decoder.norm)
        last = fold.padded(last, inputs=ALIGNED, outputs=ALIGNED)
        self.downs = [conv.to(place) for conv in downs]
        self.ups = [fold.shown(conv, 2).to(place) for conv in ups]
        self.last = fold.by_planes(last).to(place)
        mask = fold.by_planes(fold.padded(fold.plain(motion.mask), inputs=ALIGNED))
        self.mask = fold.by_rows(mask, outputs=ROWS_ALIGNED).to(place)
        self.width = motion.mask.in_channels
        self.occlusion = fold.by_rows(fold.plain(motion.occlusion), outputs=ALIGNED).to(place)

    def source(self, volume: Tensor, face: Face) -> SourceParts:
        """What a source's volume [1,C,D,H,W] and face give for all frames."""
        keypoints = self.exact.keypoints(face)
        heat = heatmap(volume.shape[2:], keypoints)
        return SourceParts(volume, self.exact.compressed(volume), heat, keypoints)

    def flow(self, parts: SourceParts, face: Face) -> tuple[Tensor, Tensor]:
        """Deformation [B,D,H,W,3] and occlusion map [B,1,H,W], float32."""
        keypoints = self.exact.keypoints(face)
        # Standing still comes first.
        shift = functional.pad(parts.keypoints - keypoints, (0, 0, 1, 0))
        features = self.hourglass(self.entries(parts, keypoints, shift))
        shares = functional.softmax(self.mask(features), 1)
        mixed = [(shares * shift[..., axis, None, None, None]).sum(1) for axis in range(3)]
        deformation = grid(parts.volume.shape[2:], shift) + torch.stack(mixed, -1)
        seen = features[:, : self.width].flatten(1, 2)
        return deformation, torch.sigmoid(self.occlusion(seen))

    def entries(self, parts: SourceParts, keypoints: Tensor, shift: Tensor) -> Tensor:
        """The hourglass's input [B,entries,D,H,W]: for each motion heat and what moved by it."""
        batch, count = shift.shape[:2]
        size = parts.volume.shape[2:]
        motions = grid(size, shift) + shift.flatten(0, 1)[:, None, None, None]
        compressed = parts.compressed.expand(batch * count, -1, -1, -1, -1)
        moved = functional.grid_sample(compressed, motions, align_corners=False)
        heat = functional.pad(heatmap(size, keypoints) - parts.heat, (0,) * 6 + (1, 0))
        whole = torch.cat([heat[:, :, None], moved.view(batch, count, -1, *size)], 2)
        # A channel of zeros comes first: the published network was trained with it.
        return functional.pad(whole.flatten(1, 2), (0,) * 6 + (1, 0)).to(self.dtype)

    def hourglass(self, x: Tensor) -> Tensor:
        """[B,out_filters (aligned),D,H,W]."""
        seen = [x]
        for down in self.downs:
            full = functional.relu(down(seen[-1]))
            seen.append(functional.avg_pool3d(full, (1, 2, 2)).to(self.dtype))
        x = seen.pop()
        for up in self.ups:
            x = torch.cat([up.relu(x), seen.pop()], 1)
        return self.last.relu(x)


class FastDecoder:
    """The weights of a `SpadeDecoder`."""

    def __init__(self, decoder: SpadeDecoder, place: Place) -> None:
        self.fc = fold.plain(decoder.fc).to(place)
        middle = [decoder.middle(index) for index in range(MIDDLE)]
        sizes = (middle, 1), ([decoder.up_0], 2), ([decoder.up_1], 4)
        self.sizes = [_Size(blocks, times, place) for blocks, times in sizes]
        self.image = fold.padded(fold.plain(decoder.conv_img), outputs=ALIGNED).to(place)


class _Size:
    """Residual blocks of a picture `times` the feature's size, and twice its input if above 1.

    shared: their first modulation layers, `norms` of them a block, `parts` in all.
    """

    def __init__(self, blocks: list[SpadeBlock], times: int, place: Place) -> None:
        norms = [_norms(block) for block in blocks]
        shared = [fold.plain(cast(nn.Conv2d, norm.mlp_shared[0])) for one in norms for norm in one]
        self.shared = fold.shown(fold.beside(*shared), times).to(place)
        self.norms, self.parts = len(norms[0]), len(norms[0]) * len(norms)
        self.times = min(times, 2)
        self.blocks = [[conv.to(place) for conv in _convs(block)] for block in blocks]


def _begun(fc: Conv, feature: Tensor) -> Tensor:
    """The first layer's output, but for a constant a channel of each picture.

    Every reader takes the mean away, so it goes before half precision rounds off what is smaller.
    """
    rimmed = functional.pad(feature, (1, 1, 1, 1)) - feature.mean((2, 3), keepdim=True)
    return fc(rimmed)[..., 1:-1, 1:-1]


def _block(convs: list[Conv], x: Tensor, seen: Parts, biases: Parts, times: int) -> Tensor:
    """A residual block. A picture shown 2x2 times has the picture's own statistics.

    convs: as `_convs`. seen, biases: of the modulations' first layers.
    """
    hidden = [
        functional.relu(part.float() + own[:, None, None]).to(part.dtype)
        for part, own in zip(seen, biases, strict=True)
    ]
    conv_0, norm_0, conv_1, norm_1, *widening = convs
    even = _even(x)
    if times > 1:
        even, x = (functional.interpolate(part, scale_factor=times) for part in (even, x))
    scale, shift = norm_0(hidden[0]).chunk(2, 1)
    inner = conv_0(_leaky(even * scale + shift))
    scale, shift = norm_1(hidden[1]).chunk(2, 1)
    inner = conv_1(_leaky(_even(inner) * scale + shift))
    if widening:
        conv_s, scale_s, shift_s = widening
        x = conv_s(even * scale_s(hidden[2])) + shift_s(hidden[2])
    return x + inner


def _picture(image: Conv, x: Tensor) -> Tensor:
    return torch.sigmoid(image(_leaky(x))[:, :COLOURS])


def _convs(block: SpadeBlock) -> list[Conv]:
    """Each convolution of a block, then its modulation: scales, with the 1 added, and shifts.

    Beside a 1x1 convolution they are two; the shifts go through it beforehand.
    """
    scales, shifts = (
        [fold.plain(getattr(norm, name)) for norm in _norms(block)]
        for name in ("mlp_gamma", "mlp_beta")
    )
    scales = [scale._replace(bias=scale.bias + 1) for scale in scales]
    made = []
    for conv, *both in zip((block.conv_0, block.conv_1), scales, shifts, strict=False):
        made += [fold.plain(conv), fold.beside(*both)]
    if block.widens:
        mixing = fold.plain(block.conv_s)
        made += [mixing, scales[2], fold.after(shifts[2], mixing)]
    return made


def _even(x: Tensor) -> Tensor:
    """Without the mean and deviation of each channel of each picture."""
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + EPSILON)


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


def _norms(block: SpadeBlock) -> list[Spade]:
    """In the order in which they are needed."""
    return [block.norm_0, block.norm_1, *([block.norm_s] if block.widens else [])]
