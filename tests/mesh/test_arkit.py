import csv
from pathlib import Path

import numpy as np
import pytest

from mdth.artefacts import MeshSequence
from mdth.face import topology
from mdth.media.image import read_image
from mdth.mesh import arkit
from mdth.mesh.arkit import SHAPES, timecode
from mdth.mesh.export import export


def test_the_same_weights_as_mediapipe(checkpoints: Path, portrait_path: Path) -> None:
    """FaceLandmarker runs the network itself; for its own landmarks both must agree."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(checkpoints / "face_landmarker.task")),
        output_face_blendshapes=True,
    )
    picture = read_image(portrait_path)
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        found = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=picture))
    height, width = picture.shape[:2]
    mesh = np.array([(p.x * width, p.y * height) for p in found.face_landmarks[0]])
    theirs = {shape.category_name.lower(): shape.score for shape in found.face_blendshapes[0]}
    ours = arkit.weights(mesh[None])[0]
    for name, weight in zip(SHAPES, ours, strict=True):
        assert weight == pytest.approx(theirs.get(name.lower(), 0), abs=1e-5), name


def test_many_frames_are_each_frame(rest: np.ndarray) -> None:
    faces = rest + np.random.default_rng(0).normal(0, 0.01, (70, 478, 3))
    together = arkit.weights(faces)
    alone = np.concatenate([arkit.weights(face[None]) for face in faces[[0, 15, 16, 69]]])
    np.testing.assert_allclose(together[[0, 15, 16, 69]], alone, atol=1e-5)
    np.testing.assert_allclose(arkit.weights(faces[:2] * 300 + 200), together[:2], atol=1e-4)


def test_left_is_the_persons(rest: np.ndarray) -> None:
    """The eye at the viewer's right closes: the person's left."""
    shut = rest.copy()
    for upper, lower in topology.LID_PAIRS_RIGHT:
        shut[upper] = shut[lower]
    weights = arkit.beyond_rest(arkit.weights(shut[None]), arkit.weights(rest[None])[0])[0]
    assert weights[SHAPES.index("EyeBlinkLeft")] > 0.4
    assert weights[SHAPES.index("EyeBlinkRight")] < 0.1


def test_csv(tmp_path: Path, rest: np.ndarray, opening: MeshSequence) -> None:
    path = tmp_path / "take.csv"
    export(opening, path, neutral=rest, sound=Path("speech.wav"), rate_hz=48_000)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0])
    assert columns[:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"]
    assert columns[-10] == "TongueOut" and columns[-1] == "RightEyeRoll"
    assert len(columns) == 2 + 61 and {row["BlendShapeCount"] for row in rows} == {"61"}
    jaw = [float(row["JawOpen"]) for row in rows]
    assert len(rows) == 51 and max(jaw) > 0.3
    assert int(np.argmax(jaw)) in range(20, 31) and jaw[0] < 0.02
    assert rows[26]["Timecode"] == "00:00:01:01.000"
    assert all(0 <= float(value) <= 1 for row in rows for value in list(row.values())[2:])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("frame", "fps", "expected"), [
    (0, 30, "00:00:00:00.000"), (29, 30, "00:00:00:29.000"), (30 * 3661 + 7, 30, "01:01:01:07.000"),
    (60, 59.94, "00:00:01:00.060"), (3, 12.5, "00:00:00:03.000"),
])  # fmt: skip
def test_timecode(frame: int, fps: float, expected: str) -> None:
    assert timecode(frame, fps) == expected
