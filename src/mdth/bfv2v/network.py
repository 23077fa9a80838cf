"""The generator's parts under the names of its published checkpoint; `fast` runs them."""

from torch import Tensor, nn

from mdth.bfv2v.blocks import DownBlock, ResBlock3d, SameBlock
from mdth.bfv2v.config import GeneratorConfig
from mdth.bfv2v.motion import DenseMotion
from mdth.bfv2v.spade import SpadeDecoder


class Generator(nn.Module):
    """A source picture, its landmarks and the driving ones -> the picture that they show.

    Holds the parameters; the paper's own order of operations is `tests.support.generator_plain`.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        widths = [
            min(config.max_features, config.block_expansion * 2**level)
            for level in range(config.num_down_blocks + 1)
        ]
        volume = config.reshape_channel * config.reshape_depth
        self.dense_motion_network = DenseMotion(config)
        self.first = SameBlock(config.image_channel, config.block_expansion, slope=0.0)
        self.down_blocks = nn.ModuleList(
            DownBlock(a, b) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.second = nn.Conv2d(widths[-1], volume, 1)
        self.resblocks_3d = nn.Sequential()
        for index in range(config.num_resblocks):
            self.resblocks_3d.add_module(f"3dr{index}", ResBlock3d(config.reshape_channel))
        self.third = SameBlock(volume, widths[-1], slope=0.01)
        self.fourth = nn.Conv2d(widths[-1], widths[-1], 1)
        self.decoder = SpadeDecoder(config.decoder, image_channel=config.image_channel)

    def volume(self, source: Tensor) -> Tensor:
        """The feature volume [B,C,D,h,w] of a source picture [B,3,H,W] in 0..1."""
        x = self.first(source)
        for block in self.down_blocks:
            x = block(x)
        shape = (self.config.reshape_channel, self.config.reshape_depth)
        out: Tensor = self.resblocks_3d(self.second(x).unflatten(1, shape))
        return out
