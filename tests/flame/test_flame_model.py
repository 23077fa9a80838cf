import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from mdth.errors import CheckpointError
from mdth.flame import files
from mdth.flame.files import read_vertices
from mdth.flame.model import Embedding, Flame, chain
from tests.support.flame_made_up import TRIANGLES, VERTICES, arrays
from tests.support.flame_made_up import embedding as made_embedding
from tests.support.raising import raises


def quarter(axis: int) -> np.ndarray:
    return np.eye(3)[axis] * np.pi / 2


def arm() -> Flame:
    """A stick along x: root at 0, elbow at 1, vertices at 0.5, 1 (half and half) and 2."""
    return Flame(
        template=np.array([[0.5, 0, 0], [1, 0, 0], [2, 0, 0], [0, 0, 0]], float),
        triangles=np.array([[0, 1, 2]]), pose_correctives=np.zeros((4, 3, 9)),
        regressor=np.array([[0, 0, 0, 1.0], [0, 1.0, 0, 0]]),
        weights=np.array([[1, 0], [0.5, 0.5], [0, 1], [1, 0]], float), parents=np.array([-1, 0]),
    )  # fmt: skip


def test_two_joints_by_hand() -> None:
    bent = arm().vertices(pose=[*np.zeros(3), *quarter(2)])
    np.testing.assert_allclose(bent[0], [[0.5, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]], atol=1e-15)
    # Shoulder and elbow by 90 degrees: up to (0, 1, 0), then back to (-1, 1, 0).
    both = arm().vertices(pose=[*quarter(2), *quarter(2)], translation=[0, 0, 5])
    np.testing.assert_allclose(both[0], [[0, 0.5, 5], [0, 1, 5], [-1, 1, 5], [0, 0, 5]], atol=1e-15)


def test_chain_by_hand() -> None:
    rotations = np.stack([np.eye(3), *(cv2.Rodrigues(quarter(axis))[0] for axis in (2, 0))])
    joints = np.array([[[0, 0, 0], [1, 0, 0], [2, 0, 0]]], float)
    turns, shifts = chain(rotations, joints, np.array([-1, 0, 1]))
    at_tip = turns[2] @ [2, 0, 1] + shifts[0, 2]
    # One up from the second joint; the third turns z to -y, which the second turned to x.
    np.testing.assert_allclose(at_tip, [2, 1, 0], atol=1e-15)


def test_pose_correctives_by_hand() -> None:
    model = arm()
    model.pose_correctives[2, 1, 3] = 0.25
    bent = model.vertices(pose=[*np.zeros(3), *quarter(2)])
    # Entry 3 of R - 1 is R[1, 0] = 1: the tip is lifted by 0.25 before it is turned to -x.
    np.testing.assert_allclose(bent[0, 2], [0.75, 1, 0], atol=1e-15)


def test_at_rest_it_is_the_template(flame: Flame) -> None:
    np.testing.assert_allclose(flame.vertices(pose=np.zeros(15))[0], flame.template, atol=1e-12)


def test_the_root_turns_everything(flame: Flame) -> None:
    pose = np.zeros(15)
    pose[:3] = [0.3, -0.5, 0.2]
    turned = flame.vertices(pose=pose, translation=[1, 2, 3])[0] - [1, 2, 3]
    root = flame.regressor[0] @ flame.template
    expected = (flame.template - root) @ cv2.Rodrigues(pose[:3])[0].T + root
    np.testing.assert_allclose(turned, expected, atol=1e-12)


def test_many_frames_are_each_frame(flame: Flame) -> None:
    random = np.random.default_rng(0)
    pose = random.normal(0, 0.3, 15)
    templates = flame.template + random.normal(0, 1e-3, (40, *flame.template.shape))
    together = flame.vertices(pose=pose, templates=templates)
    for frame in (0, 33, 39):
        alone = flame.vertices(pose=pose, templates=templates[frame : frame + 1])
        np.testing.assert_allclose(together[frame], alone[0], atol=1e-12)


def test_sizes_are_flames(flame: Flame) -> None:
    assert flame.template.shape == (VERTICES, 3) and flame.triangles.shape == (TRIANGLES, 3)
    np.testing.assert_array_equal(flame.parents, [-1, 0, 1, 1, 1])


def test_landmarks_lie_in_their_triangles(flame: Flame, embedding: Embedding) -> None:
    points = flame.landmarks(embedding, pose=np.zeros(15))
    assert points.shape == (1, 51, 3)
    a, b, c = flame.template[flame.triangles[embedding.triangle[7]]]
    weights = embedding.corners[7]
    np.testing.assert_allclose(points[0, 7], weights[0] * a + weights[1] * b + weights[2] * c)


