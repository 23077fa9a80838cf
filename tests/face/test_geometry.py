import numpy as np
import pytest

from mdth.face import geometry, topology

NOSE_TIP, CHIN = 4, 152


def posed(yaw=0.0, pitch=0.0, roll=0.0, scale=180.0, at=(250.0, 310.0, -12.0)):
    face = np.zeros((1, topology.VERTEX_COUNT, 3))
    face[0, : len(topology.CANONICAL)] = topology.CANONICAL
    rotation = geometry.rotation_from_euler_deg(yaw, pitch, roll)[None]
    pose = geometry.Pose(np.array([scale]), rotation, np.array([at]))
    return face, pose, geometry.to_picture(face, pose)


def test_pose_of_a_placed_face_is_found_again():
    _, pose, mesh = posed(12, -7, 4)
    found = geometry.head_pose(mesh)
    for part, value in zip(found, pose, strict=True):
        np.testing.assert_allclose(part, value, atol=1e-5, rtol=1e-5)


def test_pose_does_not_follow_the_mouth_or_the_brows():
    _, pose, mesh = posed(5, 3, -2)
    mesh[:, topology.LIPS_INNER, 1] += 40
    mesh[:, topology.BROW_LEFT, 1] -= 20
    np.testing.assert_allclose(geometry.head_pose(mesh).rotation, pose.rotation, atol=1e-5)


def test_a_mirrored_face_gets_a_rotation_not_a_reflection():
    _, _, mesh = posed()
    mesh[..., 0] *= -1
    assert np.linalg.det(geometry.head_pose(mesh).rotation[0]) == pytest.approx(1)


def test_face_frame_and_picture_are_inverse():
    face, pose, mesh = posed(20, 10, -30)
    np.testing.assert_allclose(geometry.to_face(mesh, pose), face, atol=1e-9)
    np.testing.assert_allclose(geometry.to_picture(geometry.to_face(mesh, pose), pose), mesh)


def test_poses_of_many_frames_are_each_their_own():
    first, second = posed(10)[2], posed(-10, scale=90.0)[2]
    poses = geometry.head_pose(np.concatenate([first, second]))
    np.testing.assert_allclose(poses.scale, [180, 90], rtol=1e-5)
    np.testing.assert_allclose(geometry.euler_deg(poses.rotation)[:, 0], [10, -10], atol=1e-4)


@pytest.mark.parametrize(
    ("angles", "axis", "sign"),
    [((10, 0, 0), 0, 1), ((0, 10, 0), 1, 1), ((-10, 0, 0), 0, -1), ((0, -10, 0), 1, -1)],
)
def test_positive_yaw_turns_the_nose_right_and_positive_pitch_down(angles, axis, sign):
    def nose(mesh):
        return (mesh[0, NOSE_TIP] - mesh[0, list(topology.OUTER_EYE_CORNERS)].mean(axis=0))[axis]

    assert sign * (nose(posed(*angles)[2]) - nose(posed()[2])) > 5


def test_positive_roll_is_clockwise_in_the_picture():
    left, right = posed(0, 0, 10)[2][0, list(topology.OUTER_EYE_CORNERS)]
    assert right[1] > left[1]
    assert posed(0, 0, 10)[2][0, CHIN, 0] < posed()[2][0, CHIN, 0]


def test_euler_angles_come_back():
    angles = np.random.default_rng(0).uniform(-60, 60, (50, 3))
    rotations = np.stack([geometry.rotation_from_euler_deg(*row) for row in angles])
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(geometry.euler_deg(rotations), angles, atol=1e-9)


def test_distances_are_in_the_meshes_unit():
    face, _, mesh = posed(scale=180.0)
    assert geometry.eye_distance(face)[0] == pytest.approx(1)
    for measure in (geometry.eye_distance, geometry.lip_opening, geometry.mouth_width):
        np.testing.assert_allclose(measure(mesh), 180 * measure(face))


def test_eye_openings_are_the_viewers_left_then_right():
    face, _, _ = posed()
    before = geometry.eye_openings(face)[0]
    face[0, topology.LID_PAIRS_LEFT[:, 0]] = face[0, topology.LID_PAIRS_LEFT[:, 1]]
    left, right = geometry.eye_openings(face)[0]
    assert left == 0
    assert right == before[1] > 0.03
