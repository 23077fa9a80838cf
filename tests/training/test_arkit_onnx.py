"""MediaPipe's blendshape network, translated."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from mdth.errors import CheckpointError, InputError  # noqa: E402
from mdth.files import networks  # noqa: E402
from mdth.mesh import arkit  # noqa: E402
from training import arkit_onnx  # noqa: E402


def test_the_shipped_one_is_made(checkpoints: Path, portrait_path: Path, tmp_path: Path) -> None:
    shutil.copy(portrait_path, tmp_path / "portrait.jpg")
    arkit_onnx.main([str(checkpoints / "face_landmarker.task"), str(tmp_path), str(tmp_path)])
    made, card = networks.load("arkit", tmp_path)
    assert card["scores"]["faces"] == 1
    assert card["task sha256"] == networks.load("arkit")[1]["task sha256"]
    faces = np.random.default_rng(0).normal(size=(3, 478, 2)).astype(np.float32)
    np.testing.assert_allclose(made.run(None, {"faces": faces})[0], arkit.weights(faces), atol=1e-6)


def test_another_network_is_not_written(
    checkpoints: Path, portrait_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shapes in each other's place are seen in the picture."""
    shutil.copy(portrait_path, tmp_path / "portrait.jpg")
    names = list(arkit_onnx.GIVEN)
    left, right = names.index("MouthSmileLeft"), names.index("JawOpen")
    names[left], names[right] = names[right], names[left]
    monkeypatch.setattr(arkit_onnx, "GIVEN", names)
    with pytest.raises(InputError, match="1 faces"):
        arkit_onnx.main([str(checkpoints / "face_landmarker.task"), str(tmp_path), str(tmp_path)])
    assert not (tmp_path / "arkit.onnx").exists()


def test_wrong_bundles(tmp_path: Path) -> None:
    bundle = tmp_path / "other.task"
    with pytest.raises(CheckpointError, match="no blendshape network"):
        arkit_onnx.main([str(bundle), str(tmp_path), str(tmp_path)])
    with zipfile.ZipFile(bundle, "w") as file:
        file.writestr("something.tflite", b"1234")
    with pytest.raises(CheckpointError, match="no blendshape network"):
        arkit_onnx.main([str(bundle), str(tmp_path), str(tmp_path)])
