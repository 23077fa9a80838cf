"""A real clip says something else: only the mouth changes, and it says it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_media import make_clip

import mdth
from benchmarks.closed_loop import best_lag, correlation, opening
from mdth import engines
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.embedded.clip import dubbing
from mdth.embedded.clip.avatar import ClipAvatar
from mdth.embedded.clip.dubbing import Dubbed, pasted
from mdth.embedded.clip.rest import amounts
from mdth.embedded.engine import Embedded
from mdth.errors import InputError
from mdth.face import topology
from mdth.face.follow import Why
from mdth.face.tracker import FaceTracker
from mdth.media.audio import read_blocks
from mdth.media.film import open_film
from mdth.media.image import read_image
from mdth.options import Options

CLIP = Path(mdth.__file__).parent / "examples/clip.mp4"
FRAMES, FPS = 75, 25
# Lips further apart than this are parted, eye distances.
PARTED = 0.06


@pytest.fixture(scope="module")
def avatar(checkpoints: Path) -> ClipAvatar:
    made = mdth.prepare(CLIP)
    assert isinstance(made, ClipAvatar)
    return made


@pytest.fixture(scope="module")
def dub(avatar: ClipAvatar) -> Callable[..., list[Dubbed]]:
    engine = Embedded()

    def run(sound: FloatArray, blocks: int = 1, of: ClipAvatar = avatar, **choices: Any):
        made = engine.dub(of, Options.of(**choices), length_s=len(sound) / SPEECH_RATE_HZ)
        frames = [one for block in np.array_split(sound, blocks) for one in made.feed(block)]
        return [*frames, *made.finish()]

    return run


@pytest.fixture(scope="module")
def own(dub: Callable[..., list[Dubbed]]) -> list[Dubbed]:
    """Dubbed with the sound it has."""
    return dub(own_sound())


def own_sound() -> FloatArray:
    return np.concatenate(list(read_blocks(CLIP)))


def driven(avatar: ClipAvatar, sound: FloatArray) -> FloatArray:
    """The meshes [T,478,3] px that the frames of a speech follow."""
    made = Embedded().dub(avatar, Options(), length_s=len(sound) / SPEECH_RATE_HZ)
    offsets = [*made.spoken.feed(sound), *made.spoken.finish()]
    return np.stack([made.work(number, way).wanted for number, way in enumerate(offsets)])


def silence(length_s: float) -> FloatArray:
    return np.zeros(round(length_s * SPEECH_RATE_HZ), np.float32)


def tracked(dubbed: list[Dubbed]) -> FloatArray:
    """Meshes [T,478,3] px of the frames as they are shown."""
    with FaceTracker() as tracker:
        return np.stack([tracker.faces(pasted(one))[0] for one in dubbed])


def changed(one: Dubbed) -> FloatArray:
    """Where a patch lies in its frame [H,W], 0 to 1."""
    alpha = np.zeros(one.frame.rgb.shape[:2], np.float32)
    if one.patch is not None:
        height, width = one.patch.alpha.shape
        y, x = one.patch.y, one.patch.x
        alpha[y : y + height, x : x + width] = one.patch.alpha
    return alpha


def test_nothing_but_the_lower_face_changes(avatar: ClipAvatar, own: list[Dubbed]) -> None:
    originals = list(open_film(CLIP).frames())
    assert [one.time_s for one in own] == [frame.time_s for frame in originals]
    for one, original, mesh in zip(own, originals, avatar.person.mesh, strict=True):
        alpha, differs = changed(one), (pasted(one) != original.rgb).any(-1)
        assert differs.any() and not differs[alpha == 0].any()
        eyes = int(mesh[[*topology.EYE_LEFT, *topology.EYE_RIGHT], 1].min())
        assert not alpha[:eyes].any()
        assert (alpha > 0).mean() < 0.25


def test_the_mouth_says_it(avatar: ClipAvatar, own: list[Dubbed]) -> None:
    said, told = opening(tracked(own)), opening(driven(avatar, own_sound()))
    assert correlation(said, told) > 0.95 and best_lag(said, told)[0] == 0


def test_old_words_are_gone_in_silence(avatar: ClipAvatar, dub: Callable[..., Any]) -> None:
    shut = opening(tracked(dub(silence(3))))
    assert (shut < PARTED).mean() >= 0.97 and np.median(shut) < 0.03
    assert (opening(np.asarray(avatar.person.mesh)) > PARTED).mean() > 0.5, "as it was"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame gets a mouth, which takes most of the time."""
    monkeypatch.setattr(dubbing, "draw", lambda *_: None)


@pytest.mark.parametrize(("fit", "length_s", "frames"), [
    ("silence", 1, FRAMES), ("silence", 3.2, FRAMES), ("cut", 1, 25), ("cut", 5, FRAMES),
    ("loop", 1, FRAMES), ("loop", 4, 100), ("bounce", 4, 100), ("freeze", 4, 100),
])  # fmt: skip
def test_lengths(
    dub: Callable[..., list[Dubbed]], undrawn: None, fit: str, length_s: float, frames: int
) -> None:
    times = [one.time_s for one in dub(silence(length_s), fit=fit)]
    assert times == [Fraction(k, FPS) for k in range(frames)]


def test_a_bounce_goes_back(dub: Callable[..., list[Dubbed]], undrawn: None) -> None:
    back = [one.frame.rgb for one in dub(silence(6.5), fit="bounce")]
    assert all(np.array_equal(a, b) for a, b in zip(back[75:150], back[74::-1], strict=True))
    assert np.array_equal(back[150], back[0])


