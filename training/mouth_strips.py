"""Unseen stills with their lips opened step by step, painted: what no true picture can measure.

    python -m training.mouth_strips work/mouth out/mouth/mouth.onnx strips.png

One row of pairs for each still kept out of training: above drawn, below painted.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.motion.drive import Driver
from mdth.embedded.render.conditions import SIZES
from mdth.embedded.render.mouth_network import MouthNetwork
from mdth.embedded.render.tone import Tone
from mdth.face import geometry
from mdth.files import networks
from mdth.motion.head import REST
from training import command
from training.mouth_bank import MIN_OPENING, Pictures, Seen, Source
from training.sheet_shapes import Shape

# Conditions [14,h,w] and the portrait's tone -> colours RGB 0..255 [3,h,w].
Paint = Callable[[npt.NDArray[np.float32], Tone], npt.NDArray[np.float32]]

GAPS = (0.03, 0.05, 0.07, 0.09, 0.12, 0.16, 0.2)
LIFT_SHARE = 0.1
STILLS = 10


class Strips(NamedTuple):
    """Rows of stills at rising openings."""

    rows: list[list[Seen]]

    @classmethod
    def of(cls, folder: Path, gaps: tuple[float, ...] = GAPS) -> Self:
        """Stills kept out of training whose lips are shut, from both collections."""
        return cls([opened(portrait, gaps) for portrait in unseen(Pictures(folder))])

    def painted(self, paint: Paint) -> Frame:
        """The picture, RGB uint8."""
        rows = []
        for row in self.rows:
            drawn = [_laid(seen, seen.view.drawn) for seen in row]
            rows.append(np.concatenate(drawn, 1))
            painted = [_laid(seen, paint(seen.planes, seen.tone)) for seen in row]
            rows.append(np.concatenate(painted, 1))
        return np.concatenate(rows).astype(np.uint8)


def unseen(pictures: Pictures) -> list[Portrait]:
    """Shut mouths of people kept out of training, fewer of London's."""
    shut = pictures.openings < MIN_OPENING
    london = np.flatnonzero((pictures.part == "london_test") & shut)[::3]
    generated = np.flatnonzero((pictures.part == "generated_test") & shut)
    chosen = [*london.tolist(), *generated.tolist()][:STILLS]
    return [pictures.portrait(i) for i in chosen]


def opened(portrait: Portrait, gaps: tuple[float, ...]) -> list[Seen]:
    """A portrait with its lips so many eye distances apart, as the network sees it."""
    driver, source = Driver(portrait), Source(portrait)
    large = geometry.eye_distance(portrait.mesh) > SIZES[0][0]
    seen = []
    for gap in gaps:
        shape = Shape(drop=(1 - LIFT_SHARE) * gap, lift=LIFT_SHARE * gap)
        mesh = driver.mesh(shape.offsets(), REST).astype(np.float64)
        seen.append(source.under(mesh, SIZES[int(large)]))
    return seen


def _laid(seen: Seen, colours: FloatArray) -> FloatArray:
    inside = seen.view.inside[..., None]
    return np.clip(seen.around + inside * (colours.transpose(1, 2, 0) - seen.around), 0, 255)


def main() -> None:
    """Write the strips."""
    parser = command.parser("training.mouth_strips", __doc__)
    parser.add_argument("pictures", type=Path, help="made by training.mouth_data")
    parser.add_argument("network", type=Path, help="mouth.onnx, made by training.mouth")
    parser.add_argument("out", type=Path, help="PNG")
    args = parser.parse_args()
    paint = MouthNetwork(networks.session(args.network.read_bytes())).paint
    PillowImage.fromarray(Strips.of(args.pictures).painted(paint)).save(args.out)


if __name__ == "__main__":
    command.run(main)
