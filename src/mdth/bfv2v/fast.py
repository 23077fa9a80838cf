"""The generator for many driving faces of one source: see `fold` for how it saves work."""

import torch
from torch import Tensor
from torch.nn import functional

from mdth.bfv2v import chains, fold
from mdth.bfv2v.fast_motion import FastMotion, SourceParts
from mdth.bfv2v.fast_spade import FastSpadeDecoder
from mdth.bfv2v.fold import Place
from mdth.bfv2v.motion import Face
from mdth.bfv2v.network import Generator


class FastRenderer:
    """A generator and one source, as `PlainRenderer`.

    dtype: of the convolutions; keypoints, flow and statistics are float32 always.
    """

    def __init__(
        self, generator: Generator, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.device, self.dtype = device, dtype
        place = Place(device, dtype)
        self.motion = FastMotion(generator.dense_motion_network, place)
        third = fold.with_norm(generator.third.conv, generator.third.norm)
        self.third = third.to(place)
        self.slope = generator.third.slope
        # In float32: what follows takes the mean away, and with it the leading digits.
        self.fourth = fold.plain(generator.fourth).to(Place(device, torch.float32))
        self.decoder = FastSpadeDecoder(generator.decoder, place)
        # What makes volumes and nothing else, so that no weight lies on the device twice.
        used = fold.without(generator, "dense_motion_network", "third", "fourth", "decoder")
        self.encoder = used.to(device)
        self.parts: SourceParts | None = None

    def source(self, picture: Tensor, face: Face) -> None:
        """Keep the source: picture [1,3,H,W] in 0..1 and its face. Its volume is found once."""
        parts = self.motion.source(self.encoder.volume(picture), face)
        if self.parts is None:
            self.parts = SourceParts(*(part.clone() for part in parts))
            return
        # In place: a captured graph reads from where they are.
        for kept, part in zip(self.parts, parts, strict=True):
            kept.copy_(part)

    def render(self, face: Face) -> Tensor:
        """Pictures [B,3,H,W] in 0..1, float32, of driving faces. Raises ValueError: no source."""
        if self.parts is None:
            raise ValueError("no source was given")
        deformation, occlusion = self.motion.flow(self.parts, face)
        volume = self.parts.volume.expand(len(deformation), -1, -1, -1, -1)
        moved = functional.grid_sample(volume, deformation, align_corners=False).flatten(1, 2)
        feature = moved.to(self.dtype, memory_format=torch.channels_last)
        feature = chains.leaky(self.third.raw(feature, 1), self.third.bias, self.slope)
        return self.decoder(chains.dimmed(self.fourth.raw(feature), self.fourth.bias, occlusion))