def test_a_loop_joins_without_a_jump(dub: Callable[..., list[Dubbed]]) -> None:
    shown = dub(silence(3.4), fit="loop")
    steps = [np.abs(np.diff([pasted(one).astype(float) for one in part], axis=0)).mean((1, 2, 3))
             for part in (shown[:75], shown[73:82])]  # fmt: skip
    assert steps[1].max() < 1.5 * steps[0].max()


def test_a_speech_too_long_is_refused(dub: Callable[..., list[Dubbed]]) -> None:
    with pytest.raises(InputError, match=r"5\.0 s, the clip 3\.0 s; choose another fit"):
        dub(silence(5))


def test_a_picture_is_no_clip(portrait_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clip to dub"):
        mdth.dub(mdth.prepare(portrait_path), CLIP, tmp_path / "out.mp4")


def test_blocks_of_any_size_and_a_saved_one(
    avatar: ClipAvatar, dub: Callable[..., list[Dubbed]], own: list[Dubbed], tmp_path: Path
) -> None:
    engines.save(avatar, tmp_path / "anna.avatar")
    loaded = engines.load(tmp_path / "anna.avatar")
    assert isinstance(loaded.person.mesh, np.memmap)
    again = dub(own_sound(), blocks=37, of=loaded)
    assert all(np.array_equal(pasted(a), pasted(b)) for a, b in zip(own, again, strict=True))


def test_a_clip_that_stands_still(tmp_path: Path, portrait_path: Path, short_path: Path) -> None:
    """It shows one mouth, and none to choose from."""
    picture = read_image(portrait_path, max_size=384)
    still = make_clip(tmp_path / "still.mp4", [picture] * 30, [k / FPS for k in range(30)])
    assert mdth.dub(still, short_path, tmp_path / "a.mp4", preview=True)["frames"] == FPS


def test_frames_that_cannot_be_dubbed_stay(
    avatar: ClipAvatar, dub: Callable[..., list[Dubbed]]
) -> None:
    why, mesh = avatar.person.why.copy(), np.array(avatar.person.mesh)
    why[30:33] = Why.NO_FACE
    mesh[30:33] = np.nan
    person = replace(avatar.person, why=why, mesh=mesh)
    shown = dub(own_sound(), of=replace(avatar, person=person))
    most = np.array([changed(one).max() for one in shown])
    assert len(shown) == FRAMES and (most[30:33] == 0).all() and (most[:25] == 1).all()
    assert (np.diff(most[26:31]) < 0).all() and (np.diff(most[32:37]) > 0).all()


@pytest.mark.parametrize(("usable", "shot", "expected"), [
    ([1] * 6, [0] * 6, [1] * 6), ([0] * 3, [0] * 3, [0] * 3),
    ([1, 1, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0.35, 0.1, 0, 1, 1, 1]),
])  # fmt: skip
def test_fading(usable: list[int], shot: list[int], expected: list[float]) -> None:
    made = amounts(np.array(usable, bool), np.array(shot, np.int32))
    np.testing.assert_allclose(made, expected, atol=0.01)


def test_a_session_goes_on_as_long_as_it_is_spoken_to(avatar: ClipAvatar) -> None:
    session = mdth.open_session(avatar)
    frames = [*session.feed(silence(3.5)), *session.finish()]
    assert (session.size, session.fps, len(frames)) == ((288, 288), FPS, 88)
    assert {frame.shape for frame in frames} == {(288, 288, 3)}


def test_the_point_says_who(avatar: ClipAvatar, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    found = "mdth.embedded.clip.avatar.follow"
    monkeypatch.setattr(found, lambda *_, **choices: asked.update(choices) or avatar.person)
    mdth.prepare(CLIP, point="20,30")
    assert asked["point"] == (20, 30)


def test_twins_keep_their_clips(
    mdth: Callable[..., Any], twin_home: Path, short_path: Path
) -> None:
    """Prepared by itself, filmed in a batch; the video is the clip's first second."""
    for kind, file in (("video", CLIP), ("audio", short_path)):
        folder = twin_home / "store/raw/t1" / kind
        folder.mkdir(parents=True)
        shutil.copy(file, folder)
    assert mdth("preprocess", "t1", "--keep", "clip").code == 0
    assert "nothing to do" in mdth("preprocess", "t1", "--keep", "clip", "--dry-run").out
    ended = mdth("batch", "--twins", "t", "--task", "inference", "--preview")
    assert ended.code == 0, ended.err + ended.out
    film = open_film(twin_home / "home/warping-serving/t1/th/output.mp4")
    assert ((film.width, film.height), len([*film.frames()])) == ((288, 288), FPS)


def test_the_command_and_a_saved_avatar(
    mdth: Callable[..., Any], tmp_path: Path, avatar: ClipAvatar, portrait_path: Path
) -> None:
    saved, out = tmp_path / "man.avatar", tmp_path / "out.mp4"
    engines.save(avatar, saved)
    sound = ("--preview", "-o", out)
    assert mdth("dub", saved, CLIP, *sound).code == 0
    record = json.loads((tmp_path / "out.mdth.json").read_text("utf-8"))
    assert record["frames"] == FPS and record["streams"]["kept"] == []
    refused = mdth("dub", saved, CLIP, "-o", tmp_path / "out.avi")
    assert refused.code == 1 and not (tmp_path / "out.avi").exists()
    with pytest.raises(InputError, match="X,Y"):
        assert Options.of(point="middle").portrait.point_px
