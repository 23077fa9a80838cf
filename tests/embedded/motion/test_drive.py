from itertools import islice

import numpy as np
import pytest

from mdth.embedded.motion.drive import Driver
from mdth.embedded.session import Drive, EmbeddedAvatar
from mdth.embedded.speech.speakers import Speakers
from mdth.face import geometry, topology
from mdth.face.geometry import NECK, rotation_from_euler_deg
from mdth.motion.head import LEAD_STEPS, REST, generated
from mdth.motion.voice import STEP_HZ
from mdth.options import MotionOptions

SILENCE = np.zeros((478, 3))
MOUTH = np.concatenate([topology.LIPS_OUTER, topology.LIPS_INNER])


def in_face_frame(mesh, reference):
    """`mesh` px seen from the pose of `reference` px."""
    pose = geometry.head_pose(np.asarray(reference, np.float64)[None])
    return geometry.to_face(np.asarray(mesh, np.float64)[None], pose)[0]


def opened(face, amount):
    """Offsets that lower the lower lip and the chin."""
    offsets = np.zeros((478, 3))
    offsets[topology.LIP_PAIRS[:, 1], 1] = amount * np.sin(np.pi * np.arange(1, 10) / 10)
    offsets[topology.LIPS_OUTER[:10:-1], 1] = offsets[topology.LIP_PAIRS[:, 1], 1]
    offsets[[152, 175, 199], 1] = 0.6 * amount
    return offsets


def test_silence_and_a_still_head_give_the_portrait_with_a_shut_mouth(faces, portrait_of):
    portrait = portrait_of(faces["shut"])
    mesh = Driver(portrait).mesh(SILENCE, REST)
    assert mesh.dtype == np.float32
    np.testing.assert_allclose(mesh, portrait.mesh, atol=0.05)
    away = np.setdiff1d(np.arange(478), MOUTH)
    upper = topology.UPPER_FACE
    np.testing.assert_allclose(mesh[upper], portrait.mesh[upper], atol=1e-3)
    np.testing.assert_allclose(mesh[away], portrait.mesh[away], atol=0.05)


@pytest.mark.parametrize("name", ["shut", "smile", "teeth", "open", "sleepy"])
def test_the_neutral_is_what_silence_looks_like(faces, portrait_of, name):
    driver = Driver(portrait_of(faces[name]))
    np.testing.assert_allclose(driver.mesh(SILENCE, REST), driver.neutral, atol=1e-4)
    upper, lower = (driver.neutral[side] for side in topology.LIP_PAIRS.T)
    np.testing.assert_allclose(upper, lower, atol=1e-3)


@pytest.mark.parametrize("name", ["shut", "teeth", "open"])
@pytest.mark.parametrize("amount", [0.05, 0.15, 0.3])
def test_the_mouth_opens_by_what_the_speech_says(faces, portrait_of, name, amount):
    portrait = portrait_of(faces[name])
    face = in_face_frame(Driver(portrait).mesh(opened(faces[name], amount), REST), portrait.mesh)
    gap = face[topology.LIP_MID_PAIR[1], 1] - face[topology.LIP_MID_PAIR[0], 1]
    assert gap / geometry.eye_distance(faces[name]) == pytest.approx(amount, abs=0.003)


def test_lips_never_cross_for_any_speech(faces, portrait_of):
    portrait = portrait_of(faces["teeth"])
    driver = Driver(portrait)
    rng = np.random.default_rng(0)
    for _ in range(50):
        face = in_face_frame(driver.mesh(rng.normal(0, 0.05, (478, 3)), REST), portrait.mesh)
        gaps = face[topology.LIP_PAIRS[:, 1], 1] - face[topology.LIP_PAIRS[:, 0], 1]
        assert gaps.min() > -1e-5


def test_blinks_and_brows_of_the_speech_do_not_come_through(faces, portrait_of):
    driver = Driver(portrait_of(faces["shut"]))
    offsets = np.zeros((478, 3))
    offsets[topology.UPPER_FACE] = 0.1
    np.testing.assert_allclose(driver.mesh(offsets, REST), driver.neutral, atol=1e-4)


def test_the_head_turns_about_the_neck_in_front_of_the_portraits_own_pose(faces, portrait_of):
    driver = Driver(portrait_of(faces["shut"], yaw=15))
    turned = driver.mesh(SILENCE, REST._replace(rotation=rotation_from_euler_deg(5, -3, 4)))
    own = geometry.head_pose(driver.neutral[None].astype(np.float64))
    new = geometry.head_pose(turned[None].astype(np.float64))
    extra = new.rotation[0] @ own.rotation[0].T
    np.testing.assert_allclose(geometry.euler_deg(extra), [5, -3, 4], atol=1e-3)
    necks = [geometry.to_picture(NECK[None, None], pose)[0, 0] for pose in (own, new)]
    np.testing.assert_allclose(necks[0], necks[1], atol=0.01)
    np.testing.assert_allclose(own.scale, new.scale, rtol=1e-5)


def test_translation_is_in_eye_distances_and_depth_changes_the_size(faces, portrait_of):
    driver = Driver(portrait_of(faces["shut"]))
    pose = geometry.head_pose(driver.neutral[None].astype(np.float64))
    right = driver.mesh(SILENCE, REST._replace(translation=np.array([0.1, -0.05, 0])))
    expected = np.tile(pose.scale[0] * np.array([0.1, -0.05]), (478, 1))
    np.testing.assert_allclose((right - driver.neutral)[:, :2], expected, atol=0.01)
    away = driver.mesh(SILENCE, REST._replace(translation=np.array([0, 0, 0.4])))
    size = geometry.eye_distance(away) / geometry.eye_distance(driver.neutral)
    assert size == pytest.approx(8 / 8.4, rel=1e-3)


