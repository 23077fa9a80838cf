"""English text -> sentences in Kokoro's symbols, which are those of its dictionaries, Misaki's.

Numbers, dates and money become words by Damga's grammars. What cannot be said is named in an error
and never left out; any word can be written with its sounds: `[Kokoro](/kˈOkəɹO/)`.
"""

import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from mdth.errors import InputError, MissingDependency

Dictionary = Mapping[str, Any]
LONGEST = 400  # symbols said in one breath; the model takes 509
# Characters: the grammars' time grows with the square of a sentence.
LONGEST_SENTENCE, LONGEST_WORD = 300, 40

# As said inside a sentence; and what no dictionary has.
WEAK = {"a": "ɐ", "the": "ðə", "to": "tə", "an": "ən"}
WEAK |= {"ayem": "ˌAˈɛm", "peeem": "pˌiˈɛm", "gigahertz": "ɡˈɪɡəhˌɜɹts"}
MARK = re.compile(r"(\[[^\]]*\]\(/[^/]*/\))")
SIGNS = {
    **{"&": "and", "+": "plus", "=": "equals", "@": "at", "/": "slash", "#": "number"},
    **{"%": "percent", "°": "degrees", "×": "times", "€": "euros", "$": "dollars", "£": "pounds"},
}
WHEN = {"a": "ayem", "p": "peeem"}
QUIET = str.maketrans({
    **dict.fromkeys("‘’ʼ`´", "'"), **dict.fromkeys("“”«»„*_~|^<>\\\u200b\ufeff", " "), "\"": " ",
    **dict.fromkeys("()[]{}", ","), "\0": "\ufffd", **dict.fromkeys("–―−", "—"), "\t": " ",
})  # fmt: skip
# What a full stop follows without ending a sentence.
SHORT = "Mr Mrs Ms Dr Prof St Jr Sr vs etc No Inc Ltd Co Mt Gen Sen Rep Fig Vol Jan Feb Mar Apr"
SHORT += " Jun Jul Aug Sep Sept Oct Nov Dec approx e.g i.e a.m p.m"
END = re.compile(
    "".join(rf"(?<!\b{re.escape(word)}\.)" for word in SHORT.split())
    + r"(?<!\b[A-Z]\.)(?<=[.!?…])[\"'”’)\]]*\s+|\s*\n\s*\n\s*"
)
WRITTEN = re.compile(
    rf"\d|\w\.\w|[^\w\s,.;:!?'—…-]|\b(?:{'|'.join(map(re.escape, SHORT.split()))})\."
)
# Words, pauses, what is between words, and what has no sound.
TOKENS = re.compile(r"([^\W\d_]+(?:['-][^\W\d_]+)*)|([,.;:!?—…])|([\s'-]+)|(.)")
PARTS = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]")
ARPABET = dict(
    pair.split("=")
    for pair in (
        "AA=ɑ AE=æ AH=ə AO=ɔ AW=W AY=I B=b CH=ʧ D=d DH=ð EH=ɛ ER=ɜɹ EY=A F=f G=ɡ HH=h IH=ɪ IY=i "
        "JH=ʤ K=k L=l M=m N=n NG=ŋ OW=O OY=Y P=p R=ɹ S=s SH=ʃ T=t TH=θ UH=ʊ UW=u V=v W=w Y=j Z=z "
        "ZH=ʒ"
    ).split()
)
VOWEL = "AIOQWYɑæaɒɔɛɪiʌəɜ"


def dictionary(tables: Iterable[Dictionary], pronouncing: str) -> Dictionary:
    """Words to sounds: the first of Misaki's tables that has one, else CMU's, without stress there.

    pronouncing: lines such as `abandon AH B AE N D AH N`. The first vowel gets the stress.
    """
    words: dict[str, Any] = {}
    for word, *phones in map(str.split, reversed(pronouncing.splitlines())):
        sounds = "".join(map(ARPABET.__getitem__, phones))
        words[word] = re.sub(
            rf"[{VOWEL}]", lambda first: "ˈ" + first[0].replace("ə", "ʌ"), sounds, count=1
        )
    for table in reversed([*tables]):
        words |= table
    return words


def sentences(text: str, dictionary: Dictionary) -> Iterator[tuple[str, str]]:
    """Each sentence of a text, and what is said of it, at most LONGEST symbols at a time.

    Raises InputError that names the words that cannot be said, MissingDependency.
    """
    found: list[tuple[str, str]] = []
    missing: list[str] = []
    for sentence in (piece for part in END.split(text) for piece in _short(part.strip())):
        symbols = _symbols(sentence, dictionary, missing)
        found += [(sentence, piece) for piece in _breaths(symbols) if piece.strip(",.;:!?—… ")]
    if missing:
        words = ", ".join(list(dict.fromkeys(missing))[:10])
        raise InputError(f"cannot be said: {words}; write [word](/sounds/), or other words")
    if not found:
        raise InputError("the text has nothing to say")
    yield from found


def _short(sentence: str) -> list[str]:
    if len(sentence) <= LONGEST_SENTENCE:
        return [sentence] if sentence else []
    return textwrap.wrap(sentence, LONGEST_SENTENCE, break_on_hyphens=False)


