"""Train the weights that tell whether something is before a mouth.

`python -m training.covered DATA`: what is no mouth is any other part of the same pictures, and
mouths behind masks, microphones and fingers that are drawn. A third of the people are kept for
measuring, and all clips that may only be measured.
"""

from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.face import geometry, topology
from mdth.face.portrait import face_height_px
from mdth.face.tracker import FaceTracker
from mdth.face.worn import COVERED, SIZE, SURELY_COVERED
from mdth.media.image import read_image
from mdth.media.video import read_frames
from training import command
from training.glasses import fit, person, ship
from training.talk import rows

DECAY = 1e-3
COPIES = 4
KINDS = ("mask", "microphone", "fingers")
NOSE = 4


class Face(NamedTuple):
    """A picture with a face; whose it is, and whether it may only be measured."""

    who: str
    picture: Frame
    mesh: FloatArray
    measured: bool = False


def read_faces(data: Path) -> list[Face]:
    """Stills, generated portraits, every third member of Congress, and frames of clips."""
    faces = []
    paths = [*command.files_in(data / "stills", "**/*.jpg"), *(data / "talk/flux").glob("*.jpg")]
    paths += sorted((data / "talk/congress").glob("*.jpg"))[::3]
    clips = (
        (row["identity"], row["use"] != "train", picture)
        for row in rows(data / "talk")
        for picture in islice(read_frames(data / "talk/clips" / row["file"]), 10, 130, 20)
    )
    stills = ((person(path.stem), False, read_image(path, max_size=512)) for path in paths)
    with FaceTracker() as tracker:
        for who, measured, picture in (*stills, *clips):
            if meshes := tracker.faces(picture):
                faces.append(Face(who, picture, max(meshes, key=face_height_px), measured))
    return faces


def cover(face: Face, kind: str, random: np.random.Generator) -> Frame:
    """The picture with something of one of `KINDS` drawn before the mouth."""
    picture, mesh = face.picture, face.mesh[:, :2]
    unit = float(geometry.eye_distance(face.mesh))
    middle = mesh[COVERED.around].mean(0)
    high, wide, _ = picture.shape
    shape = np.zeros((high, wide), np.float32)
    y, x = np.mgrid[:high, :wide]
    shade = 1 + 0.15 * np.sin(((x - middle[0]) * random.normal() + (y - middle[1])) / unit)
    colour = random.uniform(20, 250) * 0.6 + random.uniform(20, 250, 3) * 0.4
    if kind == "mask":
        nose = mesh[NOSE] + random.normal(0, 0.08 * unit, 2)
        oval = mesh[topology.FACE_OVAL]
        outline = cv2.convexHull(np.array([*oval[oval[:, 1] > nose[1]], nose], np.float32))
        cv2.fillPoly(shape, [np.round(outline).astype(np.int32)], 1)
        for height in random.uniform(-0.4, 0.6, random.integers(0, 5)) * unit:
            fold = y - middle[1] - height - random.uniform(-0.15, 0.25) * np.abs(x - middle[0])
            shade = shade - 0.15 * np.exp(-np.square(fold / (0.02 * unit)))
    elif kind == "microphone":
        colour = np.full(3, random.uniform(10, 90))
        at = middle + random.uniform([-0.15, -0.05], [0.15, 0.3]) * unit
        size = random.uniform(0.56, 1.0, 2) * unit
        cv2.ellipse(shape, (at.tolist(), size.tolist(), 0), 1, -1)
    else:
        skin = np.clip(np.round(mesh[[205, 425, 151]]).astype(int), 0, np.array([wide, high]) - 1)
        colour = np.median(picture[skin[:, 1], skin[:, 0]], 0) * random.uniform(0.8, 1.15)
        angle = random.uniform(-0.6, 0.6)
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-along[1], along[0]])
        for finger in range(-2, 3):
            at = middle + across * finger * 0.24 * unit
            if finger < 2:
                ends = (at + across * 0.12 * unit + way * unit * along for way in (-0.6, 1.5))
                first, last = (np.round(end).astype(int).tolist() for end in ends)
                cv2.line(shape, first, last, 1, int(0.23 * unit))
            gap = ((x - at[0]) * across[0] + (y - at[1]) * across[1]) / (0.02 * unit)
            shade = shade - random.uniform(0.2, 0.5) * np.exp(-np.square(gap))
    stuff = colour * shade[..., None]
    if kind != "fingers" and random.random() < 0.6:
        stuff = 0.7 * stuff + 0.3 * np.roll(picture, random.integers(0, 400, 2), (0, 1))
    stuff = stuff + random.normal(0, 12 if kind == "microphone" else 3, (high, wide, 1))
    alpha = cv2.GaussianBlur(shape, (0, 0), 0.008 * unit + 0.5)[..., None]
    return np.asarray(np.clip(picture + alpha * (stuff - picture), 0, 255), np.uint8)


