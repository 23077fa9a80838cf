"""How far the 68 landmarks read from our mesh are from a 68-point predictor's, on stills.

    python -m training.landmarks68 data/stills

The predictor is dlib's, in the package face_recognition_models; run before: pip install dlib-bin
face_recognition_models. It was trained on 300-W, whose licence is for research: it measures here
and nothing of it is shipped. Errors are shares of the distance of the outer eye corners.
`mdth.face.landmarks68` was chosen on every second still; the others tell how good it is.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdth.artefacts import FloatArray
from mdth.errors import NoFaceFound
from mdth.face import landmarks68
from mdth.face.tracker import FaceTracker
from mdth.media.image import read_image
from training import command, models
from training.identity import dlib_and_models

log = logging.getLogger("mdth")

LONGEST_PX = 640
PREDICTOR = "shape_predictor_68_face_landmarks.dat"
# The picture kinds of a folder of stills.
SUFFIXES = {".jpg", ".jpeg", ".png"}


class Compared(NamedTuple):
    """Of N stills. meshes: [N,478,3] px. points: [N,68,2] px, the predictor's. skipped: names."""

    meshes: FloatArray
    points: FloatArray
    skipped: list[str]


def compare(pictures: list[Path]) -> Compared:
    """Both of each picture in which both see exactly one face. Raises NoFaceFound."""
    dlib, models_of_dlib = dlib_and_models()
    detect, file = dlib.get_frontal_face_detector(), models_of_dlib / PREDICTOR
    predict = dlib.shape_predictor(str(file))
    meshes, points, skipped = [], [], []
    with FaceTracker(models.tracker()) as tracker:
        for path in pictures:
            image = read_image(path, max_size=LONGEST_PX)
            faces, boxes = tracker.faces(image), detect(image, 0)
            if len(faces) == len(boxes) == 1:
                meshes.append(faces[0])
                points.append([(p.x, p.y) for p in predict(image, boxes[0]).parts()])
            else:
                skipped.append(path.name)
    if not meshes:
        raise NoFaceFound(f"no single face in any of {len(pictures)} stills")
    return Compared(np.array(meshes, np.float64), np.array(points, np.float64), skipped)


def errors(compared: Compared) -> FloatArray:
    """Distances [N,68] in distances of the outer eye corners."""
    ours = landmarks68.from_mesh(compared.meshes)[..., :2]
    left, right = landmarks68.OUTER_EYE_CORNERS
    unit = np.linalg.norm(ours[:, left] - ours[:, right], axis=-1)
    distances: FloatArray = np.linalg.norm(ours - compared.points, axis=-1) / unit[:, None]
    return distances


def table(found: FloatArray, held_out: FloatArray) -> Iterator[str]:
    """Lines of mean errors per region in percent, of two sets of errors [N,68]."""
    yield f"{'':8} chosen on ({len(found)})   held out ({len(held_out)})   held out, worst 5 %"
    regions = {**landmarks68.REGIONS, "all": np.arange(landmarks68.COUNT)}
    for name, points in regions.items():
        own, other = 100 * found[:, points], 100 * held_out[:, points]
        worst = np.quantile(other.mean(axis=1), 0.95)
        yield f"{name:8} {own.mean():10.2f} %   {other.mean():10.2f} %   {worst:14.2f} %"


def main() -> None:
    """The command line; see the top of this file."""
    parser = command.parser("training.landmarks68", __doc__)
    parser.add_argument("stills", type=Path, help="a folder, searched with all below it")
    given = parser.parse_args()
    stills = command.files_in(given.stills, "**/*.*")
    pictures = [path for path in stills if path.suffix.lower() in SUFFIXES]
    halves = [compare(pictures[start::2]) for start in (0, 1)]
    for line in table(*map(errors, halves)):
        log.info("%s", line)
    skipped = [name for half in halves for name in half.skipped]
    log.info("skipped, not one face for both: %d %s", len(skipped), " ".join(skipped[:5]))


if __name__ == "__main__":
    command.run(main)
