"""VOCASET and BIWI folders in their published formats, and what is wrong with damaged ones."""

import pickle
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the seed's network needs torch (extra train)")
pytest.importorskip("scipy", reason="sounds are resampled by scipy (extra train)")

from mdth.errors import ArtefactError, MissingInput  # noqa: E402
from tests.support import made_up_sets, people_made_up  # noqa: E402
from tests.support.bomb import Bomb  # noqa: E402
from tests.support.raising import raises  # noqa: E402
from training import kokoro  # noqa: E402
from training.seed import biwi, corpus, vocaset  # noqa: E402
from training.seed.tracked import Tracked  # noqa: E402

SIZES = made_up_sets.Sizes(vertices=30, subjects=2, sentences=3, duration_s=1.5)


@pytest.fixture(scope="module")
def vocaset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocaset")
    made_up_sets.make_vocaset(folder, SIZES)
    return folder


@pytest.fixture(scope="module")
def biwi_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("biwi")
    made_up_sets.make_biwi(folder, SIZES)
    return folder


@pytest.fixture
def copied(vocaset_folder: Path, tmp_path: Path) -> Path:
    for file in vocaset_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_vocaset_splits_and_rates(vocaset_folder: Path) -> None:
    found = vocaset.Vocaset(vocaset_folder)
    counts = {split: len(corpus.of_split(found, split)) for split in corpus.SPLITS}
    assert counts == {"train": 6, "val": 6, "test": 6}
    assert found.config.names == vocaset.TRAINING[:2]
    assert (found.config.vertices, found.config.subjects, found.config.fps) == (30, 2, 30)
    first = found.clips[0]
    assert (first.name, first.subject) == (f"{vocaset.TRAINING[0]}_sentence01", vocaset.TRAINING[0])
    assert found.sound(first).shape == (24_000,) and found.sound(first).dtype == np.float32
    meshes = found.vertices(first)
    assert meshes.shape == (45, 30, 3) and meshes.dtype == np.float32
    np.testing.assert_array_equal(meshes, np.load(vocaset_folder / "data_verts.npy")[:90:2])


def test_rows_in_any_order_and_elsewhere(copied: Path) -> None:
    """The frames' rows decide, not their order in the file."""
    before = vocaset.Vocaset(copied)
    clip = before.clips[4]
    wanted = before.vertices(clip)
    meshes = np.load(copied / "data_verts.npy")
    order = np.random.default_rng(0).permutation(len(meshes))
    place = np.argsort(order)
    rows = pickle.loads((copied / "subj_seq_to_idx.pkl").read_bytes())
    moved = {
        subject: {
            sentence: {frame: int(place[row]) for frame, row in reversed(list(frames.items()))}
            for sentence, frames in sentences.items()
        }
        for subject, sentences in rows.items()
    }
    np.save(copied / "data_verts.npy", meshes[order])
    (copied / "subj_seq_to_idx.pkl").write_bytes(pickle.dumps(moved, 2))
    np.testing.assert_array_equal(vocaset.Vocaset(copied).vertices(clip), wanted)


def test_sound_keeps_its_loudness_over_time(vocaset_folder: Path) -> None:
    """At 16 kHz the hum is where it was: correlated with the opening of the mesh."""
    found = vocaset.Vocaset(vocaset_folder)
    clip = found.clips[1]
    sound = found.sound(clip)
    loudness = np.array([part.std() for part in np.array_split(sound, 45)])
    assert np.corrcoef(loudness, -corpus.offsets(found, clip)[:, 0, 1])[0, 1] > 0.9


@pytest.mark.parametrize(("kind", "shape"), [("i2", (2200,)), ("f4", (2200, 2)), ("f8", (2, 2200))])
def test_sounds_of_any_kind(kind: str, shape: tuple[int, ...]) -> None:
    level = 16_384 if kind == "i2" else 0.5
    found = vocaset.at_speech_rate(np.full(shape, level, kind), 22_000)
    assert (found.shape, found[400:1200]) == ((1600,), pytest.approx(0.5, abs=0.01))


def test_missing_sound_leaves_its_sentence_out(copied: Path) -> None:
    sounds = pickle.loads((copied / "raw_audio_fixed.pkl").read_bytes())
    del sounds[vocaset.TRAINING[0]]["sentence02"]
    (copied / "raw_audio_fixed.pkl").write_bytes(pickle.dumps(sounds, 2))
    assert len(corpus.of_split(vocaset.Vocaset(copied), "train")) == 5