def varied(mouth: Frame, random: np.random.Generator) -> Frame:
    """A patch a little turned, moved and scaled, blurred, mirrored, lighter or darker."""
    if size := random.choice([0, 0, 0.8, 1.5, 2.5]):
        mouth = np.asarray(cv2.GaussianBlur(mouth, (0, 0), size), np.uint8)
    turn = cv2.getRotationMatrix2D((100, 80), random.uniform(-10, 10), random.uniform(0.85, 1.15))
    place = np.column_stack([turn[:, :2], turn[:, 2] + random.normal(0, 3, 2)])
    moved = cv2.warpAffine(mouth, place, SIZE, borderMode=cv2.BORDER_REPLICATE)
    moved = moved[:, :: random.choice([-1, 1])] * random.uniform(0.7, 1.2)
    return np.asarray(np.clip(moved, 0, 255), np.uint8)


def elsewhere(face: Face, random: np.random.Generator) -> Frame:
    """A patch of the picture that is no mouth."""
    angle, far = random.uniform(0, 2 * np.pi), random.uniform(0.6, 3)
    way = far * float(geometry.eye_distance(face.mesh)) * np.array([np.cos(angle), np.sin(angle)])
    mesh = face.mesh + np.append(way, 0).astype(np.float32)
    return COVERED.patch(face.picture, mesh)[0]


class Examples(NamedTuple):
    """Features [N,2560], whether no mouth is seen [N], and what is seen instead."""

    rows: FloatArray
    truth: FloatArray
    kinds: list[str]


def examples(faces: list[Face], random: np.random.Generator, copies: int) -> Examples:
    """Each face as it is, covered in each way, and other parts of its picture."""
    patches: list[tuple[str, Frame]] = []
    for face in faces:
        patches += [("clear", COVERED.patch(face.picture, face.mesh)[0])] * copies
        for kind in KINDS:
            patches.append((kind, COVERED.patch(cover(face, kind, random), face.mesh)[0]))
        patches += [("elsewhere", elsewhere(face, random)) for _ in range(3)]
    kinds = [kind for kind, _ in patches]
    rows = np.array([COVERED.features(varied(patch, random)) for _, patch in patches])
    return Examples(rows, np.array([float(kind != "clear") for kind in kinds]), kinds)


def measure(values: FloatArray, test: Examples) -> dict[str, float]:
    """The share of each kind that is called covered."""
    sure = 1 / (1 + np.exp(-(test.rows @ values[:-1] + values[-1]))) > SURELY_COVERED
    kinds = np.array(test.kinds)
    return {str(kind): round(float(sure[kinds == kind].mean()), 3) for kind in np.unique(kinds)}


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.covered", __doc__)
    parser.add_argument("data", type=Path, help="folder with stills/ and talk/")
    parser.add_argument("--output", type=Path, default=COVERED.weights)
    given = parser.parse_args(arguments)
    random = np.random.default_rng(0)
    faces = read_faces(given.data)
    ours = [face for face in faces if not face.measured]
    people = sorted({face.who for face in ours})
    random.shuffle(people)
    kept_out = set(people[::3])
    train = examples([f for f in ours if f.who not in kept_out], random, COPIES)
    tests = {
        "called covered, people kept out": [f for f in ours if f.who in kept_out],
        "called covered, real people in clips": [f for f in faces if f.measured],
    }
    held = {name: examples(some, random, 1) for name, some in tests.items()}
    values = fit(train.rows, train.truth, decay=DECAY)
    scores = {name: measure(values, some) for name, some in held.items()}
    may = held["called covered, people kept out"]
    rows, truth = (
        np.concatenate(both) for both in ((train.rows, may.rows), (train.truth, may.truth))
    )
    ship("covered", given.output, fit(rows, truth, decay=DECAY), scores)


if __name__ == "__main__":
    command.run(main)