def test_landmarks_alone_are_those_of_the_whole_mesh(flame: Flame, embedding: Embedding) -> None:
    random = np.random.default_rng(0)
    templates = flame.template + random.normal(0, 1e-3, (35, *flame.template.shape))
    given = {"pose": random.normal(0, 0.3, 15), "translation": [0, 0, 1], "templates": templates}
    whole = embedding.blend(flame.vertices(**given)[:, flame.triangles[embedding.triangle]])
    np.testing.assert_allclose(flame.landmarks(embedding, **given), whole, atol=1e-12)


@pytest.mark.parametrize("sparse", [True, False])
def test_plain_arrays_too(sparse: bool, tmp_path: Path) -> None:
    """As FLAME 2023 and files people saved again without chumpy."""
    model = arrays()
    regressor = model["J_regressor"]
    path = tmp_path / "flame2023.pkl"
    given = {**model, "J_regressor": regressor if sparse else regressor.toarray()}
    path.write_bytes(pickle.dumps(given, 4))
    np.testing.assert_allclose(files.read_model(path).regressor, regressor.toarray())


def test_nothing_is_left_beside_the_owners_files(flame_folder: Path, flame: Flame) -> None:
    assert sorted(path.name for path in flame_folder.iterdir()) == [
        "flame_static_embedding.pkl",
        "generic_model.pkl",
    ]
    np.testing.assert_allclose(flame.regressor, arrays()["J_regressor"].toarray())


def test_another_pickle_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "flame_static_embedding.pkl"
    marks = made_embedding(arrays())
    for shift in (0, 1):
        marks["lmk_face_idx"] = marks["lmk_face_idx"] + np.uint32(shift)
        path.write_bytes(pickle.dumps(marks, 2))
        np.testing.assert_array_equal(files.read_embedding(path).triangle, marks["lmk_face_idx"])


def test_foreign_and_damaged_files(flame_folder: Path, tmp_path: Path) -> None:
    whole = (flame_folder / "generic_model.pkl").read_bytes()
    cut = tmp_path / "generic_model.pkl"
    cut.write_bytes(whole[: len(whole) // 2])
    raises(CheckpointError, "damaged", files.read_model, cut)
    foreign = tmp_path / "foreign.pkl"
    foreign.write_bytes(pickle.dumps({"v_template": np.zeros((3, 3))}, 2))
    raises(CheckpointError, r"foreign\.pkl: no f, posedirs", files.read_model, foreign)
    small = tmp_path / "small.pkl"
    small.write_bytes(pickle.dumps({**arrays(), "weights": np.zeros((7, 5))}, 2))
    raises(CheckpointError, "weights", files.read_model, small)
    raises(CheckpointError, "none", files.read_model, tmp_path / "none.pkl")


def test_placement(tmp_path: Path) -> None:
    path = tmp_path / "params.npy"
    path.write_bytes(pickle.dumps({"pose": np.arange(15.0)[None], "trans": np.ones(3)}, 2))
    pose, translation = files.read_placement(path)
    np.testing.assert_array_equal(pose, np.arange(15))
    np.testing.assert_array_equal(translation, np.ones(3))
    path.write_bytes(pickle.dumps({"pose": np.arange(4.0)}, 2))
    raises(CheckpointError, "params", files.read_placement, path)


def test_as_smplx_computes_it(flame_folder: Path, flame: Flame) -> None:
    lbs = pytest.importorskip("smplx.lbs")
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    pose = np.tile(random.normal(0, 0.3, 15), (3, 1))
    templates = flame.template + random.normal(0, 1e-3, (3, *flame.template.shape))
    tensors = [torch.from_numpy(np.array(array)) for array in (
        *(np.zeros((3, 1)), pose, templates, np.zeros((*flame.template.shape, 1))),
        flame.pose_correctives.reshape(-1, 36).T, *(flame.regressor, flame.parents, flame.weights),
    )]  # fmt: skip
    expected, _ = lbs.lbs(*tensors)
    found = flame.vertices(pose=pose[0], templates=templates)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-9)


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply(kind: str, tmp_path: Path) -> None:
    vertices = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    header = (
        f"ply\nformat {kind} 1.0\ncomment made\nelement vertex 4\nproperty float x\n"
        "property float y\nproperty float z\nproperty uchar red\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    )
    order = ">" if "big" in kind else "<"
    rows = [(*vertex.tolist(), 7) for vertex in vertices]
    if kind == "ascii":
        body = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode() + b"3 0 1 2\n"
    else:
        body = b"".join(struct.pack(f"{order}fffB", *row) for row in rows)
        body += struct.pack(f"{order}B3i", 3, 0, 1, 2)
    path = tmp_path / "template.ply"
    path.write_bytes(header.encode() + body)
    np.testing.assert_allclose(read_vertices(path), vertices, rtol=1e-6)
    path.write_bytes((header.encode() + body)[: len(header) + 20])
    raises(CheckpointError, "ply", read_vertices, path)