def test_damaged_vocaset(copied: Path) -> None:
    (copied / "templates.pkl").rename(copied / "gone")
    raises(MissingInput, r"no templates\.pkl", vocaset.Vocaset, copied)
    (copied / "gone").rename(copied / "templates.pkl")
    whole = (copied / "raw_audio_fixed.pkl").read_bytes()
    (copied / "raw_audio_fixed.pkl").write_bytes(whole[:-100])
    raises(ArtefactError, r"raw_audio_fixed\.pkl", vocaset.Vocaset, copied)
    (copied / "raw_audio_fixed.pkl").write_bytes(whole)
    np.save(copied / "data_verts.npy", np.zeros((7, 30, 3), np.float32))
    found = vocaset.Vocaset(copied)
    raises(ArtefactError, "which has 7", found.vertices, found.clips[0])
    np.save(copied / "data_verts.npy", np.zeros((7, 29, 3), np.float32))
    raises(ArtefactError, "template", vocaset.Vocaset, copied)
    np.save(copied / "data_verts.npy", np.zeros((7, 29)))
    raises(ArtefactError, "not meshes", vocaset.Vocaset, copied)


def test_nothing_in_vocasets_pickles_is_executed(copied: Path) -> None:
    table = {vocaset.TRAINING[0]: {"sentence01": Bomb(Path.touch, copied / "exploded")}}
    (copied / "raw_audio_fixed.pkl").write_bytes(pickle.dumps(table))
    raises(ArtefactError, "not loaded", vocaset.Vocaset, copied)
    assert not (copied / "exploded").exists()


def test_biwi_splits(biwi_folder: Path) -> None:
    found = biwi.Biwi(biwi_folder)
    by_split = {split: [c.name for c in corpus.of_split(found, split)] for split in corpus.SPLITS}
    assert by_split == {
        "train": ["F2_e01", "F3_e01"],
        "val": ["F2_e33", "F3_e33"],
        "test": ["F1_e37", "F2_e37", "F3_e37", "F5_e37"],
    }
    assert found.config.names == ("F2", "F3")
    clip = corpus.of_split(found, "train")[0]
    meshes = found.vertices(clip)
    assert meshes.shape == (38, 30, 3) and found.sound(clip).shape == (24_000,)
    rows = np.load(biwi_folder / "vertices_npy/F2_e01.npy")
    np.testing.assert_array_equal(meshes.reshape(38, -1), rows)


def test_incomplete_biwi(biwi_folder: Path, tmp_path: Path) -> None:
    raises(MissingInput, "put BIWI's there", biwi.Biwi, tmp_path)
    for part in ("vertices_npy", "templates.pkl"):
        (tmp_path / part).symlink_to(biwi_folder / part)
    raises(MissingInput, "no sound for 8 takes", biwi.Biwi, tmp_path)


def test_tracked_clips_of_one_person_are_a_set(tmp_path: Path) -> None:
    rng, neutral = np.random.default_rng(0), people_made_up.neutral_face()
    gaps = np.where(np.arange(50) < 25, 0.0, 0.2)
    faces = neutral + gaps[:, None, None] * people_made_up.planted_basis()[0]
    for name in [f"c{i:02}" for i in range(20)]:
        (tmp_path / "clips").mkdir(exist_ok=True)
        found = {"mesh": (300 + 90 * faces).astype(np.float32), "found": np.ones(50, bool)}
        np.savez(tmp_path / f"{name}.npz", **found, fps=25.0)
        sound = np.repeat(gaps, 640) * rng.normal(0, 1, 32_000)
        kokoro.write_wav(tmp_path / f"clips/{name}.wav", sound, 16_000)
    made = Tracked(tmp_path / "clips", tmp_path)
    # The pose is that of the canonical face, which theirs is not quite.
    assert made.templates["speaker"] == pytest.approx(made.vertices(made.clips[0])[3], abs=1e-4)
    assert [clip.split for clip in made.clips] == ["train"] * 18 + ["val", "test"]
    last = made.clips[-1]
    assert (last.name, made.vertices(last).shape) == ("c19", (50, 478, 3))
    assert np.abs(made.sound(last) - sound.clip(-1, 1)).max() < 1e-4
    (tmp_path / "other").mkdir()
    (tmp_path / "other/b.wav").touch()
    raises(MissingInput, "no track of any clip", Tracked, tmp_path / "other", tmp_path)
