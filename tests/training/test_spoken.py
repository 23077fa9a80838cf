"""Sentences whose p, b and m are shut: the labels, and what the shipped decoder learnt of them."""

from pathlib import Path

import numpy as np
import pytest

from mdth.errors import MdthError
from mdth.speak import english
from tests.support import people_made_up as made_up
from training import closures, models, spoken

ROOT = Path(__file__).parents[2]
PEOPLE = made_up.people()


def test_lips_meet_on_labials_and_nowhere_else() -> None:
    open_mouth = np.zeros((200, made_up.COMPONENTS))
    open_mouth[:, 0], open_mouth[:, 5] = 0.1, 0.05
    phones = [("AH", 0.0, 0.5), ("M", 0.5, 0.6), ("AH", 0.6, 1.2), ("T", 1.2, 1.3)]
    found, meetings = spoken.shut(open_mouth, phones, PEOPLE)
    assert meetings == pytest.approx([0.54])
    assert found[54, 0] == pytest.approx(spoken.SHUT_GAP, abs=1e-9)
    assert found[:42] == pytest.approx(open_mouth[:42])
    assert found[66:] == pytest.approx(open_mouth[66:])
    assert np.abs(np.diff(found[:, 0])).max() < 0.03
    # The chin comes along as it does in the tracked faces.
    assert found[54, 5] - 0.05 == pytest.approx(0.5 * (spoken.SHUT_GAP - 0.1), rel=0.1)


def test_held_out_sentences_and_voices_are_not_trained_on() -> None:
    training, held_out = spoken.sentences()
    assert len(held_out) == spoken.LAST_HELD_OUT
    assert not set(training) & set(held_out)
    voices = ["af_heart", "af_bella", "af_nova", "am_michael", "am_adam", "am_eric"]
    plans = [spoken.plan(k, "text", voices, held_out=False) for k in range(50)]
    used = {part.split(":")[0] for _, voice, _ in plans for part in voice.split(",")}
    assert used == set(voices) - set(spoken.HELD_OUT)
    assert spoken.plan(1, "text", voices, held_out=True)[1] in spoken.HELD_OUT


@pytest.mark.parametrize("name", ["speech", "short"])
def test_the_shipped_decoder_shuts_the_examples_lips(name: str) -> None:
    """Of two sentences and voices that no training saw, every p, b and m."""
    try:
        models.encoder()
    except MdthError as error:
        pytest.skip(str(error))
    wav = ROOT / f"src/mdth/examples/{name}.wav"
    phones = closures.read_phones(wav.with_suffix(".tsv"))
    found = closures.smallest_gaps(closures.lip_gaps(wav), phones)
    assert set(found) == set(closures.LABIALS)
    assert max(gap for gaps in found.values() for gap in gaps) < closures.SHUT


def test_endings_of_words_are_said() -> None:
    words = {"hop": "hˈɑp", "hope": "hˈOp", "plan": "plˈæn", "mend": "mˈɛnd", "move": "mˈuv"}
    ((_, said),) = english.sentences("hoped hopped planning mended moved moves", words)
    assert said == "hˈOpt hˈɑpt plˈænɪŋ mˈɛndᵻd mˈuvd mˈuvz"
