"""Train the weights that tell whether a face wears glasses.

`python -m training.glasses STILLS`: few people in the stills wear any, so glasses are drawn on
faces without; a third of the people, and everyone who really wears glasses, are kept for measuring.
"""

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.face.portrait import face_height_px
from mdth.face.tracker import FaceTracker
from mdth.face.worn import GLASSES, SIZE
from mdth.media.image import read_image
from training import card, command

log = logging.getLogger("mdth")

# Found by looking at all of them.
WEARERS = ("female_69", "male_95")
COPIES = 4
DECAY = 3e-3
FINE = 4
# Frames: dark plastic, horn, metal; RGB, and how often.
COLOURS = np.array([[25, 22, 22], [110, 75, 40], [190, 185, 175]])
OFTEN = (0.55, 0.25, 0.2)
EYES = ((33, 133), (362, 263))
TEMPLES, BRIDGE = (127, 356), 168
# By name a patch of a face, and the mesh in it.
Faces = dict[str, tuple[Frame, FloatArray]]


def person(name: str) -> str:
    """The person of a still: London has two of each."""
    return name.split("_")[0] if name[0].isdigit() else name


def read_faces(stills: Path) -> Faces:
    """The largest face of every still."""
    faces: Faces = {}
    with FaceTracker() as tracker:
        for path in command.files_in(stills, "**/*.jpg"):
            picture = read_image(path, max_size=640)
            meshes = tracker.faces(picture)
            if meshes:
                mesh = max(meshes, key=face_height_px)
                faces[path.stem] = GLASSES.patch(picture, mesh)
    return faces


def draw_glasses(eyes: Frame, mesh: FloatArray, random: np.random.Generator) -> Frame:
    """A patch with glasses of some shape, thickness and colour drawn on it."""
    layer = np.zeros((SIZE[1] * FINE, SIZE[0] * FINE), np.uint8)
    half_width, half_height = random.uniform(23, 34), random.uniform(15, 25)
    thick = random.uniform(1.0, 5.5)
    power, lower = 2 / random.uniform(2, 6), random.uniform(0, 9)
    half_rim = random.random() < 0.2
    angle = np.linspace(0, 2 * np.pi, 80)
    x, y = (np.sign(w) * np.abs(w) ** power for w in (np.cos(angle), np.sin(angle)))
    rims = []
    for side, corners in zip((-1, 1), EYES, strict=True):
        middle = mesh[list(corners)].mean(0) + [side * random.uniform(-1, 3), lower]
        room = abs(middle[0] - mesh[BRIDGE, 0]) - random.uniform(2, 6)
        width = min(half_width, room)
        line = np.stack([middle[0] + x * width, middle[1] + y * half_height], 1)
        _draw(layer, line[y * half_height < 2] if half_rim else line, thick)
        rims.append((middle, width))
    (left, left_width), (right, right_width) = rims
    at = random.uniform(-0.7, 0.1) * half_height
    arch = (left + right) / 2 + [0, at - random.uniform(0, 4)]
    bridge = np.array([left + [left_width, at], arch, right + [-right_width, at]])
    _draw(layer, bridge, thick * random.uniform(0.7, 1.3))
    for side, (middle, width), temple in zip((-1, 1), rims, TEMPLES, strict=True):
        start = middle + [side * width, -random.uniform(0.3, 0.8) * half_height]
        end = mesh[temple] + [0, random.uniform(-6, 6)]
        _draw(layer, np.array([start, end]), thick * random.uniform(0.6, 1.2))
    alpha = cv2.resize(layer, SIZE, interpolation=cv2.INTER_AREA)[..., None] / 255.0
    alpha = alpha * random.uniform(0.55, 1)
    colour = COLOURS[random.choice(3, p=OFTEN)] * random.uniform(0.5, 1.4)
    worn = eyes * (1 - alpha) + alpha * colour
    return np.asarray(np.clip(worn, 0, 255), np.uint8)


def _draw(layer: Frame, line: FloatArray, thick: float) -> None:
    points = np.round(line * FINE * 16).astype(np.int32)
    cv2.polylines(layer, [points], False, 255, max(1, int(thick * FINE)), cv2.LINE_AA, 4)


def varied(eyes: Frame, random: np.random.Generator) -> Frame:
    """A patch a little moved, lighter or darker."""
    move = np.array([[1, 0, random.uniform(-2, 2)], [0, 1, random.uniform(-2, 2)]])
    moved = cv2.warpAffine(eyes, move, SIZE, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(moved * random.uniform(0.8, 1.2), 0, 255), np.uint8)


def examples(
    faces: Faces, people: set[str], random: np.random.Generator, copies: int
) -> tuple[FloatArray, FloatArray]:
    """Features [N,1920] and whether there are glasses [N], half of each."""
    rows, truth = [], []
    for name, (eyes, mesh) in faces.items():
        if name in WEARERS or person(name) not in people:
            continue
        for _ in range(copies):
            worn = draw_glasses(eyes, mesh, random)
            rows += [GLASSES.features(varied(part, random)) for part in (eyes, worn)]
            truth += [0.0, 1.0]
    return np.array(rows, np.float64), np.array(truth)


def fit(rows: FloatArray, truth: FloatArray, *, decay: float = DECAY) -> npt.NDArray[np.float64]:
    """Weights and bias [N+1] of a logistic regression."""
    from scipy.optimize import minimize

    sign = 2 * truth - 1

    def loss(values: FloatArray) -> tuple[float, FloatArray]:
        margin = sign * (rows @ values[:-1] + values[-1])
        wrong = -sign / (1 + np.exp(margin)) / len(sign)
        cost = float(np.logaddexp(0, -margin).mean() + decay * np.square(values[:-1]).sum())
        slope = rows.T @ wrong + 2 * decay * values[:-1]
        return cost, np.append(slope, wrong.sum())

    start = np.zeros(rows.shape[1] + 1)
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)


def ship(name: str, output: Path, values: FloatArray, scores: dict[str, Any]) -> None:
    """Write weights and bias [N+1], and their card."""
    weights, bias = values[:-1].astype(np.float32), np.float32(values[-1])
    np.savez_compressed(output, weights=weights, bias=bias)
    card.write(name, output, {"scores": scores})
    log.info("%s", json.dumps(scores, indent=1))


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.glasses", __doc__)
    parser.add_argument("stills", type=Path, help="folder with london/ and generated/")
    parser.add_argument("--output", type=Path, default=GLASSES.weights)
    given = parser.parse_args(arguments)
    random = np.random.default_rng(0)
    faces = read_faces(given.stills)
    people = sorted({person(name) for name in faces if name not in WEARERS})
    random.shuffle(people)
    kept_out = set(people[::3])
    values = fit(*examples(faces, set(people) - kept_out, random, COPIES))
    rows, truth = examples(faces, kept_out, random, 1)
    found = rows @ values[:-1] + values[-1] > 0
    bare = [n for n in faces if n not in WEARERS and person(n) in kept_out]
    real = {
        name: float(GLASSES.features(faces[name][0]) @ values[:-1] + values[-1])
        for name in [*bare, *WEARERS]
        if name in faces
    }
    scores = {
        "drawn glasses, people kept out: recall": float(found[truth > 0].mean()),
        "drawn glasses, people kept out: precision": float(truth[found].mean()),
        "real stills without glasses, kept out": len(bare),
        "of these taken for wearers": sum(real[name] > 0 for name in bare),
        "real wearers (never trained on)": {name: round(real[name], 2) for name in WEARERS},
    }
    ship("glasses", given.output, values, scores)


if __name__ == "__main__":
    command.run(main)
