import numpy as np

from mdth.embedded.motion.spread import spread
from mdth.face import topology

HANDLES = np.array([*topology.LIP_PAIRS[:, 1], *topology.MOUTH_CORNERS])
FIXED = np.flatnonzero(topology.CANONICAL[:, 1] < 0.4)


def test_handles_move_as_told_fixed_and_irises_stay():
    offsets = np.random.default_rng(0).normal(0, 0.1, (len(HANDLES), 3))
    moved = spread(HANDLES, FIXED) @ offsets
    np.testing.assert_allclose(moved[HANDLES], offsets)
    assert not moved[FIXED].any()
    assert not moved[468:].any()


def test_skin_between_moves_less_than_what_pulls_it():
    matrix = spread(HANDLES, FIXED)
    assert matrix.min() > -1e-12 and matrix.sum(axis=1).max() < 1 + 1e-9
    chin, nose_base = 152, 2
    follow = matrix.sum(axis=1)
    assert follow[chin] > 0.5 > follow[nose_base] > 0


def test_lower_lip_does_not_pull_the_upper_through_the_mouth():
    matrix = spread(topology.LIP_PAIRS[:, 1], np.concatenate([FIXED, topology.MOUTH_CORNERS]))
    assert matrix[13].sum() < 0.4 * matrix[17].sum()


def test_a_vertex_in_both_groups_is_a_handle():
    assert spread([0, 17], [17, 10])[17] @ [0, 1] == 1
