"""The generator as it is, one batch after the other: what the fast way is compared with."""

from typing import cast

import torch
from torch import Tensor

from mdth.bfv2v.fast import FastRenderer
from mdth.bfv2v.motion import Face
from mdth.bfv2v.network import Generator, Rendered
from mdth.bfv2v.predictor import Predictor


class PlainRenderer:
    """A generator and one source. Everything but the source's own parts is done for each frame."""

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
        rendered: Rendered = self.generator(pictures, source, face)
        return rendered.prediction


class PlainPredictor(Predictor):
    """Through the same lanes, in float32."""

    def new_renderer(self) -> FastRenderer:
        """The plain one in the fast one's place."""
        return cast(FastRenderer, PlainRenderer(self.generator, self.device))
