"""68 landmarks, the fit of the face model, and what lies between frames without a face."""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from mdth.errors import CheckpointError, MdthError, MissingDependency
from mdth.face import landmarks68, topology
from mdth.seed import eos_files, landmarks
from mdth.seed.apart import Fits
from mdth.seed.artefacts import Faces, SeedClip, SeedStill
from mdth.seed.clip import at_rate, filled_faces
from mdth.seed.fit import Fitter, to_model, viewport
from tests.support.raising import raises
from training.measures import MIRROR


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("eos")
    from tests.support import eos_made_up as made_up

    folder = tmp_path_factory.mktemp("landmark")
    made_up.write(folder)
    return folder


@pytest.fixture(scope="module")
def fitter(model_folder: Path) -> Fitter:
    return Fitter(model_folder)


def pictured(yaw_deg: float = 0.0, roll_deg: float = 0.0) -> np.ndarray:
    """The canonical face with irises in a crop of 256 px: [478,3] px."""
    yaw, roll = np.deg2rad([yaw_deg, roll_deg])
    about_y = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    about_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    face = np.concatenate([topology.CANONICAL, np.zeros((10, 3))])
    for iris, corners in ((468, (33, 133)), (473, (362, 263))):
        face[iris : iris + 5] = face[list(corners)].mean(axis=0)
    return 84 * face @ (np.array(about_z) @ about_y).T + [128, 110, 0]


def test_every_point_has_a_place_of_its_own() -> None:
    assert (landmarks68.VERTICES.shape, len(set(landmarks68.VERTICES))) == ((68,), 68)
    mirrored = MIRROR[landmarks68.VERTICES]
    # The scheme mirrored: the jaw and the brows backwards, eyes and lips crosswise.
    order = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    order += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    order += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    np.testing.assert_array_equal(mirrored, landmarks68.VERTICES[order])


@pytest.mark.parametrize(("yaw", "roll"), [(0, 0), (15, 0), (-20, 10)])
def test_landmarks_go_back_to_where_they_were_seen(fitter: Fitter, yaw: int, roll: int) -> None:
    mesh = pictured(yaw, roll)
    points, irises = landmarks68.from_mesh(mesh), landmarks68.irises(mesh)
    fit = fitter.fit(points, irises)
    whole = fit.screen @ fit.modelview
    seen = np.column_stack([fit.landmarks, np.ones(68)]) @ whole.T
    others = np.setdiff1d(np.arange(68), [3, 4])
    np.testing.assert_allclose(seen[others, :2], points[others, :2], atol=1e-3)
    np.testing.assert_allclose(seen[[3, 4]][:, :3], irises - [0, 0, 50], atol=1e-3)
    # eos's camera space: x right, y up, z to the viewer.
    turned = fit.modelview[:3, :3]
    nose = turned @ [0, 0, 1]
    assert np.rad2deg(np.arcsin(nose[0])) == pytest.approx(-yaw, abs=6)
    assert np.rad2deg(np.arctan2(turned[1, 0], turned[0, 0])) == pytest.approx(-roll, abs=4)


def test_the_fit_is_in_millimetres(fitter: Fitter) -> None:
    mesh = pictured()
    fit = fitter.fit(landmarks68.from_mesh(mesh), landmarks68.irises(mesh))
    left, right = fit.landmarks[list(landmarks68.OUTER_EYE_CORNERS)]
    assert np.linalg.norm(left - right) == pytest.approx(92, abs=12)
    assert fit.landmarks[30, 2] > fit.landmarks[36, 2] + 20, "the nose is in front of the eyes"


def test_fractions_of_a_pixel_count(fitter: Fitter) -> None:
    mesh = pictured()
    points = landmarks68.from_mesh(mesh)
    moved = points + [0.25, 0, 0]
    one, other = (fitter.fit(p, landmarks68.irises(mesh)) for p in (points, moved))
    assert np.abs(one.landmarks - other.landmarks).max() > 1e-3


def test_the_viewport_is_the_published_one() -> None:
    half = [[128, 0, 0, 128], [0, -128, 0, 128], [0, 0, 1, -75], [0, 0, 0, 1]]
    np.testing.assert_array_equal(viewport(256), half)
    whole = np.array([[2.0, 0, 0, 3], [0, 4, 0, 5], [0, 0, 1, 7], [0, 0, 0, 1]])
    np.testing.assert_allclose(to_model(np.array([[3.0, 5, 7], [5, 9, 8]]), whole)[1], 1)


def test_all_of_the_model_is_there(model_folder: Path) -> None:
    files = eos_files.EosFiles.load(model_folder)
    assert files.model.get_shape_model().get_data_dimension() == 3 * 3448


def test_depths_are_those_of_the_published_vertices(fitter: Fitter) -> None:
    """The made-up model, numbered as published, is the mesh: both have the landmarks' depths."""
    mesh = pictured()
    fit = fitter.fit(landmarks68.from_mesh(mesh), landmarks68.irises(mesh))
    ours = landmarks68.from_mesh(mesh)[:, 2] / -fit.screen[0, 0]
    away = fit.landmarks[:, 2] - ours
    others = np.setdiff1d(np.arange(68), [3, 4])
    assert np.abs(away[others] - np.median(away)).max() < 1, "mm"


