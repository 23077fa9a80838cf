"""Sentences whose p, b and m are shut: the labels, and what the shipped decoder learnt of them."""

from pathlib import Path

import numpy as np
import pytest

from mdth.errors import MdthError
from mdth.face import topology
from training import closures, kokoro, models, spoken
from training.dataset import COMPONENTS, Faces

ROOT = Path(__file__).parents[2]


@pytest.fixture
def faces() -> Faces:
    """Ten clips of random faces whose jaw opens with the first component, the corners with it."""
    random = np.random.default_rng(0)
    upper, lower = topology.LIP_MID_PAIR
    basis = np.zeros((COMPONENTS, topology.VERTEX_COUNT, 3))
    basis[0, lower, 1] = 1.0
    basis[1, topology.MOUTH_CORNERS[0], 0] = 1.0
    coefficients = random.normal(0.0, 0.01, (10, 75, COMPONENTS))
    coefficients[..., 0] = np.abs(random.normal(0.05, 0.03, (10, 75)))
    coefficients[..., 1] += 0.5 * coefficients[..., 0]
    neutrals = np.zeros((10, topology.VERTEX_COUNT, 3))
    nothing = np.zeros((10, 75))
    return Faces(
        np.array([f"c{k}" for k in range(10)]), coefficients, basis, neutrals,
        nothing, nothing, np.arange(10) == 9, np.zeros((0, 2)),
    )  # fmt: skip


def test_lips_meet_on_labials_and_nowhere_else(faces: Faces) -> None:
    open_mouth = np.zeros((200, COMPONENTS))
    open_mouth[:, 0], open_mouth[:, 1] = 0.1, 0.05
    phones = [("AH", 0.0, 0.5), ("M", 0.5, 0.6), ("AH", 0.6, 1.2), ("T", 1.2, 1.3)]
    found, meetings = spoken.shut(open_mouth, phones, faces)
    assert meetings == pytest.approx([0.54])
    assert found[54, 0] == pytest.approx(spoken.SHUT_GAP, abs=1e-9)
    assert found[:42] == pytest.approx(open_mouth[:42])
    assert found[66:] == pytest.approx(open_mouth[66:])
    assert np.abs(np.diff(found[:, 0])).max() < 0.03
    # The corners come along as they do in the tracked faces.
    assert found[54, 1] - 0.05 == pytest.approx(0.5 * (spoken.SHUT_GAP - 0.1), rel=0.1)


def test_lips_that_are_shut_stay_as_they_are(faces: Faces) -> None:
    shut_mouth = np.full((100, COMPONENTS), -0.01)
    found, _ = spoken.shut(shut_mouth, [("B", 0.4, 0.5)], faces)
    assert found == pytest.approx(shut_mouth)


def test_held_out_sentences_and_voices_are_not_trained_on() -> None:
    training, held_out = spoken.sentences()
    assert len(held_out) == spoken.LAST_HELD_OUT
    assert not set(training) & set(held_out)
    voices = ["af_heart", "af_bella", "af_nova", "am_michael", "am_adam", "am_eric"]
    plans = [spoken.plan(k, "text", voices, held_out=False) for k in range(50)]
    used = {part.split(":")[0] for _, voice, _ in plans for part in voice.split(",")}
    assert used == set(voices) - set(spoken.HELD_OUT)
    assert spoken.plan(1, "text", voices, held_out=True)[1] in spoken.HELD_OUT


def test_a_session_is_made_of_spoken_sentences(faces: Faces, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from training import sessions

    dataset, folder = tmp_path / "set", tmp_path / "spoken"
    dataset.mkdir()
    folder.mkdir()
    faces.save(dataset)
    np.save(dataset / "sounds.npy", np.zeros((10, 48000), np.int16))
    sound = np.sin(np.arange(16000) * 0.1).astype(np.float32)
    kokoro.write_wav(folder / "train_000.wav", sound, 16000)
    rows = np.zeros((100, COMPONENTS), np.float32)
    rows[:, 0] = 0.07
    np.savez(
        folder / "train_000.npz", times=np.arange(100) / 100, coefficients=rows,
        closures=np.array([0.5]),
    )  # fmt: skip
    made = sessions.make_session(sessions.Library(dataset, spoken=folder), np.random.default_rng(0))
    assert len(made.closures) == sessions.SENTENCES_PER_SESSION
    assert made.coefficients[:, 0].max() == pytest.approx(0.07, abs=1e-3)


@pytest.mark.parametrize("name", ["speech", "short"])
def test_the_shipped_decoder_shuts_the_examples_lips(name: str) -> None:
    """Of two sentences and voices that no training saw, every p, b and m."""
    try:
        models.encoder()
    except MdthError as error:
        pytest.skip(str(error))
    wav = ROOT / f"examples/{name}.wav"
    phones = closures.read_phones(wav.with_suffix(".tsv"))
    found = closures.smallest_gaps(closures.lip_gaps(wav), phones)
    assert set(found) == set(closures.LABIALS)
    assert max(gap for gaps in found.values() for gap in gaps) < closures.SHUT


def test_endings_of_words_are_said() -> None:
    words = {"hop": "hˈɑp", "hope": "hˈOp", "plan": "plˈæn", "mend": "mˈɛnd", "move": "mˈuv"}
    said = kokoro.phonemes_of("hoped hopped planning mended moved moves", words)
    assert said == "hˈOpt hˈɑpt plˈænɪŋ mˈɛndᵻd mˈuvd mˈuvz"
