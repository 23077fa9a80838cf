"""The head as one thing before a background that rests."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mdth.artefacts import Portrait
from mdth.embedded.render import background
from mdth.embedded.render.person import Layers, lay
from mdth.embedded.render.renderer import Renderer
from mdth.embedded.render.unfold import unfold
from mdth.errors import ArtefactError
from mdth.face import geometry, topology
from mdth.face.person import own_part
from mdth.face.portrait import prepare_portrait
from training.head_sweep import Sweep, turned


@pytest.fixture(scope="module")
def hopper(portrait: Portrait, checkpoints: Path) -> Portrait:
    """A portrait with cap, glasses and white collar, striped flag behind, its person known."""
    return prepare_portrait(portrait.image)


def test_the_mask_is_the_person(hopper: Portrait) -> None:
    person = hopper.person
    assert person is not None and person.shape == hopper.image.shape[:2]
    assert person.dtype == np.float32
    assert min(person[240, 256], person[60, 250]) > 0.95, "face and cap"
    assert person[100, 40] == person[60, 480] == 0, "flag and sky"
    assert 0 < ((person > 0.05) & (person < 0.95)).mean() < 0.1


def test_people_who_do_not_touch_are_told_apart(hopper: Portrait) -> None:
    both = np.zeros((200, 400), np.float32)
    both[20:, 20:150] = both[20:, 250:380] = 1
    mesh = hopper.mesh - hopper.mesh.mean(0)
    mesh = mesh / np.ptp(mesh[:, 1]) * 100 + [315, 110, 0]
    own = own_part(both, mesh.astype(np.float32))
    assert (own[:, :200].max(), own[100:, 260:370].min()) == (0, 1)


@pytest.mark.parametrize("where", ["poster", "couple"])
def test_only_this_person_moves(hopper: Portrait, checkpoints: Path, where: str) -> None:
    """A poster that the cap touches, and somebody who stands shoulder to shoulder."""
    sky = np.array([60, 110, 190], np.uint8)
    picture = np.full((600, 1000, 3), sky)
    picture[:, :512] = hopper.image
    theirs = np.zeros(picture.shape[:2], bool)
    alone = hopper.person[..., None] > 0.5
    if where == "poster":
        picture[:, :512] = np.where(alone, hopper.image, sky)
        theirs[8:138, 372:482] = True
        picture[8:138, 372:482] = cv2.resize(hopper.image, (110, 130), interpolation=cv2.INTER_AREA)
    else:
        wall = np.where(alone, hopper.image, sky)
        picture[:, 488:] = wall[:, ::-1]
        picture[:, :512][alone[..., 0]] = hopper.image[alone[..., 0]]
        theirs[:, 540:] = (picture[:, 540:] != sky).any(-1)
    talker = prepare_portrait(picture, face=1 if where == "couple" else None)
    assert talker.mesh[:, 0].mean() == pytest.approx(hopper.mesh[:, 0].mean(), abs=4)
    assert talker.person[240, 256] == 1 and talker.person[theirs].mean() < 0.01
    renderer = Renderer(talker)
    for pose in ((8, 0, 0), (-8, 0, 0), (0, 0, -6)):
        frame = renderer.frame(turned(talker, pose))
        reached = cv2.dilate((talker.person > 0).astype(np.uint8), np.ones((61, 61), np.uint8)) > 0
        change = np.abs(frame.astype(int) - picture).max(-1)[theirs & ~reached]
        assert change.size > 5000 and change.max() <= 2


def test_a_mask_that_misses_the_face_is_no_mask(hopper: Portrait) -> None:
    empty = np.zeros_like(hopper.person)
    assert own_part(empty, hopper.mesh).max() == 0
    lost = replace(hopper, person=empty)
    unknown = replace(hopper, person=None)
    mesh = turned(hopper, (6, 0, 0))
    assert np.array_equal(Renderer(lost).frame(mesh), Renderer(unknown).frame(mesh))


def test_saved_with_the_portrait(hopper: Portrait, tmp_path: Path) -> None:
    replace(hopper, glasses=0.75).save(tmp_path)
    loaded = Portrait.load(tmp_path)
    assert np.abs(loaded.person - hopper.person).max() <= 0.5 / 255 + 1e-6
    assert loaded.glasses == 0.75
    (tmp_path / "person.png").unlink()
    with pytest.raises(ArtefactError, match="person.png"):
        Portrait.load(tmp_path)


@pytest.fixture(scope="module", params=["as it is", "white bars", "astronaut"])
def anyone(request: pytest.FixtureRequest, hopper: Portrait, checkpoints: Path) -> Portrait:
    """Portraits before a striped flag, between white bars, and an astronaut."""
    if request.param == "as it is":
        return hopper
    image = hopper.image
    if request.param == "white bars":
        image = cv2.copyMakeBorder(image, 0, 0, 150, 150, cv2.BORDER_CONSTANT, value=(255,) * 3)
    else:
        data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
        image = data.astronaut()
    return prepare_portrait(np.asarray(image, np.uint8))


def test_both_layers_together_are_the_picture(anyone: Portrait) -> None:
    height, width = anyone.image.shape[:2]
    layers = Layers.of(anyone, (0, 0, width, height))
    together = lay(layers.person[layers.above :], layers.behind)
    assert np.abs(together.astype(int) - anyone.image).max() <= 1
    person = np.asarray(anyone.person)
    assert np.median(layers.person[layers.above :][person > 0.98][:, 3]) == 255
    assert layers.person[layers.above :][person == 0][:, 3].mean() < 3


def test_the_background_is_the_portraits(anyone: Portrait) -> None:
    """Nothing shines beside the person, whatever it does."""
    sweep = Sweep("anyone", anyone)
    for pose in ((0, 0, 0), (4, 0, 0), (-4, 2, 1), (-10, 0, 0), (0, 8, 3)):
        sweep.turn(pose)
    unit = geometry.eye_distance(anyone.mesh)
    assert sweep.figures.background <= 2 and sweep.figures.border <= 2
    assert sweep.figures.beside < 0.015 * unit**2


def test_a_turn_folds_nothing_and_moves_nothing_behind(hopper: Portrait) -> None:
    sweep = Sweep("hopper", hopper)
    for pose in ((12, 0, 0), (-12, 0, 0), (0, 12, 0), (0, -12, 0), (0, 0, 12)):
        frame, figures = sweep.turn(pose), sweep.figures
        assert figures.known
        assert figures.folded == 0 and figures.background == figures.border == 0, pose
        assert figures.glasses_px < 1 and figures.collar_px < 1, pose
        assert np.abs(frame.astype(int) - sweep.rest).max() > 60, "the head does move"


def test_what_touches_the_cap_does_not_go_with_it(hopper: Portrait) -> None:
    """Two gold cords of the flag stay behind a cap that is turned away from them."""
    red, green, blue = np.moveaxis(hopper.image.astype(int), -1, 0)
    gold = (red - blue > 90) & (green > 80)
    frame = Renderer(hopper).frame(turned(hopper, (8, 0, 0))).astype(int)
    rests = np.abs(frame - hopper.image).max(-1) < 8
    for place, share in ((np.s_[:220, 134:152], 0.75), (np.s_[:62, 170:186], 0.95)):
        assert gold[place].sum() > 300 and rests[place][gold[place]].mean() > share


def test_shoulders_follow_the_neck_a_little(hopper: Portrait) -> None:
    way = 0.08 * float(geometry.eye_distance(hopper.mesh))
    moved = Renderer(hopper).frame(hopper.mesh + [way, 0, 0])
    shares = []
    for below_chin in (1.2, 1.7):
        y = int(hopper.mesh[152, 1] + below_chin * way / 0.08)
        strips = (np.float32(it[y : y + 24, 160:350].mean(-1)) for it in (hopper.image, moved))
        shares.append(cv2.phaseCorrelate(*strips)[0][0] / way)
    assert 0.35 > shares[0] > 0.15 > shares[1] > 0.03


def test_the_cap_keeps_its_shape(hopper: Portrait) -> None:
    """A rolled cap is the portrait's own, rolled: no bend."""
    driving = turned(hopper, (0, 0, 8))
    frame = Renderer(hopper).frame(driving)
    pose = geometry.head_pose(hopper.mesh[None].astype(float))
    neck = geometry.to_picture(geometry.NECK[None, None], pose)[0, 0]
    turn = geometry.rotation_from_euler_deg(0, 0, 8)[:2, :2]
    matrix = np.concatenate([turn, (neck[:2] - turn @ neck[:2])[:, None]], 1)
    rolled = cv2.warpAffine(hopper.image, matrix, hopper.image.shape[1::-1])
    inside = cv2.erode((hopper.person > 0.95).astype(np.uint8), np.ones((15, 15), np.uint8))
    inside = cv2.warpAffine(inside, matrix, hopper.image.shape[1::-1]) > 0
    inside[int(driving[topology.FACE_OVAL, 1].min()) :] = False
    assert inside.sum() > 5000
    assert np.abs(frame.astype(int) - rolled).max(-1)[inside].mean() < 4


