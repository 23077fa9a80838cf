"""What the encoder's first group norm needs to know of a sound, gathered as it is heard.

wav2vec2 normalises its first convolution, channel by channel, by mean and variance over the whole
clip. Both follow from the mean m [10] and the second moment R [10,10] of the sound's pieces of ten
samples, five apart: a channel with kernel w has the mean w m and the variance w (R - m m') w'.
So the statistics of any length of sound are 110 sums, and the norm becomes part of the convolution.
"""

from typing import Self

import torch
from torch import Tensor, nn

KERNEL, STRIDE = 10, 5
"""Of wav2vec2's first convolution."""
LOUDNESS_EPS = 1e-7
"""wav2vec2's normalisation of a sound divides by sqrt(variance + this)."""
BLOCK = 1_600_000


class SoundStatistics:
    """Sums over all sound heard so far, float64, on the sound's device.

    wav2vec2 wants a sound of zero mean and unit variance. Any will do: the group norm cancels both,
    up to its epsilon.
    """

    def __init__(self) -> None:
        self.tail: Tensor | None = None
        self.pieces = self.samples = 0
        self.piece_sum: Tensor | float = 0.0
        self.piece_products: Tensor | float = 0.0
        self.sum: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    @classmethod
    def of(cls, samples: Tensor) -> Self:
        """The statistics of a whole clip [N]."""
        statistics = cls()
        statistics.hear(samples)
        return statistics

    def hear(self, samples: Tensor) -> None:
        """Add the next samples [N]."""
        for block in torch.split(samples, BLOCK):
            self._add(block.double())

    def _add(self, heard: Tensor) -> None:
        self.samples += len(heard)
        self.sum = self.sum + heard.sum()
        self.squares = self.squares + heard.square().sum()
        if self.tail is not None:
            heard = torch.cat([self.tail, heard])
        if len(heard) < KERNEL:
            self.tail = heard
            return
        pieces = heard.unfold(0, KERNEL, STRIDE)
        self.pieces += len(pieces)
        self.piece_sum = self.piece_sum + pieces.sum(dim=0)
        self.piece_products = self.piece_products + pieces.T @ pieces
        self.tail = heard[len(pieces) * STRIDE :]

    def folded(self, kernels: Tensor, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
        """The first convolution's kernels [C,1,10] and its norm as one: weight [C,1,10], bias [C].

        Needs at least KERNEL samples heard.
        """
        kernel = kernels[:, 0].double()
        mean = torch.as_tensor(self.piece_sum) / self.pieces
        moment = torch.as_tensor(self.piece_products) / self.pieces - torch.outer(mean, mean)
        variance = ((kernel @ moment) * kernel).sum(dim=1).clamp_min(0.0)
        gain = norm.weight.double() / (variance + norm.eps * self._loudness()).sqrt()
        bias = norm.bias.double() - (kernel @ mean) * gain
        return (kernel * gain[:, None])[:, None].to(kernels.dtype), bias.to(kernels.dtype)

    def _loudness(self) -> Tensor:
        """The variance that normalising the sound would divide by."""
        mean = self.sum / self.samples
        return torch.as_tensor(self.squares / self.samples - mean**2).clamp_min(0) + LOUDNESS_EPS
