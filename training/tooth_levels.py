"""How light painted teeth are beside skin of every level, and smiles' real ones.

    python -m training.tooth_levels work/mouth src/mdth/weights/mouth.onnx

Of every still with its lips apart, painted over at the same outline, where half of what is seen
looks like teeth: the lightest third of both. Then of every still with its lips shut, opened as in
speech. Levels of 255, means of the stills with such skin; most of them the network was trained on.
"""

import logging
from collections import defaultdict
from pathlib import Path

import numpy as np

from mdth.embedded.render.conditions import SIZES, cut_out
from mdth.embedded.render.light import brightest_third, measure_light
from mdth.embedded.render.mouth_network import MouthNetwork
from mdth.files import networks
from training import command
from training.mouth_bank import MIN_OPENING, Pictures, Seen, Source
from training.mouth_strips import opened

log = logging.getLogger("mdth")

# Lips so far apart smile; so far they are opened, eye distances.
SMILING, GAPS = 0.06, (0.06, 0.09, 0.12)
# Skin's levels, the upper end of each.
SKIN = (80, 100, 120, 140, 160, 256)
STILLS = ("london", "london_test", "generated", "generated_test", "flux")


def _level(network: MouthNetwork, seen: Seen) -> float:
    inside = seen.view.inside > 0.9
    colours = network.paint(seen.planes, seen.tone).transpose(1, 2, 0)[inside]
    return float(brightest_third(np.clip(colours, 0, 255)).mean())


def levels(pictures: Pictures, network: MouthNetwork) -> dict[int, dict[str, list[float]]]:
    """Of each group of SKIN the levels: real, painted, and opened by each of GAPS."""
    groups: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for index in np.flatnonzero(np.isin(pictures.part, STILLS)):
        portrait = pictures.portrait(int(index))
        light = measure_light(portrait.image, portrait.mesh)
        group = groups[next(end for end in SKIN if light.skin.mean() < end)]
        if pictures.openings[index] >= SMILING:
            seen = Source(portrait).under(portrait.mesh.astype(np.float64), SIZES[0])
            real = cut_out(portrait.image, seen.view.view)[seen.view.inside > 0.9]
            if light.toothlike(real).mean() > 0.5:
                group["real"].append(float(brightest_third(real).mean()))
                group["painted"].append(_level(network, seen))
        elif pictures.openings[index] < MIN_OPENING:
            for gap, seen in zip(GAPS, opened(portrait, GAPS), strict=True):
                group[f"{gap}"].append(_level(network, seen))
    return groups


def main() -> None:
    """Print the table."""
    parser = command.parser("training.tooth_levels", __doc__)
    parser.add_argument("pictures", type=Path, help="made by training.mouth_data")
    parser.add_argument("network", type=Path, help="mouth.onnx, made by training.mouth")
    args = parser.parse_args()
    network = MouthNetwork(networks.session(args.network.read_bytes()))
    groups = levels(Pictures(args.pictures), network)
    for end, group in sorted(groups.items()):
        named = (f"{name} {np.mean(v):.0f} ({len(v)})" for name, v in group.items())
        log.info("skin under %d: %s", end, ", ".join(named))


if __name__ == "__main__":
    command.run(main)
