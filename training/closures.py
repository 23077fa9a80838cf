"""Are the lips shut on p, b and m of sentences whose phone times are known?

    python -m training.closures src/mdth/examples/speech.wav
    python -m training.closures work/spoken/held_*.wav

Beside each lies its table, a .tsv: phone, start_s, end_s. A phone counts as shut when the smallest
gap of the lips within 60 ms of its middle is under 0.02 eye distances, as in `training.evaluate`.
"""

import csv
import logging
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.embedded.speech.speech_to_mesh import SpeechToMesh
from mdth.face import geometry, topology
from mdth.media.audio import read_blocks
from training import command, models, score

log = logging.getLogger("mdth")

FPS = 50
LABIALS, SHUT = score.LABIALS, score.CLOSED_GAP


def smallest_gaps(
    gaps: npt.NDArray[np.floating], phones: list[tuple[str, float, float]]
) -> dict[str, list[float]]:
    """The smallest of gaps [T] (FPS a second) near the middle of each p, b and m, by phone."""
    found = {
        labial: score.smallest_gaps(gaps, FPS, np.array([
            (start_s + end_s) / 2 for phone, start_s, end_s in phones if phone == labial
        ]))
        for labial in LABIALS
    }  # fmt: skip
    return {labial: least.tolist() for labial, least in found.items() if len(least)}


def read_phones(table: Path) -> list[tuple[str, float, float]]:
    """Phone, start and end in seconds, of each row."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [(row["phone"], float(row["start_s"]), float(row["end_s"])) for row in rows]


def lip_gaps(speech: Path) -> npt.NDArray[np.floating]:
    """Gap of the lips [T] of a spoken canonical face, eye distances, FPS a second."""
    speech_to_mesh = SpeechToMesh(models.encoder())
    face = np.concatenate([topology.CANONICAL, np.zeros((10, 3), np.float32)])
    upper, lower = topology.LIP_MID_PAIR
    # The offsets start from shut lips, but the canonical face's are a little apart.
    face[[upper, lower]] = face[[upper, lower]].mean(0)
    offsets = np.stack(list(speech_to_mesh.stream(read_blocks(speech), FPS)))
    return geometry.lip_opening(face + offsets)


def main() -> None:
    parser = command.parser("training.closures", __doc__)
    parser.add_argument("speeches", type=Path, nargs="+")
    found: dict[str, list[float]] = defaultdict(list)
    for speech in parser.parse_args().speeches:
        phones = read_phones(speech.with_suffix(".tsv"))
        for phone, gaps in smallest_gaps(lip_gaps(speech), phones).items():
            found[phone] += gaps
    for phone, gaps in sorted(found.items()):
        shut, median = sum(gap < SHUT for gap in gaps), np.median(gaps)
        log.info("%s  shut %d of %d, median smallest gap %.3f", phone, shut, len(gaps), median)


if __name__ == "__main__":
    command.run(main)
