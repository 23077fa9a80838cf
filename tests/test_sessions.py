"""Sound in, frames out: those of the file, whatever the blocks and whoever else speaks."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mdth
from mdth.engine import Avatar
from mdth.media.audio import read_blocks
from seed_home import moving_clip, seed_common, seed_home  # noqa: F401 (fixtures)
from tests.support.raising import raises

CHOICES = {"fps": 25, "random_seed": 5}


@pytest.fixture(scope="module")
def sound(short_path: Path) -> np.ndarray:
    """1.5 s."""
    return np.concatenate(list(read_blocks(short_path)))[:24_000]


@pytest.fixture(scope="module")
def avatar(portrait_path: Path, checkpoints: Path) -> Avatar:
    return mdth.prepare(portrait_path, max_size=256)


def said(avatar: Avatar, blocks: list[np.ndarray], **choices: Any) -> list[str]:
    """Hashes of the frames."""
    session = mdth.open_session(avatar, **{**CHOICES, **choices})
    frames = [frame for block in blocks for frame in session.feed(block)]
    frames += session.finish()
    width, height = session.size
    assert {frame.shape for frame in frames} == {(height, width, 3)}
    return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames]


def cut(sound: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Blocks of all sizes, some of them empty."""
    random, at = np.random.default_rng(seed), 0
    while at < len(sound):
        size = int(random.choice([0, 1, 160, 999, 5000]))
        yield sound[at : at + size]
        at += size


def filmed(folder: Path, avatar: Avatar, speech: Path, **choices: Any) -> list[str]:
    """The same of the file way, 1 s of it."""
    with (folder / "frames").open("wb") as file:
        made = mdth.talk(avatar, speech, file, preview=True, **{**CHOICES, **choices})
    frames = np.fromfile(folder / "frames", np.uint8).reshape(made["frames"], -1)
    return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames]


def test_blocks_of_any_size_give_the_frames_of_the_file(
    avatar: Avatar, sound: np.ndarray, short_path: Path, tmp_path: Path
) -> None:
    second = sound[:16_000]
    of_file = filmed(tmp_path, avatar, short_path)
    assert len(of_file) == 25 and len(set(of_file)) > 20
    for seed in range(3):
        assert said(avatar, list(cut(second, seed))) == of_file


def test_frames_come_as_soon_as_they_are_final(avatar: Avatar, sound: np.ndarray) -> None:
    session = mdth.open_session(avatar, **CHOICES)
    assert session.fps == 25 and 0.2 < session.look_ahead_s < 0.5
    came = heard = 0
    for start in range(0, len(sound), 800):
        came += len(list(session.feed(sound[start : start + 800])))
        heard = start + 800
        assert came >= int((heard / 16_000 - session.look_ahead_s) * 25) - 1
        assert came <= heard / 16_000 * 25
    assert came + len(list(session.finish())) == round(len(sound) / 16_000 * 25)


def test_what_is_not_taken_at_once_is_not_lost(avatar: Avatar, sound: np.ndarray) -> None:
    session = mdth.open_session(avatar, **CHOICES)
    session.feed(sound[:16_000])
    frames = [*session.feed(sound[16_000:]), *session.finish()]
    assert len(frames) == round(len(sound) / 16_000 * 25)


def test_two_sessions_in_two_threads_give_what_they_give_alone(
    avatar: Avatar, portrait_path: Path, sound: np.ndarray
) -> None:
    other = mdth.prepare(portrait_path, max_size=200)
    jobs = [(avatar, list(cut(sound, 1))), (other, list(cut(sound[::-1].copy(), 2)))]
    alone = [said(*job) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda job: said(*job), jobs))
    assert together == alone
    # The same avatar twice at a time, too: a renderer is one session's.
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: said(*jobs[0]), range(2))) == [alone[0]] * 2


def test_too_little_sound_and_a_session_that_is_broken_off(
    avatar: Avatar, sound: np.ndarray
) -> None:
    session = mdth.open_session(avatar)
    assert list(session.feed(sound[:4000])) == []
    with pytest.raises(mdth.SpeechTooShort, match=r"0\.25 s; at least 0\.3 s"):
        list(session.finish())
    broken = mdth.open_session(avatar)
    next(broken.feed(sound))
    broken.close()
    broken.close()
    with pytest.raises(mdth.InputError, match="prepared for the engine embedded, not seed"):
        mdth.open_session(avatar, engine="seed")


def test_the_seeds_engine(
    seed_home: Path,  # noqa: F811
    portrait_path: Path,
    moving_clip: Path,  # noqa: F811
    short_path: Path,
    sound: np.ndarray,
) -> None:
    for clip in (None, moving_clip):
        avatar = mdth.prepare(portrait_path, video=clip, engine="seed")
        of_file = filmed(seed_home, avatar, short_path, fps=5)
        assert said(avatar, list(cut(sound[:16_000], 7)), fps=5) == of_file
    jobs = [(avatar, [sound[:16_000]]), (avatar, [sound[8000:]])]
    alone = [said(*job, fps=5) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda job: said(*job, fps=5), jobs)) == alone


def test_what_is_no_sound_or_comes_too_late_is_refused(avatar: Avatar, sound: np.ndarray) -> None:
    session = mdth.open_session(avatar, **CHOICES)
    for block in (sound[None], np.array(["a"]), sound.astype(np.int32)):
        raises(mdth.InputError, "mono", session.feed, block)
    frames = [*session.feed(sound), *session.finish()]
    raises(mdth.InputError, "has ended", session.feed, sound)
    assert len(frames) == 38
    damaged = sound.copy()
    damaged[8_000:8_100:2], damaged[8_001:8_100:2] = np.nan, np.inf
    assert len(said(avatar, [damaged])) == 38
    assert said(avatar, [(sound * 32_768).astype(np.int16)]) == said(
        avatar, [(sound * 32_768).astype(np.int16) / np.float32(32_768)]
    )


def test_an_avatar_is_saved_and_loaded(avatar: Avatar, sound: np.ndarray, tmp_path: Path) -> None:
    from mdth import engines

    avatar.save(tmp_path)
    files = {
        kind: {path.name: path for path in (tmp_path / kind).glob("*")}
        for kind in ("image", "video")
    }
    loaded = engines.get(avatar.engine).load(files)
    np.testing.assert_array_equal(loaded.portrait.image, avatar.portrait.image)
    assert len(said(loaded, [sound])) == len(said(avatar, [sound]))
