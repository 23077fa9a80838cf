"""The renderer's score on clips made for the test."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage", reason="scikit-image is not installed (extra `train`)")

from mdth.embedded.motion.drive import Driver  # noqa: E402
from mdth.errors import MissingDependency  # noqa: E402
from mdth.face.tracker import FaceTracker  # noqa: E402
from mdth.motion.head import REST  # noqa: E402
from mdth.twins import sample  # noqa: E402
from training import identity, reenact  # noqa: E402
from training.sheet_shapes import Shape  # noqa: E402


@pytest.fixture(scope="module")
def shot() -> reenact.Shot:
    path = sample.PORTRAIT
    with Image.open(path) as file:
        image = np.asarray(file.convert("RGB").resize((256, 300)))
    with FaceTracker() as tracker:
        return image, tracker.faces(image)[0].astype(float)


def test_a_clip_that_rests_is_nearly_itself(shot: reenact.Shot) -> None:
    figures = reenact.reenact([shot, shot], None)
    assert figures["psnr face rendered"] > 38 and figures["ssim whole rendered"] > 0.97
    assert figures["ssim whole still"] == pytest.approx(1)
    assert not any("cosine" in name for name in figures)


def test_a_moving_mouth_is_scored_where_it_is(shot: reenact.Shot) -> None:
    from mdth.artefacts import Portrait
    from mdth.embedded.render.renderer import Renderer

    portrait = Portrait(shot[0], shot[1].astype(np.float32))
    mesh = Driver(portrait).mesh(Shape(drop=0.1).offsets(), REST).astype(float)
    spoken = (Renderer(portrait).frame(mesh), mesh)
    figures = reenact.reenact([shot, spoken], None)
    assert figures["psnr face rendered"] > figures["psnr face still"] + 3
    assert figures["psnr whole still"] > figures["psnr face still"] + 3


def test_identity_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "PACKAGES", ("dlib", "no_such_package_at_all"))
    with pytest.raises(MissingDependency, match="dlib-bin"):
        identity.Recogniser()


def test_one_person_is_nearer_than_two(shot: reenact.Shot) -> None:
    pytest.importorskip("dlib")
    pytest.importorskip("face_recognition_models")
    recogniser = identity.Recogniser()
    image, mesh = shot
    darker = (image * 0.8).astype(np.uint8)
    mirrored = image[:, ::-1]
    one = recogniser.vector(image, mesh)
    assert one.shape == (128,)
    assert np.linalg.norm(one - recogniser.vector(darker, mesh)) < 0.35
    flipped = mesh * [-1, 1, 1] + [image.shape[1] - 1, 0, 0]
    assert np.linalg.norm(one - recogniser.vector(mirrored, flipped)) < 0.6


def test_the_table_is_written(shot: reenact.Shot, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(reenact, "tracked", lambda clip, most: [shot] * 12)
    monkeypatch.setattr(reenact, "reenact", lambda frames, recogniser: {"psnr": len(frames)})
    clip = tmp_path / "clip.mp4"
    clip.touch()
    out = tmp_path / "out.json"
    reenact.main([str(tmp_path), str(clip), "--json", str(out)])
    assert json.loads(out.read_text()) == {"psnr": 12.0, "clips": 2}