def test_missing_and_damaged_files_are_named(model_folder: Path, tmp_path: Path) -> None:
    raises(CheckpointError, eos_files.EDGES, Fitter, tmp_path)
    for name in eos_files.NAMES:
        (tmp_path / name).write_bytes((model_folder / name).read_bytes())
    (tmp_path / eos_files.SHAPE).write_bytes(b"no model")
    raises(CheckpointError, "eos", Fitter, tmp_path)


def test_no_eos_names_the_extra(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "eos", None)
    raises(MissingDependency, r"mdth\[seed\]", Fitter, model_folder)


def test_the_mesh_reads_the_landmarks_without_face_alignment() -> None:
    if importlib.util.find_spec("face_alignment"):
        pytest.skip("face-alignment is installed")
    assert landmarks.reader_name() == "mesh" and landmarks.reader_files() == []
    mesh = pictured()
    read = landmarks.reader().read(np.zeros((256, 256, 3), np.uint8), mesh)
    np.testing.assert_array_equal(read, mesh[landmarks68.VERTICES])


def test_face_alignment_reads_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the package's names: given the face's box, asked for nothing to fetch."""
    torch = pytest.importorskip("torch")
    asked = {}

    class FaceAlignment:
        def __init__(self, kind: int, **options: object) -> None:
            asked.update(options, kind=kind)

        def get_landmarks_from_image(self, picture: np.ndarray, detected_faces: list) -> list:
            (asked["box"],) = detected_faces
            return [np.full((68, 2), 7.5, np.float32)]

    for name in ("face_alignment", "face_alignment.api"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.util.spec_from_loader(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    package = sys.modules["face_alignment"]
    package.FaceAlignment = FaceAlignment
    package.LandmarksType = types.SimpleNamespace(TWO_D=1)
    sys.modules["face_alignment.api"].models_urls = {"2DFAN-4": "https://some.where/net.tar"}
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert landmarks.reader_name() == "mesh", "installed, without its weights"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/net.tar").touch()
    assert landmarks.reader_name() == "face-alignment"
    assert landmarks.reader_files() == [tmp_path / "checkpoints/net.tar"]
    mesh = pictured()
    read = landmarks.reader().read(np.zeros((256, 256, 3), np.uint8), mesh)
    np.testing.assert_array_equal(read, np.full((68, 2), 7.5))
    assert asked["face_detector"] == "folder", "the one without weights"
    left, top, right, bottom, score = asked["box"]
    points = landmarks68.from_mesh(mesh)
    assert left < points[:, 0].min() and right > points[:, 0].max()
    assert top < points[:, 1].min() and bottom > points[:, 1].max() and score == 1


@pytest.mark.parametrize(
    ("fps", "expected"),
    [(30, [0, 1, 2, 3]), (15, [0, 1, 1, 2, 2, 3, 3, 3]), (60, [0, 2]), (25, [0, 1, 2, 3, 3])],
)
def test_thirty_a_second(fps: float, expected: list[int]) -> None:
    frames = (np.full((2, 2, 3), index, np.uint8) for index in range(4))
    taken = [int(frame[0, 0, 0]) for frame in at_rate(frames, fps, 30)]
    assert taken == expected


def faces(count: int) -> Faces:
    random = np.random.default_rng(0)
    turns = np.tile(np.eye(4), (count, 1, 1))
    turns[:, 0, 3] = np.arange(count)
    return Faces(
        random.normal(size=(count, 68, 3)), turns,
        np.tile(np.diag([0.9, -0.9, -1, 1]), (count, 1, 1)), np.tile(np.eye(3), (count, 1, 1)),
        np.zeros((count, 3)),
    )  # fmt: skip


def test_frames_without_a_face_keep_their_place() -> None:
    whole = filled_faces(faces(3), np.array([False, True, True, False, False, True, False]))
    np.testing.assert_allclose(whole.modelview[:, 0, 3], [0, 0, 1, 4 / 3, 5 / 3, 2, 2])
    np.testing.assert_array_equal(whole.landmarks[[1, 2, 5]], faces(3).landmarks)
    np.testing.assert_allclose(np.linalg.det(whole.rotation), 1)


def test_saved_and_loaded(tmp_path: Path) -> None:
    still = SeedStill(np.zeros((256, 256, 3), np.uint8), faces(1), np.eye(3)[:2])
    still.save(tmp_path)
    clip = SeedClip(faces(4), np.array([True, True, False, True]))
    clip.save(tmp_path)
    again, moved = SeedStill.load(tmp_path), SeedClip.load(tmp_path)
    np.testing.assert_allclose(again.faces.landmarks, still.faces.landmarks, rtol=1e-6)
    np.testing.assert_array_equal(moved.found, clip.found)
    np.testing.assert_array_equal(moved.faces.origin_px[:, 0], 0.9 * np.arange(4, dtype="f4"))


def test_processes_fit_as_this_one_does_and_tell_that_one_was_ended(
    fitter: Fitter, model_folder: Path
) -> None:
    meshes = [pictured(yaw) for yaw in range(-10, 15, 5)]
    around, irises = (list(map(of, meshes)) for of in (landmarks68.from_mesh, landmarks68.irises))
    with Fits(model_folder) as fits:
        found = [fit.result() for fit in fits.begin(around, irises)]
        expected = [fitter.fit(*face) for face in zip(around, irises, strict=True)]
        for ours, theirs in zip(found, expected, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one, other)
        for process in fits.processes:
            process.process.kill()
        raises(MdthError, "was ended; run again", fits.begin(around, irises)[0].result)
