"""Training samples of the mouth network: what is hidden is hidden, and mirrors mirror."""

import dataclasses

import cv2
import numpy as np
import pytest

from mdth.artefacts import Portrait
from mdth.embedded.render.conditions import CHANNELS, SIZES
from mdth.embedded.render.light import measure_light
from mdth.embedded.render.tone import Tone
from mdth.face import geometry, topology
from training.mouth_bank import Source, bring, make, mirrored, scaled

AIM = slice(CHANNELS, CHANNELS + 3)


@pytest.fixture(scope="module")
def portrait(portrait: Portrait) -> Portrait:
    return dataclasses.replace(portrait, mesh=portrait.mesh.astype(float))


def opened(portrait: Portrait) -> Portrait:
    """The same picture, whose mesh says that the lower lip is lower."""
    mesh = portrait.mesh.copy()
    mesh[topology.LIPS_INNER[11:], 1] += 0.1 * float(geometry.eye_distance(mesh))
    return Portrait(portrait.image, mesh)


def test_a_sample_hides_the_inside_and_shows_it_as_the_aim(portrait: Portrait) -> None:
    true = opened(portrait)
    sample = make(true, Source(true), size=SIZES[0], crossed=False).astype(float)
    assert sample.shape == (CHANNELS + 3, SIZES[0][1], SIZES[0][0])
    assert np.isfinite(sample).all()
    inside = sample[3] > 0.99
    assert inside.sum() > 100
    around, aim = sample[:3, inside], sample[AIM, inside]
    assert around.std(axis=1).max() < 0.02, "one colour stands for the inside"
    assert aim.std(axis=1).min() > 0.03, "the true inside has its own"
    outside = sample[3] < 0.001
    assert np.abs(sample[:3] - sample[AIM])[:, outside].mean() < 0.02


def test_another_persons_mouth_is_as_bright_beside_the_sources_skin(portrait: Portrait) -> None:
    true = opened(portrait)
    dark = Portrait((portrait.image * 0.6).astype(np.uint8), portrait.mesh)
    own = make(true, Source(portrait), size=SIZES[0], crossed=False).astype(float)
    lent = make(true, Source(dark), size=SIZES[0], crossed=True).astype(float)
    inside, outside = own[3] > 0.99, own[3] < 0.001
    assert np.abs(lent[AIM] - own[AIM])[:, inside].mean() < 0.03, "relative to the skin"
    assert np.abs(lent[AIM] - lent[:3])[:, outside].mean() < 0.01, "and nothing else of theirs"


def test_teeth_that_are_lent_are_as_light_as_the_sources_would_be(portrait: Portrait) -> None:
    """By the skin alone, those of who has dark skin shone beside light skin."""
    true, source = opened(portrait), Source(portrait)
    lips = np.round(true.mesh[topology.LIPS_INNER, :2]).astype(np.int32)
    dark = (portrait.image * [0.55, 0.45, 0.4]).astype(np.uint8)
    theirs = measure_light(dark, true.mesh)
    mouth = cv2.fillPoly(dark.copy(), [lips], tuple(theirs.tooth.tolist()))
    lent = make(Portrait(mouth, true.mesh), source, size=SIZES[0], crossed=True).astype(float)
    wanted, by_skin = (
        Tone.of(light.skin).relative(light.tooth[:, None]) for light in (source.light, theirs)
    )
    found = lent[AIM][:, lent[3] > 0.99].mean(1, keepdims=True)
    assert np.abs(found - wanted).mean() < 0.4 * np.abs(by_skin - wanted).mean()


def test_mirrored_twice_is_the_portrait(portrait: Portrait) -> None:
    once = mirrored(portrait)
    assert once.mesh[33, 0] < once.mesh[263, 0], "left stays left"
    twice = mirrored(once)
    assert np.array_equal(twice.image, portrait.image)
    assert np.allclose(twice.mesh, portrait.mesh)


def test_scaled_keeps_points_on_their_pixels(portrait: Portrait) -> None:
    small = scaled(portrait, 55.0)
    assert float(geometry.eye_distance(small.mesh)) == pytest.approx(55.0, rel=0.01)
    ratio = small.image.shape[1] / portrait.image.shape[1]
    assert small.mesh[4, 0] + 0.5 == pytest.approx((portrait.mesh[4, 0] + 0.5) * ratio)


def test_bring_undoes_a_plane_similarity(portrait: Portrait) -> None:
    turn = np.deg2rad(10)
    matrix = 0.7 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    mesh = portrait.mesh.copy()
    mesh[:, :2] = mesh[:, :2] @ matrix.T + [5, -8]
    mesh[:, 2] *= 0.7
    found, back = bring(Portrait(portrait.image, mesh), portrait)
    assert np.allclose(found, portrait.mesh, atol=1e-6)
    assert np.allclose(back[:, :2] @ matrix, np.eye(2), atol=1e-9)
