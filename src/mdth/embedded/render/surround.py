"""The field around the face: where hair, neck and background go when head and jaw move.

The whole head, hair and hat included, follows the head's rigid motion, and the skin beside the
face what the face outline does. Turns fade out before the shoulders, which follow the neck a
little. Where the person is not known from the background (`Portrait.person`), the head is an
ellipse that fades into it.
"""

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.render.hinge import CHIN, SHOULDERS_BELOW_CHIN, Hinge, at, from_eyes, outside
from mdth.embedded.render.motion import Grid, Rigid, moved
from mdth.face import geometry, topology
from mdth.face.smoothing import smoothstep

# The head with its hair, in eye distances from the middle of the outer eye corners: an ellipse in
# the face frame that moves as one, and how much further (relative to it) the motion fades to 0.
HEAD_HALF_WIDTH, HEAD_UP, HEAD_DOWN, HEAD_CENTRE = 1.25, 1.75, 1.3, 0.1
HEAD_FADE = 0.7
# How far the outline's own motion (the jaw's) reaches into neck and hair, eye distances.
SKIN_REACH = 0.4
BORDER_FADE = 0.35
FIXED_POINT_STEPS = 4
# With a known person: how far outside of it anything can come, and how far to the side of the eyes
# it is looked for, eye distances.
PERSON_REACH, PERSON_HALF_WIDTH = 0.6, 3.0


