"""A real clip says something else: only the mouth changes, and it says it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mdth
from mdth import engines
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.closed_loop import best_lag, correlation, opening
from mdth.embedded.clip.avatar import ClipAvatar
from mdth.embedded.clip.dubbing import Dubbed, Dubbing, pasted
from mdth.embedded.clip.rest import amounts
from mdth.embedded.engine import Embedded
from mdth.errors import InputError
from mdth.face import topology
from mdth.face.find import TRACKER
from mdth.face.follow import Why
from mdth.face.tracker import FaceTracker
from mdth.files import assets
from mdth.media.audio import read_blocks
from mdth.media.film import open_film
from mdth.options import Options

CLIP = Path(__file__).parents[3] / "examples/clip.mp4"
FRAMES, FPS = 75, 25


@pytest.fixture(scope="module")
def avatar(checkpoints: Path) -> ClipAvatar:
    made = mdth.prepare(CLIP)
    assert isinstance(made, ClipAvatar)
    return made


@pytest.fixture(scope="module")
def dub(avatar: ClipAvatar) -> Callable[..., list[Dubbed]]:
    engine = Embedded()

    def run(sound: FloatArray, blocks: int = 1, of: ClipAvatar = avatar, **choices: Any):
        dubbing = engine.dub(of, Options.of(**choices), length_s=len(sound) / SPEECH_RATE_HZ)
        frames = [one for block in np.array_split(sound, blocks) for one in dubbing.feed(block)]
        return [*frames, *dubbing.finish()]

    return run


@pytest.fixture(scope="module")
def own(dub: Callable[..., list[Dubbed]]) -> list[Dubbed]:
    """Dubbed with the sound it has."""
    return dub(np.concatenate(list(read_blocks(CLIP))))


def silence(length_s: float) -> FloatArray:
    return np.zeros(round(length_s * SPEECH_RATE_HZ), np.float32)


def tracked(dubbed: list[Dubbed]) -> FloatArray:
    """Meshes [T,478,3] px of the frames as they are shown."""
    with FaceTracker(assets.path(TRACKER)) as tracker:
        return np.stack([tracker.faces(pasted(one))[0] for one in dubbed])


def test_nothing_but_the_lower_face_changes(avatar: ClipAvatar, own: list[Dubbed]) -> None:
    originals = list(open_film(CLIP).frames())
    assert [one.time_s for one in own] == [frame.time_s for frame in originals]
    for number, (one, original) in enumerate(zip(own, originals, strict=True)):
        changed = (pasted(one) != original.rgb).any(-1)
        mesh = avatar.person.mesh[number]
        assert changed.any() and not changed[: int(mesh[topology.RIGID[3], 1])].any()
        assert one.patch is not None
        alpha = np.zeros(changed.shape)
        height, width = one.patch.alpha.shape
        alpha[one.patch.y : one.patch.y + height, one.patch.x : one.patch.x + width] = (
            one.patch.alpha
        )
        assert not changed[alpha == 0].any() and alpha[[0, -1]].max() == 0


def test_the_mouth_says_it(avatar: ClipAvatar, own: list[Dubbed]) -> None:
    spoken, real = opening(tracked(own)), opening(np.asarray(avatar.person.mesh))
    lag, r = best_lag(spoken, real)
    assert lag in (-1, 0, 1) and r > 0.85
    assert correlation(spoken, real) > 0.85


def test_old_words_are_gone_in_silence(avatar: ClipAvatar, dub: Callable[..., Any]) -> None:
    shut = opening(tracked(dub(silence(3))))
    assert (shut < 0.03).mean() >= 0.98
    assert opening(np.asarray(avatar.person.mesh)).max() > 0.2