def _symbols(sentence: str, dictionary: Dictionary, missing: list[str]) -> str:
    symbols = ""
    for number, piece in enumerate(MARK.split(sentence)):
        if number % 2:
            symbols += " " + piece.rpartition("(/")[2].removesuffix("/)")
            continue
        for word, pause, _, other in TOKENS.findall(spoken(piece)):
            said = _said(word, dictionary)
            symbols += pause or (f" {said}" if said else "")
            missing += [word + other] if other or (word and not said) else []
    # "the" before a vowel is not the same word as "the" before a consonant.
    symbols = re.sub(rf"ðə(?= [ˈˌ]?[{VOWEL}])", "ði", symbols.strip(" ,"))
    return re.sub(r"([,;:—])[\s,;:—]*(?=[,.;:!?—…])", "", re.sub(r"\s+", " ", symbols))


def _breaths(symbols: str) -> Iterator[str]:
    """The symbols, in pieces where they are too many, at pauses rather than between words."""
    while len(symbols) > LONGEST:
        near = symbols[:LONGEST]
        cut = max(map(near.rfind, ",;:—")) + 1 or near.rfind(" ") + 1 or LONGEST
        yield symbols[:cut].strip()
        symbols = symbols[cut:].strip()
    yield symbols


def spoken(text: str) -> str:
    """A sentence with its numbers and signs as words. Raises MissingDependency."""
    text = re.sub(r"\.{3,}", "…", unicodedata.normalize("NFC", text).translate(QUIET))
    if WRITTEN.search(text):
        normalize = _normalizer()
        text = normalize(text)
        text = re.sub(r"\d+", lambda digits: f" {normalize(digits[0])} ", text)
    text = re.sub(r"\b(?<!')([ap])[ .]m\b\.?", lambda half: WHEN[half[1]], text)
    text = re.sub(
        r"\b(?:[A-Za-z]\.){2,}", lambda letters: letters[0].replace(".", "").upper(), text
    )
    return "".join(f" {SIGNS[sign]} " if sign in SIGNS else sign for sign in text)


@cache
def _normalizer() -> Callable[[str], str]:
    try:
        from damga import TextNormalizer
    except ImportError as error:
        raise MissingDependency(
            "numbers and signs are spoken by the package damga; run: pip install 'mdth[speak]'"
        ) from error
    normalize: Callable[[str], str] = TextNormalizer(lang="en").normalize
    return normalize


def _said(word: str, dictionary: Dictionary) -> str:
    """The sounds of a word as the text has it, empty if it cannot be said."""
    if "-" in word and not _look_up(word, dictionary):
        parts = [_said(part, dictionary) for part in word.split("-")]
        return " ".join(parts) if all(parts) else ""
    if len(word) > LONGEST_WORD:
        return ""
    halves = ((word[:at], word[at:]) for at in range(len(word) - 3, 2, -1))
    both = ([_look_up(half, dictionary) for half in pair] for pair in halves)
    compound = (first + last.replace("ˈ", "ˌ") for first, last in both if first and last)
    return _look_up(word, dictionary) or next(compound, "") or _spelled(word, dictionary)


def _look_up(word: str, dictionary: Dictionary) -> str:
    """The dictionary's sounds of a word, also of one with -s, -ed or -ing; empty if unknown."""
    lower = word.lower()
    plain = "".join(
        it for it in unicodedata.normalize("NFD", lower) if not unicodedata.combining(it)
    )
    entry = WEAK.get(lower) or next(filter(None, map(dictionary.get, (word, lower, plain))), None)
    entry = entry or dictionary.get(lower.capitalize())
    if isinstance(entry, dict):
        entry = entry["DEFAULT"]
    if entry:
        return str(entry)
    for ending in ("'s", "s", "ed", "ing"):
        stems = _stems(word, ending) if word.endswith(ending) else []
        found = next(filter(None, (_look_up(stem, dictionary) for stem in stems)), "")
        if found:
            return found + _ending_sounds(found[-1], ending)
    return ""


def _spelled(word: str, dictionary: Dictionary) -> str:
    """The sounds of CPU, CPUs, iPhone and ChatGPT: letters and words; empty if it is none such."""
    if word[1:].islower() and not set(word.lower()) & set("aeiouy"):
        word = word.upper()
    if word.islower() or word.istitle():
        return ""
    ending = "z" if re.fullmatch(r"[A-Z]{2,}'?s", word) else ""
    parts = PARTS.findall(word.removesuffix("s").removesuffix("'") if ending else word)
    said = [
        _look_up(part, dictionary) if len(part) > 1 and not part.isupper() else
        "".join(str(dictionary.get(letter, "")) for letter in part.upper()).replace("ˈ", "ˌ")
        for part in parts
    ]  # fmt: skip
    if not all(said) or sum(map(len, parts)) < len(word.replace("'", "")) - bool(ending):
        return ""
    before, _, last = " ".join(said).rpartition("ˌ")
    return (f"{before}ˈ{last}" if before else " ".join(said)) + ending


def _stems(word: str, ending: str) -> list[str]:
    """What a word may be without its ending; hoped is of hope, and hopped of hop."""
    stem = word.removesuffix(ending)
    if len(stem) < 2:
        return []
    if ending.endswith("s"):
        return [stem]
    doubled = [stem[:-1]] if stem[-1] == stem[-2] else []
    return [f"{stem}e", stem, *doubled]


def _ending_sounds(last: str, ending: str) -> str:
    """How -s, -ed or -ing sounds after a word's last sound."""
    if ending == "ing":
        return "ɪŋ"
    if ending.endswith("s"):
        return "ᵻz" if last in "szʃʒʧʤ" else "s" if last in "ptkfθ" else "z"
    return "ᵻd" if last in "td" else "t" if last in "pkfθsʃʧ" else "d"
