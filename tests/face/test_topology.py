import numpy as np
import pytest

from mdth.face import topology

LOOPS = [
    topology.LIPS_OUTER, topology.LIPS_INNER, topology.EYE_LEFT, topology.EYE_RIGHT,
    topology.FACE_OVAL,
]  # fmt: skip


def neighbours() -> set[tuple[int, int]]:
    pairs = np.concatenate([topology.TRIANGLES[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    return {(min(a, b), max(a, b)) for a, b in pairs.tolist()}


@pytest.mark.parametrize("loop", LOOPS)
def test_outlines_follow_edges_of_the_mesh_all_around(loop):
    edges = neighbours()
    for a, b in zip(loop.tolist(), np.roll(loop, -1).tolist(), strict=True):
        assert (min(a, b), max(a, b)) in edges


@pytest.mark.parametrize(
    "loop", [topology.LIPS_OUTER, topology.LIPS_INNER, topology.EYE_LEFT, topology.EYE_RIGHT]
)
def test_outlines_start_at_the_viewers_left_and_go_over_the_top(loop):
    points = topology.CANONICAL[loop]
    assert points[:, 0].argmin() == 0
    half = len(loop) // 2
    assert points[:, 0].argmax() == half
    assert points[1:half, 1].mean() < points[half + 1 :, 1].mean()


@pytest.mark.parametrize(
    "pairs", [topology.LIP_PAIRS, topology.LID_PAIRS_LEFT, topology.LID_PAIRS_RIGHT]
)
def test_pairs_face_each_other_upper_first(pairs):
    upper, lower = topology.CANONICAL[pairs[:, 0]], topology.CANONICAL[pairs[:, 1]]
    gap = lower - upper
    assert (gap[:, 1] > 0).all()
    assert (np.abs(gap[:, 0]) < np.abs(gap[:, 1])).all()
    assert (np.diff(upper[:, 0]) > 0).all()


def test_the_middle_pair_of_the_lips_is_the_named_one():
    assert tuple(topology.LIP_PAIRS[len(topology.LIP_PAIRS) // 2]) == topology.LIP_MID_PAIR


def test_left_is_the_viewers_left_and_mirrors_the_right():
    for left, right in (
        (topology.EYE_LEFT, topology.EYE_RIGHT),
        (topology.LIDS_LEFT, topology.LIDS_RIGHT),
        (topology.BROW_LEFT, topology.BROW_RIGHT),
        (topology.OUTER_EYE_CORNERS[:1], topology.OUTER_EYE_CORNERS[1:]),
        (topology.MOUTH_CORNERS[:1], topology.MOUTH_CORNERS[1:]),
    ):
        mirrored = topology.CANONICAL[list(right)] * [-1, 1, 1]
        assert (topology.CANONICAL[list(left), 0] < 0).all()
        distances = np.linalg.norm(topology.CANONICAL[list(left)][:, None] - mirrored, axis=-1)
        assert distances.min(axis=1).max() < 1e-3


def test_canonical_face_looks_at_the_viewer_with_its_chin_down():
    nose_tip, chin, forehead, ear = 4, 152, 10, 234
    face = topology.CANONICAL
    assert face[chin, 1] > face[nose_tip, 1] > face[forehead, 1]
    assert face[nose_tip, 2] < 0 < face[ear, 2]
    outer = face[list(topology.OUTER_EYE_CORNERS)]
    assert np.linalg.norm(outer[0] - outer[1]) == pytest.approx(1)
    assert np.abs(outer.mean(axis=0)).max() < 1e-6


def test_holes_are_triangles_of_the_mesh_and_fill_the_outlines():
    assert len(topology.MOUTH_TRIANGLES) == len(topology.LIPS_INNER) - 2
    assert len(topology.EYE_TRIANGLES) == 2 * (len(topology.EYE_LEFT) - 2)
    assert set(topology.MOUTH_TRIANGLES.ravel()) == set(topology.LIPS_INNER)


def test_rigid_vertices_are_spared_by_speech_lids_and_brows():
    for group in (topology.LIPS_OUTER, topology.LIPS_INNER, topology.BROW_LEFT):
        assert not np.isin(topology.RIGID, group).any()
    for pairs in (topology.LID_PAIRS_LEFT, topology.LID_PAIRS_RIGHT):
        assert not np.isin(topology.RIGID, pairs).any()


def test_upper_face_is_sorted_and_holds_eyes_irises_and_brows():
    assert (np.diff(topology.UPPER_FACE) > 0).all()
    for group in (topology.EYE_LEFT, topology.IRIS_RIGHT, topology.BROW_RIGHT, topology.LIDS_LEFT):
        assert np.isin(group, topology.UPPER_FACE).all()
    assert topology.UPPER_FACE.max() < topology.VERTEX_COUNT
