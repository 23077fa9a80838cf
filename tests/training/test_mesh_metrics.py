"""The field's metrics by hand-computed cases, and over files as the commands write them."""

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from made_media import make_wav

from mdth.errors import ArtefactError, InputError, MissingInput
from mdth.face import topology
from tests.support.raising import raises
from training import mesh_compare, mesh_metrics, mesh_regions
from training.mesh_compare import Sequence
from training.score import smallest_gaps

RNG = np.random.default_rng(0)
LIPS = np.array([1, 3])


def test_lip_vertex_error_by_hand() -> None:
    """Frame 0: the larger of 9 and 16; frame 1: 1; the vertex off the lips does not count."""
    true = np.zeros((2, 4, 3))
    predicted = true.copy()
    predicted[0, 1] = [3, 0, 0]
    predicted[0, 3] = [0, 0, -4]
    predicted[1, 3] = [0, 1, 0]
    predicted[:, 0] = 100
    assert mesh_metrics.lip_vertex_error(predicted, true, LIPS) == (16 + 1) / 2
    longer = np.concatenate([predicted, np.full((3, 4, 3), 7.0)])
    assert mesh_metrics.lip_vertex_error(longer, true, LIPS) == (16 + 1) / 2


def test_lip_vertex_error_is_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    multimodal = pytest.importorskip("torchmetrics.functional.multimodal")
    predicted, true = RNG.normal(size=(2, 30, 12, 3))
    theirs = multimodal.lip_vertex_error(*map(torch.from_numpy, (predicted, true)), LIPS.tolist())
    ours = mesh_metrics.lip_vertex_error(predicted, true, LIPS)
    assert ours == pytest.approx(float(theirs), rel=1e-6)


def test_mean_vertex_error_and_diversity_by_hand() -> None:
    a, b, c = np.zeros((3, 2, 2, 3))
    b[:, 0] = [3, 4, 0]
    c[0, 0] = [0, 0, 2]
    assert mesh_metrics.mean_vertex_error(b, a) == 2.5
    assert mesh_metrics.mean_vertex_error(c, a) == 0.5
    expected = (2.5 + 0.5 + (np.sqrt(29) + 5) / 4) / 3
    assert mesh_metrics.diversity([a, b, c]) == pytest.approx(expected)
    assert mesh_metrics.diversity([a]) == 0


def test_face_dynamics_by_hand() -> None:
    """Squared distances 0, 4 have a standard deviation of 2; 0, 16 one of 8."""
    neutral = np.ones((3, 3))
    true = np.stack([neutral, neutral])
    true[1, 0] += [2, 0, 0]
    predicted = np.stack([neutral, neutral])
    predicted[1, 1] += [0, 4, 0]
    upper = np.array([0, 1])
    found = mesh_metrics.face_dynamics_deviation(predicted, true, neutral=neutral, upper=upper)
    assert found == ((2 - 8) / 2, (2 + 8) / 2)
    only = np.array([0])
    found = mesh_metrics.face_dynamics_deviation(predicted, true, neutral=neutral, upper=only)
    assert found == (2, 2)


def test_roughness_by_hand() -> None:
    """x = t^3: third difference 6 everywhere; x = t^2: second difference 2, no jitter."""
    time = np.arange(8.0)[:, None, None] * np.array([1.0, 0, 0])
    acceleration, jitter = mesh_metrics.roughness(time**2, 10)
    assert (acceleration, jitter) == pytest.approx((2 * 100, 0))
    assert mesh_metrics.roughness(time**3, 10)[1] == pytest.approx(6 * 1000)
    assert mesh_metrics.roughness(time[:2], 10) == (0, 0)


def test_gaps_and_closures() -> None:
    meshes = np.zeros((50, 4, 3))
    meshes[:, 1, 1] = np.abs(np.arange(50) - 25) / 25
    gaps = mesh_metrics.lip_gaps(meshes, np.array([[0, 1], [2, 3]]))
    assert gaps[0] == 0.5 and gaps[25] == 0
    found = smallest_gaps(gaps, 25, np.array([1.0, 0.5, 9.0]))
    assert found == pytest.approx([0, (25 - 13) / 50])


def test_silence_and_speed() -> None:
    sound = np.zeros(16_000)
    sound[8_000:] = RNG.normal(size=8_000)
    silent = mesh_metrics.silent_frames(sound, 16_000, frames=25, fps=25)
    assert silent[:10].all() and not silent[11:].any()
    meshes = np.zeros((3, 4, 3))
    meshes[1:, 1, 0] = 2
    assert mesh_metrics.speed(meshes, 10, LIPS) == pytest.approx([10, 0, 0])


def test_regions_of_the_face() -> None:
    face = mesh_regions.of_face()
    assert len(face.lips) == 40
    assert set(topology.BROW_LEFT) <= set(face.upper) and 468 not in face.upper
    assert not set(face.lips) & set(face.upper)