@pytest.mark.parametrize("name", ["shut", "smile", "sleepy"])
def test_a_blink_shuts_the_eyes_and_leaves_the_irises(faces, portrait_of, name):
    driver = Driver(portrait_of(faces[name]))
    mesh = driver.mesh(SILENCE, REST._replace(closed=np.ones(2)))
    np.testing.assert_allclose(geometry.eye_openings(mesh), 0, atol=1e-3)
    np.testing.assert_allclose(mesh[468:], driver.neutral[468:], atol=1e-4)


@pytest.mark.parametrize("name", ["shut", "smile", "teeth", "sleepy"])
def test_no_skin_folds_while_a_face_speaks_and_moves(faces, portrait_of, folds, name):
    driver = Driver(portrait_of(faces[name], 0, 0, 0))
    rng = np.random.default_rng(0)
    for _ in range(30):
        head = REST._replace(
            closed=np.full(2, rng.uniform(-0.25, 1)),
            gaze_deg=rng.uniform(-8, 8, 2),
            brows=np.tile([0, rng.uniform(-0.03, 0.02), 0], (20, 1)),
        )
        assert folds(driver.neutral, driver.mesh(SILENCE, head)) <= 2


def test_a_real_portrait_shuts_its_mouth_and_blinks_without_a_fold(portrait, folds):
    driver = Driver(portrait)
    assert np.abs(driver.neutral - portrait.mesh).max() < 2
    assert folds(portrait.mesh, driver.neutral) == 0
    blink = driver.mesh(SILENCE, REST._replace(closed=np.ones(2)))
    np.testing.assert_allclose(geometry.eye_openings(blink), 0, atol=1e-2)
    assert folds(portrait.mesh, blink) <= 2


def test_generated_motion_starts_on_the_real_portrait_and_moves_without_jumps(portrait):
    driver = Driver(portrait)
    voice = list(0.6 + 0.3 * np.sin(np.arange(250) / 3))
    states = islice(generated(voice, MotionOptions()), 300)
    meshes = np.stack([driver.mesh(SILENCE, state) for state in states])
    smiling = driver.mesh(SILENCE, REST._replace(smile=1.0))
    np.testing.assert_allclose(meshes[0], smiling, atol=1.0)
    rigid_first = meshes[0][topology.RIGID]
    np.testing.assert_allclose(rigid_first, portrait.mesh[topology.RIGID], atol=1e-3)
    rigid = meshes[:, topology.RIGID]
    unit = geometry.eye_distance(portrait.mesh)
    assert np.abs(np.diff(rigid, axis=0)).max() / unit < 0.08
    assert np.abs(rigid - rigid[0]).max() / unit > 0.05


@pytest.mark.parametrize("name", ["smile", "teeth"])
def test_a_smile_relaxes_while_speaking_and_comes_back(faces, portrait_of, name):
    driver = Driver(portrait_of(faces[name]))
    own = faces[name] / geometry.eye_distance(faces[name])

    def lift(mesh):
        face = in_face_frame(mesh, driver.neutral)
        corners = face[list(topology.MOUTH_CORNERS), 1].mean()
        return face[topology.LIP_MID_PAIR[0], 1] - corners

    spoken, paused = (lift(driver.mesh(SILENCE, REST._replace(smile=s))) for s in (0.0, 1.0))
    assert spoken < 0.6 * paused and own.shape == (478, 3)


def test_cheeks_answer_to_the_mouth_and_the_eyes_rest(faces, portrait_of):
    driver = Driver(portrait_of(faces["shut"]))
    grin = np.zeros((478, 3))
    grin[[61, 78, 291, 308]] = [[-0.06, -0.04, 0]] * 2 + [[0.06, -0.04, 0]] * 2
    way = driver.mesh(grin, REST) - driver.neutral
    assert way[[50, 280], 1].max() < -0.2, "up"
    assert np.abs(way[topology.UPPER_FACE]).max() < 1e-3


def test_the_head_hears_no_further_ahead_than_the_speech():
    ahead_s = Speakers().get("embedded").look_ahead_s
    assert (LEAD_STEPS + 1) / STEP_HZ < ahead_s


class Mute:
    """A speech whose mouth stays shut, 30 frames a second."""

    def __init__(self):
        self.heard = 0

    def feed(self, block):
        frames = self.heard // 16000 * 30
        self.heard += len(block)
        return iter(np.zeros((self.heard // 16000 * 30 - frames, 478, 3)))

    def finish(self):
        return iter(())


@pytest.mark.parametrize("is_still", [True, False])
def test_a_session_smiles_before_and_after_it_speaks(faces, portrait_of, is_still):
    options = MotionOptions(still=is_still, motion=0.0, blink=0.0)
    portrait = portrait_of(faces["smile"])
    drive = Drive(EmbeddedAvatar(portrait), options, Mute())
    voice = np.random.default_rng(0).normal(0, 0.1, 16000 * 6).astype(np.float32)
    sound = np.concatenate([voice, np.zeros(16000 * 5, np.float32)])
    meshes = [*drive.feed(sound), *drive.finish()]
    corners = np.array([mesh[list(topology.MOUTH_CORNERS), 1].mean() for mesh in meshes])
    own = portrait.mesh[list(topology.MOUTH_CORNERS), 1].mean()
    assert abs(corners[0] - own) < 0.5 and abs(corners[-1] - own) < 0.5
    assert corners[90:170].min() > own + 2, "lower while it speaks"
    assert np.abs(np.diff(corners)).max() < 0.5
