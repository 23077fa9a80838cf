"""Turn portraits' heads and measure what a real head would not do.

`python -m training.head_sweep PORTRAITS... --sheet sheet.png`: yaw, pitch and roll from -12 to 12
degrees. Per portrait: pixels of the person whose warp folds, how far what is background before and
after is from the portrait, how far points on glasses or temples leave the head's rigid motion, how
far the collar leaves its place (px in a picture of 512), and the renderer's time for a frame.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.render.hinge import Hinge, at
from mdth.embedded.render.motion import Rigid, rigid_motion, sample
from mdth.embedded.render.person import LEAST, OUTER
from mdth.embedded.render.renderer import Renderer
from mdth.embedded.render.warp import Field, Warp
from mdth.face import geometry, topology
from mdth.face.portrait import prepare_portrait
from mdth.media.image import read_image
from training import command

log = logging.getLogger("mdth")

MOST_DEG, STEP_DEG = 12, 2
SIZE_PX = 512
SHEET_PX = 400
# Levels of 255 that nobody sees.
UNSEEN = 2
# Where glasses sit: skin beside and under the eyes, the bridge, the temples.
FRAME = np.array([226, 31, 228, 230, 232, 233, 446, 261, 448, 450, 452, 453, 6, 168, 197, 122, 351])
TEMPLES = np.array([127, 356, 34, 264, 143, 372])
# Ears: this far outside the face outline at the temples, eye distances.
EARS, EARS_OUT = np.array([127, 356]), 0.12


@dataclass
class Figures:
    """The worst of one portrait's sweep.

    folded: pixels. background, border: levels of 255 from the portrait, where nothing of the person
    is or was. beside: pixels nearer to its mask, where stray hair is, that change. The others px at
    512: how far points of glasses' rims, and temples and ears, leave the head's motion, and the
    collar its place.
    """

    name: str
    known: bool
    folded: int = 0
    background: int = 0
    beside: int = 0
    border: int = 0
    glasses_px: float = 0.0
    temples_px: float = 0.0
    collar_px: float = 0.0
    frame_ms: float = 0.0


def turned(portrait: Portrait, euler_deg: Sequence[float]) -> FloatArray:
    """The portrait's mesh [478,3] px with its head turned by yaw, pitch, roll about the neck."""
    mesh = portrait.mesh.astype(np.float64)
    pose = geometry.head_pose(mesh[None])
    neck = geometry.to_picture(geometry.NECK[None, None], pose)[0, 0]
    placed: FloatArray = (mesh - neck) @ geometry.rotation_from_euler_deg(*euler_deg).T + neck
    return placed


def poses() -> list[tuple[float, float, float]]:
    """Yaw, pitch, roll of every step of the sweep, degrees."""
    steps = [d for d in range(-MOST_DEG, MOST_DEG + 1, STEP_DEG) if d]
    return [
        (float(d * (axis == 0)), float(d * (axis == 1)), float(d * (axis == 2)))
        for axis in range(3)
        for d in steps
    ]


class Sweep:
    """One portrait's renderer and what is measured in its frames."""

    def __init__(self, name: str, portrait: Portrait) -> None:
        self.portrait = portrait
        self.renderer = Renderer(portrait)
        self.warp = Warp(portrait)
        self.rest = self.renderer.frame(portrait.mesh)
        self._person = np.asarray(
            np.zeros(self.rest.shape[:2]) if portrait.person is None else portrait.person,
            np.float32,
        )
        self.figures = Figures(name, self.warp.layers is not None)
        self._px = SIZE_PX / max(portrait.image.shape[:2])
        self._mesh = portrait.mesh.astype(np.float64)
        self._rigid_points = self._find_rigid_points()
        self._collar = collar(portrait)

    def _find_rigid_points(self) -> FloatArray:
        points = self._mesh[np.concatenate([FRAME, TEMPLES])]
        ears = self._mesh[EARS].copy()
        out = ears[:, :2] - self._mesh[EARS[::-1], :2]
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        ears[:, :2] += EARS_OUT * float(geometry.eye_distance(self._mesh)) * out
        return np.concatenate([points, ears])

    def turn(self, euler_deg: Sequence[float]) -> Frame:
        """Measure one pose; its frame."""
        driving = turned(self.portrait, euler_deg)
        rigid = rigid_motion(self._mesh, driving)
        start = time.process_time()
        frame = self.renderer.frame(driving)
        self.figures.frame_ms += 1000 * (time.process_time() - start) / len(poses())
        field = self.warp.field(driving, rigid)
        came = self._came(field)
        self._count_folds(field, came, driving)
        self._look_behind(frame, came)
        self._follow(field, rigid)
        return frame

    def _came(self, field: Field) -> npt.NDArray[np.float32]:
        """The person's mask as the field moves it, 0..1 [H,W]."""
        mask = self._person
        x0, y0 = field.origin
        moved = mask.copy()
        part = moved[y0 : y0 + field.shift.shape[0], x0 : x0 + field.shift.shape[1]]
        height, width = part.shape
        places = np.stack(np.meshgrid(np.arange(x0, x0 + width), np.arange(y0, y0 + height)), -1)
        part[:] = sample(mask, places + field.shift[:height, :width], cv2.INTER_LINEAR)
        return moved

    def _count_folds(
        self, field: Field, came: npt.NDArray[np.float32], driving: FloatArray
    ) -> None:
        rows = np.asarray(np.gradient(field.shift, axis=0))
        columns = np.asarray(np.gradient(field.shift, axis=1))
        jacobian = (1 + columns[..., 0]) * (1 + rows[..., 1]) - columns[..., 1] * rows[..., 0]
        x0, y0 = field.origin
        part = np.s_[y0 : y0 + jacobian.shape[0], x0 : x0 + jacobian.shape[1]]
        person = np.asarray(came[part] > 0.5)
        open_parts = np.zeros(jacobian.shape, np.uint8)
        for hole in (topology.LIPS_INNER, topology.EYE_LEFT, topology.EYE_RIGHT):
            outline = np.round(driving[hole, :2] - field.origin).astype(np.int32)
            cv2.fillPoly(open_parts, [outline], 1)
        height, width = person.shape
        folds = (jacobian[:height, :width] < 0) & person & (open_parts[:height, :width] == 0)
        self.figures.folded = max(self.figures.folded, int(folds.sum()))

    def _look_behind(self, frame: Frame, came: npt.NDArray[np.float32]) -> None:
        """Compare what is not the person, before or after, with the portrait."""
        empty = np.asarray(np.maximum(came, self._person) <= LEAST, np.uint8)
        away = cv2.distanceTransform(empty, cv2.DIST_L2, 5)
        change = np.abs(frame.astype(int) - self.portrait.image).max(-1)
        # Cubic sampling reaches two pixels further than the mask, which is sampled linearly.
        far = away > OUTER * float(geometry.eye_distance(self._mesh)) + 2
        beside = int(((change > UNSEEN) & (away > 2)).sum())
        self.figures.beside = max(self.figures.beside, beside)
        change *= far
        self.figures.background = max(self.figures.background, int(change.max()))
        change[1:-1, 1:-1] = 0
        self.figures.border = max(self.figures.border, int(change.max()))

    def _follow(self, field: Field, rigid: Rigid) -> None:
        """Where points of glasses, ears and collar go, and where they should."""
        points = self._rigid_points
        away = _went(field, points[:, :2]) - rigid.apply(points)[:, :2]
        off = np.linalg.norm(away, axis=1) * self._px
        self.figures.glasses_px = max(self.figures.glasses_px, float(off[: len(FRAME)].max()))
        self.figures.temples_px = max(self.figures.temples_px, float(off[len(FRAME) :].max()))
        if len(self._collar):
            away = _went(field, self._collar) - self._collar
            worst = float(np.linalg.norm(away, axis=1).max()) * self._px
            self.figures.collar_px = max(self.figures.collar_px, worst)