@pytest.mark.parametrize("kind", ["npy", "txt", "csv", "pkl"])
def test_regions_from_files(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"lips.{kind}"
    source = str(path)
    if kind == "npy":
        np.save(path, np.array([3, 1, 3]))
    elif kind == "pkl":
        masks = {"lips": np.array([3, 1]), "nose": np.array([9]), "eye": np.array([7])}
        path.write_bytes(pickle.dumps(masks, 2))
        source += ":lips+nose"
    else:
        path.write_text("3, 1\n3" if kind == "csv" else "3 1\n3")
    expected = [1, 3, 9] if kind == "pkl" else [1, 3]
    assert mesh_regions.read_region(source).tolist() == expected


def test_wrong_region_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two")
    (tmp_path / "b.txt").write_text("")
    for name in ("a.txt", "b.txt", "c.txt"):
        raises(ArtefactError, name, mesh_regions.read_region, str(tmp_path / name))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"lips": np.array([1])}, 2))
    with pytest.raises(InputError, match="no mask 'mouth'; there are lips"):
        mesh_regions.read_region(f"{tmp_path / 'm.pkl'}:mouth")
    with pytest.raises(InputError, match="vertex 477"):
        none = np.zeros(0, int), mesh_regions.NO_PAIRS, 0.0, "face"
        mesh_regions.Regions(np.array([477]), *none).check(300)


def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two clips of the 478-vertex face: true lips open and shut, predicted ones half as far."""
    opening = np.abs(np.sin(np.arange(50) / 50 * 4 * np.pi))[:, None, None]
    face = np.concatenate([topology.CANONICAL, np.zeros((10, 3))])
    face[14] = face[13]
    way = np.zeros((478, 3))
    way[topology.LIP_PAIRS[:, 1], 1] = 0.2
    face[topology.LIP_PAIRS[:, 1]] = face[topology.LIP_PAIRS[:, 0]]
    for part in ("predicted", "true", "sounds"):
        (tmp_path / part).mkdir()
    for name in ("a", "b"):
        true, half = face + opening * way, face + opening * way / 2
        np.savez(tmp_path / "true" / f"{name}.npz", vertices=true, fps=25.0, neutral=face)
        for style, meshes in (("0", half), ("1", true)):
            np.savez(tmp_path / "predicted" / f"{name}@{style}.npz", vertices=meshes, fps=25.0)
        noise = RNG.normal(size=16_000) / 8
        make_wav(tmp_path / "sounds" / f"{name}.wav", np.concatenate([np.zeros(16_000), noise]))
    return tmp_path / "predicted", tmp_path / "true"


def test_folders_are_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    predicted, true = folders(tmp_path)
    phones = "clip\tphone\tstart_s\tend_s\na\tM\t0.97\t1.03\na\tAH\t0.1\t0.2\nb\tP\t0.2\t0.3\n"
    (tmp_path / "phones.tsv").write_text(phones)
    with caplog.at_level(logging.INFO, logger="mdth"):
        mesh_compare.main([str(predicted), str(true), "--regions", "face",
                           "--phones", str(tmp_path / "phones.tsv"), "--unit-mm", "90",
                           "--sounds", str(tmp_path / "sounds")])  # fmt: skip
    rows = {line[:32].strip(): line[32:].split(maxsplit=2) for line in caplog.messages}
    expected = np.mean((0.1 * np.abs(np.sin(np.arange(50) / 50 * 4 * np.pi))) ** 2) * 90**2 / 2
    assert float(rows["LVE"][0]) == pytest.approx(expected, rel=1e-3)
    assert rows["LVE"][1:] == ["mm^2", "lips, 40 vertices"]
    assert rows["FDD"][2].startswith("upper face, ")
    assert float(rows["shut on p, b, m, true"][0]) == pytest.approx(0.5)
    assert float(rows["diversity"][0]) > 0
    assert float(rows["lip opening, correlation"][0]) == pytest.approx(1)
    assert "lip speed in silence" in rows and "lip speed in speech, true" in rows
    assert "2 clips" in caplog.text


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    predicted, true = folders(tmp_path)
    raises(MissingInput, None, mesh_compare.read_pair, tmp_path, true)
    raises(InputError, "say which vertices", mesh_compare.main, [str(predicted), str(true)])
    np.savez(tmp_path / "x.npz", vertices=np.zeros((3, 4)), fps=25)
    raises(ArtefactError, r"not \[T,V,3\]", Sequence.load, tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", vertices=np.zeros((3, 4, 3)))
    raises(ArtefactError, "no meshes with a rate", Sequence.load, tmp_path / "y.npz")
    small = {"a": Sequence(np.zeros((3, 4, 3)), 25, None)}
    with pytest.raises(InputError, match="differ in size"):
        other = {"a": [Sequence(np.zeros((3, 5, 3)), 25, None)]}
        mesh_compare.compare(other, small, mesh_regions.of_face())
