"""The renderer on a real portrait: what rests stays, what moves moves, nothing tears."""

import dataclasses

import cv2
import numpy as np
import pytest

from mdth.artefacts import Portrait
from mdth.embedded.motion.drive import Driver
from mdth.embedded.render import mouth, warp
from mdth.embedded.render.cavity import Cavity
from mdth.embedded.render.lips import lip_outline
from mdth.embedded.render.motion import rigid_motion
from mdth.embedded.render.renderer import Renderer
from mdth.embedded.render.warp import Warp
from mdth.face import geometry, topology
from mdth.face.tracker import FaceTracker


@pytest.fixture(scope="module")
def renderer(portrait: Portrait) -> Renderer:
    return Renderer(portrait)


def turned(portrait: Portrait, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The portrait's mesh with its head turned about a point in the neck."""
    mesh = portrait.mesh.astype(float)
    neck = geometry.to_picture(np.array([[[0.0, 1.3, 0.9]]]), geometry.head_pose(mesh[None]))[0, 0]
    return (mesh - neck) @ geometry.rotation_from_euler_deg(yaw, pitch, roll).T + neck


def opened(portrait: Portrait, gap: float) -> np.ndarray:
    """The portrait's mesh with the lower lip, chin and jaw lowered by `gap` eye distances."""
    mesh = portrait.mesh.astype(float)
    unit = float(geometry.eye_distance(mesh))
    lower = np.isin(np.arange(len(mesh)), np.r_[topology.LIPS_INNER[11:], topology.LIPS_OUTER[11:]])
    below = mesh[:, 1] > mesh[topology.LIPS_OUTER, 1].max()
    middle = mesh[topology.LIP_MID_PAIR[1], 0]
    half = 0.3 * unit
    share = np.clip(1 - np.square((mesh[:, 0] - middle) / half), 0, 1)
    mesh[:, 1] += gap * unit * np.where(lower, share, np.where(below, 0.8 * share**0.5, 0))
    return mesh


def test_own_mesh_gives_the_portrait_back(portrait: Portrait, renderer: Renderer) -> None:
    frame = renderer.frame(portrait.mesh)
    assert frame.shape == portrait.image.shape
    assert frame.dtype == np.uint8
    difference = np.abs(frame.astype(int) - portrait.image)
    lips = cv2.fillPoly(
        np.zeros(frame.shape[:2], np.uint8),
        [np.round(portrait.mesh[topology.LIPS_OUTER, :2]).astype(np.int32)],
        1,
    )
    assert difference[lips == 0].max() <= 1


@pytest.mark.parametrize(
    "pose", [(8, 0, 0), (-8, 0, 0), (0, 8, 0), (0, -8, 0), (0, 0, 8), (5, 5, -5)]
)
def test_border_and_shoulders_stay(portrait: Portrait, renderer: Renderer, pose) -> None:
    frame = renderer.frame(turned(portrait, *pose))
    image = portrait.image
    for edge in (np.s_[:2], np.s_[-2:], np.s_[:, :2], np.s_[:, -2:]):
        assert np.abs(frame[edge].astype(int) - image[edge]).max() <= 4
    shoulders = int(portrait.mesh[152, 1] + 1.2 * geometry.eye_distance(portrait.mesh))
    assert np.array_equal(frame[shoulders:], image[shoulders:])
    assert np.abs(frame.astype(int) - image).max() > 60


@pytest.mark.parametrize("pose", [(6, 0, 0), (-6, 3, 2), (0, 6, -4), (3, -6, 5)])
def test_points_of_the_face_come_from_their_place(portrait: Portrait, pose) -> None:
    warp = Warp(portrait)
    driving = turned(portrait, *pose)
    shift, origin = warp.field(driving, rigid_motion(portrait.mesh.astype(float), driving))
    eyes = np.concatenate([topology.EYE_LEFT, topology.EYE_RIGHT])
    inner = np.setdiff1d(topology.RIGID[warp._triangles.blend[topology.RIGID] == 1], eyes)
    assert len(inner) > 10
    for vertex in inner:
        x, y = np.round(driving[vertex, :2]).astype(int)
        source = np.array([x, y]) + shift[y - origin[1], x - origin[0]]
        rounding = np.array([x, y]) - driving[vertex, :2]
        assert np.abs(source - rounding - portrait.mesh[vertex, :2]).max() < 2.0


@pytest.mark.parametrize(
    "pose", [(5, 0, 0), (-5, 0, 0), (0, 5, 0), (0, -5, 0), (0, 0, 5), (4, 4, 4)]
)
def test_nothing_folds(portrait: Portrait, pose) -> None:
    warp = Warp(portrait)
    driving = turned(portrait, *pose)
    shift, origin = warp.field(driving, rigid_motion(portrait.mesh.astype(float), driving))
    rows, columns = np.gradient(shift, axis=(0, 1))
    jacobian = (1 + columns[..., 0]) * (1 + rows[..., 1]) - columns[..., 1] * rows[..., 0]
    mask = np.ones(jacobian.shape, np.uint8)
    holes = [topology.LIPS_OUTER, topology.LIDS_LEFT[:16], topology.LIDS_RIGHT[:16]]
    for hole in holes:
        cv2.fillPoly(mask, [np.round(driving[hole, :2] - origin).astype(np.int32)], 0)
    assert jacobian[mask > 0].min() > 0


def test_mouth_is_painted_between_the_lips_and_at_their_rim_only(
    portrait: Portrait, renderer: Renderer
) -> None:
    mesh = opened(portrait, 0.15)
    rigid = rigid_motion(portrait.mesh.astype(float), mesh)
    before = renderer._warp.apply(renderer._warp.field(mesh, rigid), mesh)
    after = before.copy()
    renderer._mouth.paint(after, mesh, rigid)
    changed = np.abs(after.astype(int) - before).max(-1)
    outline = np.round(lip_outline(mesh)).astype(np.int32)
    lips = cv2.fillPoly(np.zeros(changed.shape, np.uint8), [outline], 1)
    near = 2 * round(0.065 * float(geometry.eye_distance(portrait.mesh))) + 1
    assert changed[cv2.dilate(lips, np.ones((near, near), np.uint8)) == 0].max() == 0
    assert (changed[cv2.erode(lips, np.ones((5, 5), np.uint8)) > 0] > 4).mean() > 0.8
    inside = after[cv2.erode(lips, np.ones((3, 3), np.uint8)) > 0].mean(-1)
    assert inside.min() < 60 < 90 < inside.max(), "a mouth shows dark and teeth"


def test_shut_lips_show_no_teeth(portrait: Portrait, renderer: Renderer) -> None:
    mesh = portrait.mesh.astype(float)
    pairs = topology.LIP_PAIRS
    mesh[pairs[:, 0]] = mesh[pairs[:, 1]] = (mesh[pairs[:, 0]] + mesh[pairs[:, 1]]) / 2
    rigid = rigid_motion(portrait.mesh.astype(float), mesh)
    frame = portrait.image.copy()
    renderer._mouth.paint(frame, mesh, rigid)
    assert np.abs(frame.astype(int) - portrait.image).max() <= 3


@pytest.fixture(scope="module")
def smile() -> Portrait:
    """A large face that bares its teeth."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    image = np.ascontiguousarray(data.astronaut()[20:260, 110:350])
    image = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    with FaceTracker() as tracker:
        return Portrait(image, tracker.faces(image)[0])


def brightest_between_lips(picture: np.ndarray, mesh: np.ndarray) -> float:
    """The 98th percentile within 1.5 % of an eye distance of the closed line's middle half."""
    unit = float(geometry.eye_distance(mesh))
    middles = mesh[topology.LIP_PAIRS].mean(1)[2:-2, :2]
    columns = np.arange(int(middles[:, 0].min()), int(middles[:, 0].max()))
    rows = np.interp(columns, middles[:, 0], middles[:, 1]).round().astype(int)
    reach = max(1, round(0.015 * unit))
    band = [picture[row - reach : row + reach + 1, x] for row, x in zip(rows, columns, strict=True)]
    return float(np.quantile(np.mean(band, axis=-1), 0.98))


def test_a_shut_smile_shows_no_teeth(smile: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    shut = Driver(smile).neutral.astype(float)
    teeth = brightest_between_lips(smile.image, smile.mesh)
    shown = brightest_between_lips(Renderer(smile).frame(shut), shut)
    # What is left without the finer field and the line over the seam, so that this can be seen.
    monkeypatch.setattr(warp, "CLOSING", 0.0)
    monkeypatch.setattr(mouth, "SEAM", 0.0)
    coarse = brightest_between_lips(Renderer(smile).frame(shut), shut)
    assert shown < teeth - 50 and shown < coarse - 5


def test_a_mouth_without_teeth_has_none_of_its_own(smile: Portrait) -> None:
    assert Cavity(smile).own_teeth
    mask = np.zeros(smile.image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(lip_outline(smile.mesh)).astype(np.int32)], 1)
    dark = np.where(mask[..., None] > 0, (90, 30, 30), smile.image).astype(np.uint8)
    assert not Cavity(dataclasses.replace(smile, image=dark)).own_teeth


def test_a_blink_covers_the_iris(portrait: Portrait, renderer: Renderer) -> None:
    mesh = portrait.mesh.astype(float)
    for pairs in (topology.LID_PAIRS_LEFT, topology.LID_PAIRS_RIGHT):
        upper, lower = pairs[:, 0], pairs[:, 1]
        mesh[upper] = mesh[lower] = 0.1 * mesh[upper] + 0.9 * mesh[lower]
    frame = renderer.frame(mesh)
    for iris in (topology.IRIS_LEFT, topology.IRIS_RIGHT):
        x, y = np.round(portrait.mesh[iris[0], :2]).astype(int)
        open_eye = portrait.image[y - 1 : y + 2, x - 2 : x + 3].mean()
        assert frame[y - 1 : y + 2, x - 2 : x + 3].mean() > open_eye + 25


def test_gaze_moves_the_iris_and_not_the_lids(portrait: Portrait, renderer: Renderer) -> None:
    mesh = portrait.mesh.astype(float)
    shift = 0.04 * float(geometry.eye_distance(mesh))
    mesh[topology.IRIS_LEFT, 0] += shift
    mesh[topology.IRIS_RIGHT, 0] += shift
    changed = np.abs(renderer.frame(mesh).astype(int) - renderer.frame(portrait.mesh)).max(-1) > 8
    eyes = cv2.fillPoly(
        np.zeros(changed.shape, np.uint8),
        [
            np.round(mesh[ring, :2]).astype(np.int32)
            for ring in (topology.EYE_LEFT, topology.EYE_RIGHT)
        ],
        1,
    )
    assert changed.any()
    assert not changed[cv2.dilate(eyes, np.ones((7, 7), np.uint8)) == 0].any()


def test_the_same_mesh_gives_the_same_frame(portrait: Portrait, renderer: Renderer) -> None:
    mesh = opened(turned_portrait(portrait), 0.1)
    assert np.array_equal(renderer.frame(mesh), Renderer(portrait).frame(mesh))


def turned_portrait(portrait: Portrait) -> Portrait:
    return Portrait(portrait.image, turned(portrait, 3, 2, 1).astype(np.float32))