def _went(field: Field, points: FloatArray) -> FloatArray:
    """Where a backward field takes points [N,2] px of the portrait; beyond its edge they rest."""
    places = points.copy()
    for _ in range(12):
        there = (places - field.origin)[None]
        inside = np.asarray(there > 0) & (there < np.array(field.shift.shape[1::-1]) - 1)
        shift = sample(field.shift, there, cv2.INTER_LINEAR)[0]
        places = points - shift * inside[0].all(-1, keepdims=True)
    return places


def collar(portrait: Portrait) -> FloatArray:
    """Points [N,2] px where the clothes begin below the chin, in a few columns; may be none."""
    hinge_step = max(2, round(float(geometry.eye_distance(portrait.mesh)) / 16))
    height, width = portrait.image.shape[:2]
    nodes = np.stack(
        np.meshgrid(np.arange(0, width, hinge_step), np.arange(0, height, hinge_step)), -1
    ).astype(float)
    if portrait.person is None or not (portrait.person > 0.5).any():
        return np.zeros((0, 2))
    clothes = Hinge.of(portrait, nodes, hinge_step).clothes & at(portrait.person > 0.9, nodes)
    half = 0.6 * float(geometry.eye_distance(portrait.mesh))
    middle = portrait.mesh[list(topology.OUTER_EYE_CORNERS), 0].mean()
    columns = np.flatnonzero(np.abs(nodes[0, :, 0] - middle) < half)
    first = [(int(np.argmax(clothes[:, x])), x) for x in columns if clothes[:, x].any()]
    return np.array([nodes[y, x] for y, x in first]).reshape(-1, 2)


def sweep(name: str, portrait: Portrait) -> tuple[Figures, Frame]:
    """One portrait's figures, and a row of the sheet: at rest, then both ends of each turn."""
    measured = Sweep(name, portrait)
    frames = [measured.rest]
    for pose in poses():
        frame = measured.turn(pose)
        if max(np.abs(pose)) == MOST_DEG:
            frames.append(frame)
    height = round(SHEET_PX * frames[0].shape[0] / frames[0].shape[1])
    small = [cv2.resize(f, (SHEET_PX, height), interpolation=cv2.INTER_AREA) for f in frames]
    return measured.figures, np.concatenate(small, 1).astype(np.uint8)


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.head_sweep", __doc__)
    parser.add_argument("portraits", type=Path, nargs="+")
    parser.add_argument("--sheet", type=Path, help="PNG of the sweep's ends, one row a portrait")
    parser.add_argument("--json", type=Path, help="the figures as JSON")
    parser.add_argument("--max-size", type=int, default=SIZE_PX, help="px (default: %(default)s)")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    figures, rows = [], []
    for path in given.portraits:
        picture = read_image(path, max_size=given.max_size)
        measured, row = sweep(path.stem, prepare_portrait(picture))
        figures.append(asdict(measured))
        rows.append(row)
        log.info("%s", measured)
    if given.sheet:
        PillowImage.fromarray(np.concatenate(rows)).save(given.sheet)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    command.run(main)
