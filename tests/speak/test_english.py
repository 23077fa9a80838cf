"""A text becomes sounds: numbers in words, acronyms spelled, and nothing is left out in silence."""

import string
import sys
from typing import Any

import pytest

from mdth.errors import InputError, MissingDependency
from mdth.speak import english
from tests.support.raising import raises

WORDS: dict[str, Any] = {
    **{"lip": "lˈɪp", "voice": "vˈYs", "apple": "ˈæpəl", "my": {"DEFAULT": "mI"}, "he": "hi"},
    **{"left": "lˈɛft", "and": "ænd", "phone": "fˈOn", "Chat": "ʧˈæt", "NASA": "nˈæsə", "I": "I"},
    **{"year": "jˈɪɹ", "old": "ˈOld", "stop": "stˈɑp", "live": "lˈIv", "stream": "stɹˈim"},
    **{letter: f"ˈ{letter.lower()}" for letter in string.ascii_uppercase if letter != "I"},
}
HAS_DAMGA = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="the package damga has no wheels for Python 3.14"
)


def said(text: str) -> list[str]:
    return [symbols for _, symbols in english.sentences(text, WORDS)]


@HAS_DAMGA
@pytest.mark.parametrize(("text", "words"), [
    ("We made 25 videos in 2026.", "We made twenty five videos in twenty twenty six."),
    ("It costs $12.50 or €3.", "It costs twelve dollars fifty cents or three euros."),
    ("On Jan. 5, 2026, 50% came.", "On January fifth twenty twenty six, fifty percent came."),
    ("the 23rd, 5 km, -5 °C", "the twenty third, five kilometers, minus five degrees"),
    ("at 10:30 a.m. or 5pm", "at ten thirty ayem or five peeem"),
    ("Dr. Smith, e.g. 1,000 x", "doctor Smith, for example one thousand x"),
    ("3.5 GHz & #9", "three point five gigahertz and number nine"),
    ("PDF/HTML, U.S.A.", "PDF slash HTML, USA"),
    ("12/25/2026", "twelve slash twenty five slash twenty twenty six"),
    ("I am a man.", "I am a man."), ("“Anna’s”", "Anna's"),
])  # fmt: skip
def test_numbers_and_signs_are_words(text: str, words: str) -> None:
    assert english.spoken(text).split() == words.split()


@pytest.mark.parametrize(("text", "symbols"), [
    ("My lips, voices: B.", ["mI lˈɪps, vˈYsᵻz: ˈb."]),
    ("the [Kokoro](/kˈOk/) the apple", ["ðə kˈOk ði ˈæpəl"]),
    ("He left! And my year-old voice… stop", ["hi lˈɛft!", "ænd mI jˈɪɹ ˈOld vˈYs…", "stˈɑp"]),
    ("CPUs, NASA's iPhone, ChatGPT", ["ˌcˌpˈuz, nˈæsəz I fˈOn, ʧˈæt ˌgˌpˈt"]),
    ("LIVESTREAM livestream (old)", ["lˈIvstɹˌim lˈIvstɹˌim, ˈOld"]),
    ("My voice.\n\nMy lip", ["mI vˈYs.", "mI lˈɪp"]),
])  # fmt: skip
def test_words_become_sounds(text: str, symbols: list[str]) -> None:
    assert said(text) == symbols


@HAS_DAMGA
def test_a_full_stop_within_a_sentence_does_not_end_it() -> None:
    words = {**WORDS, "mister": "m", "et": "e", "cetera": "s"}
    found = english.sentences("Mr. J. He left. He left etc. he left", words)
    assert [sentence for sentence, _ in found] == ["Mr. J. He left.", "He left etc. he left"]


@pytest.mark.parametrize(("text", "named"), [
    ("my xylograph and blorf", "xylograph, blorf"), ("my voice \U0001f642", "\U0001f642"),
    ("你好 my lip", "你好"), ("", "nothing to say"), ("…!", "nothing to say"),
    ("my \x00 lip",  "\ufffd"), ("my ²½ lip", "cannot be said"),
])  # fmt: skip
def test_what_cannot_be_said_is_named(text: str, named: str) -> None:
    raises(InputError, named, said, text)


def test_a_long_sentence_is_said_in_breaths() -> None:
    long = "my lip and voice, " * 60
    assert " ".join(said(long)) == ", ".join(said("my lip and voice") * 60)
    assert max(map(len, said(long))) <= english.LONGEST
    assert max(map(len, said("voice " * 200))) <= english.LONGEST


def test_names_are_in_cmus_dictionary() -> None:
    words = english.dictionary(
        [{"lip": "first"}, {"lip": "x", "b": "b"}], "lip L IH P\nabdul AE B D UH L"
    )
    assert words == {"lip": "first", "b": "b", "abdul": "ˈæbdʊl"}


def test_numbers_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "damga", None)
    english._normalizer.cache_clear()
    raises(MissingDependency, r"mdth\[speak\]", english.spoken, "25 videos")
    assert english.spoken("no number") == "no number"