class Surround:
    """Backward fields around one portrait's face, on square cells of `step` pixels.

    region: the rectangle in which anything can move, whole cells, x0 y0 x1 y1 px; it may reach a
    cell over the picture's right and lower border. near: bool [H,W], the cells that matter.
    """

    def __init__(self, portrait: Portrait, step: int) -> None:
        mesh = portrait.mesh.astype(np.float64)
        height, width = portrait.image.shape[:2]
        self._mesh = mesh
        self._eye = float(geometry.eye_distance(mesh))
        self.step = step
        self.known = portrait.person is not None and bool((portrait.person > 0.5).any())
        low, high = self._person_box(portrait) if self.known else self._head_box()
        self.region = self._whole_cells(low, high, (width, height))
        x0, y0, x1, y1 = self.region
        xs = np.arange(x0, x1, step) + (step - 1) / 2
        ys = np.arange(y0, y1, step) + (step - 1) / 2
        nodes = np.stack(np.meshgrid(xs, ys), -1)
        oval = mesh[topology.FACE_OVAL]
        nearness = 1 / (np.square(nodes[:, :, None] - oval[:, :2]).sum(-1) + 1e-3) ** 1.5
        nearness /= nearness.sum(-1, keepdims=True)
        away = np.maximum(outside(mesh, nodes), 0) / self._eye
        reach = np.exp(-np.square(away / SKIN_REACH))
        still: FloatArray
        if self.known:
            hinge = Hinge.of(portrait, nodes, step)
            still = self._held_at_the_edge(portrait, nodes)
            turn, shift = hinge.turn * still, hinge.shift * still
            self.near = self._near(portrait, hinge, nodes)
            reach = reach * hinge.turn
        else:
            still = self._stillness(nodes, (width, height))
            turn = shift = self._head_weight(nodes) * still
            self.near = np.ones(nodes.shape[:2], bool)
        # The outline's depth, smooth: with the face's own, hair that hangs beside it ripples.
        depth = nearness @ oval[:, 2]
        pose = geometry.head_pose(mesh[None])
        self._neck = geometry.to_picture(geometry.NECK[None, None], pose)[0, 0]
        # Where a node goes is linear in how the head turns, the neck goes, and the outline does.
        away = np.concatenate([nodes, depth[..., None]], -1) - self._neck
        skin = nearness * (reach * still)[..., None]
        linear = [away * turn[..., None], shift[..., None], skin]
        self._linear = np.concatenate(linear, -1).astype(np.float32)

    def _person_box(self, portrait: Portrait) -> tuple[FloatArray, FloatArray]:
        """Corners [2], [2] px around all of the person that can move."""
        middle = self._mesh[list(topology.OUTER_EYE_CORNERS), 0].mean()
        bottom = self._mesh[CHIN, 1] + SHOULDERS_BELOW_CHIN * self._eye
        rows, columns = np.nonzero(np.asarray(portrait.person)[: max(1, int(bottom))] > 0.02)
        near = np.abs(columns - middle) < PERSON_HALF_WIDTH * self._eye
        reach = PERSON_REACH * self._eye
        low = np.array([columns[near].min(), rows[near].min()]) - reach
        return low, np.array([columns[near].max() + reach, bottom])

    def _near(self, portrait: Portrait, hinge: Hinge, nodes: FloatArray) -> npt.NDArray[np.bool_]:
        """Where something of the person can come [H,W]; elsewhere there is nothing to warp."""
        person = np.asarray(portrait.person) > 0.02
        cells = max(1, round(PERSON_REACH * self._eye / self.step))
        moves = (hinge.shift > 0.01) & at(person, nodes)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * cells + 1, 2 * cells + 1))
        return np.asarray(cv2.dilate(moves.astype(np.uint8), disc) > 0)

    def _held_at_the_edge(self, portrait: Portrait, nodes: FloatArray) -> FloatArray:
        """0 where the region's edge cuts the person (not the upper edge), 1 away from it [H,W]."""
        height, width = portrait.image.shape[:2]
        x0, y0, x1, y1 = self.region
        x1, y1 = min(x1, width), min(y1, height)
        edge = np.zeros((height, width), bool)
        edge[y1 - 1, x0:x1] = True
        edge[y0:y1, [x0, x1 - 1]] = True
        cut = edge & (np.asarray(portrait.person) > 0.3)
        if not cut.any():
            return np.ones(nodes.shape[:2])
        distance = cv2.distanceTransform(np.asarray(~cut, np.uint8), cv2.DIST_L2, 5)
        return smoothstep((at(distance, nodes) - self.step) / (BORDER_FADE * self._eye))

    def _head_box(self) -> tuple[FloatArray, FloatArray]:
        """Corners [2], [2] px around a head of usual size."""
        middle = self._mesh[list(topology.OUTER_EYE_CORNERS), :2].mean(0)
        reach = self._eye * (1 + HEAD_FADE)
        # A rolled head needs more width; a frame may lean by a quarter of its height.
        half_width = HEAD_HALF_WIDTH + 0.25 * HEAD_UP
        low = middle - reach * np.array([half_width, HEAD_UP])
        return low, middle + reach * np.array([half_width, HEAD_DOWN + 0.25 * HEAD_HALF_WIDTH])

    def _whole_cells(
        self, low: FloatArray, high: FloatArray, size: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        x0, y0 = (int(v) for v in np.maximum(low, 0))
        cells_x = int(np.ceil((min(high[0], size[0]) - x0) / self.step))
        cells_y = int(np.ceil((min(high[1], size[1]) - y0) / self.step))
        return x0, y0, x0 + cells_x * self.step, y0 + cells_y * self.step

    def _stillness(self, nodes: FloatArray, size: tuple[int, int]) -> FloatArray:
        """0 at the picture's border, 1 away from it.

        The outermost cells are 0, so that interpolation between cells moves no border pixel.
        """
        border = np.minimum(nodes, np.array(size) - 1 - nodes).min(-1)
        return smoothstep((border - self.step) / (BORDER_FADE * self._eye))

    def _head_weight(self, nodes: FloatArray) -> FloatArray:
        """1 on the head, 0 away from it, at picture points [...,2] px."""
        x, y = from_eyes(self._mesh, nodes)
        y = y - HEAD_CENTRE
        half_height = np.where(y < 0, HEAD_UP + HEAD_CENTRE, HEAD_DOWN - HEAD_CENTRE)
        radius = np.hypot(x / HEAD_HALF_WIDTH, y / half_height)
        return 1 - smoothstep((radius - 1) / HEAD_FADE)

    def field(self, driving: FloatArray, rigid: Rigid) -> Grid:
        """What to add to a cell's place to get its source, [H,W,2] px."""
        oval = topology.FACE_OVAL
        turned = (rigid.matrix - np.eye(3))[:2].T
        shifted = rigid.apply(self._neck)[:2] - self._neck[:2]
        own = driving[oval, :2] - rigid.apply(self._mesh[oval])[:, :2]
        forward = self._linear @ np.vstack([turned, shifted, own]).astype(np.float32)
        return inverted(forward, self.step)


def inverted(forward: Grid, step: int) -> Grid:
    """What to add to a place to get what goes there by `forward` px on cells of `step` px."""
    forward = forward / np.float32(step)
    back = -forward
    for _ in range(FIXED_POINT_STEPS - 1):
        back = -moved(forward, back)
    return back * np.float32(step)
