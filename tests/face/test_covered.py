"""Mouths behind something."""

import hashlib
import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from mdth.artefacts import Portrait
from mdth.embedded.render.renderer import Renderer
from mdth.face import geometry, topology
from mdth.face.portrait import prepare_portrait
from mdth.face.tracker import FaceTracker
from mdth.face.worn import COVERED, GLASSES, SURELY_COVERED


def masked(portrait: Portrait) -> np.ndarray:
    """The picture with a plain pale mask from nose to chin."""
    places = portrait.mesh[topology.FACE_OVAL, :2]
    low = places[places[:, 1] > portrait.mesh[4, 1]]
    outline = cv2.convexHull(np.float32([*low, portrait.mesh[4, :2]]))
    picture = portrait.image.copy()
    cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], (190, 215, 230), cv2.LINE_AA)
    return picture


def test_bare_mouths_are_bare(portrait: Portrait) -> None:
    assert COVERED.likelihood(portrait.image, portrait.mesh) < 0.05
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    picture = np.ascontiguousarray(data.astronaut())
    with FaceTracker() as tracker:
        assert COVERED.likelihood(picture, tracker.faces(picture)[0]) < 0.5


def test_a_mask_is_seen_said_and_not_painted_over(
    portrait: Portrait, checkpoints: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "mdth"):
        assert prepare_portrait(portrait.image).covered < SURELY_COVERED
        assert "before the mouth" not in caplog.text
        behind = prepare_portrait(masked(portrait))
    assert behind.covered > SURELY_COVERED and "before the mouth" in caplog.text
    mesh = behind.mesh.astype(float)
    unit = float(geometry.eye_distance(mesh))
    lower = [*topology.LIPS_INNER[11:], *topology.LIPS_OUTER[11:]]
    mesh[lower, 1] += 0.15 * unit
    frame = Renderer(behind).frame(mesh)
    lips = cv2.fillPoly(
        np.zeros(frame.shape[:2], np.uint8),
        [np.round(mesh[topology.LIPS_OUTER, :2]).astype(np.int32)],
        1,
    )
    assert np.abs(frame.astype(int) - (190, 215, 230))[lips > 0].max() <= 2


def test_saved_with_the_portrait(portrait: Portrait, tmp_path: Path) -> None:
    Portrait(portrait.image, portrait.mesh, covered=0.75).save(tmp_path)
    assert Portrait.load(tmp_path).covered == 0.75


@pytest.mark.parametrize("weights", [GLASSES.weights, COVERED.weights])
def test_the_card_is_of_these_weights(weights: Path) -> None:
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert "CC BY 4.0" in str(card["data"])


def test_few_bare_mouths_are_called_covered() -> None:
    card = json.loads(COVERED.weights.with_suffix(".json").read_text())
    assert card["scores"]["called covered, real people in clips"]["clear"] < 0.01