def test_lines_behind_the_head_go_on_under_it() -> None:
    """A wall with horizontal stripes stays striped in the strip beside a round head."""
    stripes = np.repeat(np.where(np.arange(200) // 10 % 2, 200, 60)[:, None], 200, 1)
    wall = np.repeat(stripes[..., None], 3, 2).astype(np.float32)
    y, x = np.mgrid[:200, :200]
    seen = np.hypot(x - 100, y - 100) > 60
    behind = background.plate(np.where(seen[..., None], wall, 120).astype(np.float32), seen, 100.0)
    assert np.array_equal(behind[seen], wall[seen])
    beside, smooth = np.s_[85:115, 130:159], background.guess(behind, seen, 100.0)
    assert np.abs(behind[beside] - wall[beside]).mean() < 25
    assert np.abs(smooth[beside] - wall[beside]).mean() > 50


def test_what_is_beyond_a_narrow_gap_is_not_carried_into_it() -> None:
    """Sky between a shoulder and a white bar goes on under the shoulder, the bar does not."""
    picture = np.full((200, 200, 3), (90, 130, 200), np.float32)
    seen = np.zeros((200, 200), bool)
    picture[:, 105:], seen[:, 100:] = 255, True
    behind = background.plate(
        np.where(seen[..., None], picture, 20).astype(np.float32), seen, 100.0
    )
    assert np.abs(behind[50:150, 90:100] - picture[0, 0]).max() < 20


def test_frames_follow_small_movements_smoothly(hopper: Portrait) -> None:
    """A hundredth of a degree changes next to nothing: no cell, box or fold switches."""
    renderer = Renderer(hopper)
    for yaw in (2.0, 5.0, 8.0):
        now, then = (renderer.frame(turned(hopper, (yaw + d, 1, 1))) for d in (0, 0.01))
        change = np.abs(now.astype(int) - then).max(-1)
        assert change.max() < 40 and change.mean() < 0.2


def test_a_head_that_the_upper_edge_cuts_is_closed_above_it(hopper: Portrait) -> None:
    """The cap, of which more and more is cut away, is made up about as high as it was."""
    whole = Layers.of(hopper, (0, 0, 512, 600)).person
    top = int(np.flatnonzero((whole[..., 3] > 128).sum(1) > 20)[0])
    unit = float(geometry.eye_distance(hopper.mesh))
    for share in (0.1, 0.2):
        y = top + int(share * unit)
        lower = replace(
            hopper,
            image=hopper.image[y:].copy(),
            mesh=(hopper.mesh - [0, y, 0]).astype(np.float32),
            person=np.asarray(hopper.person)[y:].copy(),
        )
        layers = Layers.of(lower, (0, 0, 512, 600 - y))
        made = layers.person[layers.above - (y - top) : layers.above, :, 3] / 255
        true = whole[top:y, :, 3] / 255
        assert np.abs(made - true).sum() < 0.6 * true.sum()
        assert layers.person[0].max() == 0


def test_what_is_squeezed_is_squeezed_over_several_cells(hopper: Portrait) -> None:
    field = np.zeros((40, 60, 2), np.float32)
    field[:, 30:, 0] = 6
    away = hopper.mesh + [1000, 0, 0]
    smooth = unfold(field.copy(), away, origin=np.zeros(2), cell=3)
    assert np.diff(smooth[..., 0], axis=1).max() < 2
    np.testing.assert_array_equal(smooth[:, [0, 20, 40, 59]], field[:, [0, 20, 40, 59]])
