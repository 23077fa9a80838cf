"""When each phone of a GRID clip sounds, by forced alignment of the sentence its name encodes.

GRID sentences are `command colour preposition letter digit adverb`: `bbaf2n` is "bin blue at F two
now" (Cooke, Barker, Cunningham, Shao 2006). The aligner is pocketsphinx (extra `train`).
"""

import csv
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.errors import InputError, UnreadableMedia
from mdth.media.audio import read_blocks
from training.kokoro_times import SILENCE

LOG = logging.getLogger("mdth")

FRAME_S = 0.01  # of the aligner
COLUMNS = ("clip", "start_s", "end_s", "phone")
PAD_S = 0.2  # the aligner needs some quiet around the words, of the clips' own loudness:
PAD_LEVEL = 1e-3  # with a tenth of it, 2 clips in 1000 find no way through their sentence

COMMANDS = {"b": "bin", "l": "lay", "p": "place", "s": "set"}
COLOURS = {"b": "blue", "g": "green", "r": "red", "w": "white"}
PREPOSITIONS = {"a": "at", "b": "by", "i": "in", "w": "with"}
LETTERS = {letter: f"letter-{letter}" for letter in "abcdefghijklmnopqrstuvxyz"}
DIGITS = dict(
    zip("z123456789", "zero one two three four five six seven eight nine".split(), strict=True)
)
ADVERBS = {"a": "again", "n": "now", "p": "please", "s": "soon"}

# Britons said these; "/" parts what different speakers say.
SOUNDS = """
bin B IH N; lay L EY; place P L EY S; set S EH T; blue B L UW; green G R IY N; red R EH D;
white W AY T; at AE T; by B AY; in IH N; with W IH DH / W IH TH; zero Z IH R OW / Z IY R OW;
one W AH N; two T UW; three TH R IY; four F AO / F AO R; five F AY V; six S IH K S;
seven S EH V AH N; eight EY T; nine N AY N; again AH G EH N / AH G EY N; now N AW; please P L IY Z;
soon S UW N; letter-a EY; letter-b B IY; letter-c S IY; letter-d D IY; letter-e IY; letter-f EH F;
letter-g JH IY; letter-h EY CH; letter-i AY; letter-j JH EY; letter-k K EY; letter-l EH L;
letter-m EH M; letter-n EH N; letter-o OW; letter-p P IY; letter-q K Y UW; letter-r AA / AA R;
letter-s EH S; letter-t T IY; letter-u Y UW; letter-v V IY; letter-x EH K S; letter-y W AY;
letter-z Z EH D / Z IY
"""


class WordPhone(NamedTuple):
    """A phone (ARPABET without stress, or SIL), where it sounds, and the word it is part of.

    word: 0 to 5 for the six words of the sentence, -1 for silence.
    """

    phone: str
    start_s: float
    end_s: float
    word: int


def sentence(clip: str) -> list[str]:
    """The six words of a clip's name; a letter X comes as `letter-x`. Raises InputError."""
    try:
        command, colour, preposition, letter, digit, adverb = tuple(clip)
        words = [COMMANDS[command], COLOURS[colour], PREPOSITIONS[preposition]]
        return [*words, LETTERS[letter], DIGITS[digit], ADVERBS[adverb]]
    except (KeyError, ValueError) as error:
        raise InputError(f"{clip}: not the name of a GRID clip, such as bbaf2n") from error


class Aligner:
    """Phone times of GRID sentences; use one for many clips."""

    def __init__(self) -> None:
        import pocketsphinx

        with tempfile.TemporaryDirectory() as folder:
            words = Path(folder) / "grid.dict"
            words.write_text(_dictionary(), encoding="utf-8")
            self._decoder: Any = pocketsphinx.Decoder(
                lm=None,
                dict=str(words),
                samprate=SPEECH_RATE_HZ,
                loglevel="FATAL",
                cmn="batch",
            )

    def align(self, samples: FloatArray, words: list[str]) -> list[WordPhone]:
        """The phones of samples [N] at 16 kHz (full scale 1.0), end to end from 0 to N/16000 s.

        Raises UnreadableMedia if the words cannot be found in the sound.
        """
        pad = np.random.default_rng(0).normal(0.0, PAD_LEVEL, round(PAD_S * SPEECH_RATE_HZ))
        loud = samples * (0.5 / max(float(np.abs(samples).max()), 1e-6))
        pcm = np.round(np.concatenate([pad, loud, pad]) * 32767.0).astype("<i2").tobytes()
        try:
            self._decoder.set_align_text(" ".join(words))
            self._pass(pcm)
            self._decoder.set_alignment()
            self._pass(pcm)
            found = list(_phones(self._decoder.get_alignment()))
        except (RuntimeError, TypeError) as error:
            raise UnreadableMedia(f"cannot be aligned with {' '.join(words)}: {error}") from error
        if len({phone.word for phone in found if phone.word >= 0}) != len(words):
            raise UnreadableMedia(f"not all of {' '.join(words)} is heard")
        return _end_to_end(found, len(samples) / SPEECH_RATE_HZ)

    def _pass(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()


def read_sound(path: Path) -> FloatArray:
    """All samples float32 [N] of a short clip, mono, 16 kHz. Raises InputError."""
    return np.concatenate(list(read_blocks(path)))


def align_clips(clips: Iterable[Path], output: Path) -> dict[str, list[WordPhone]]:
    """Align clips and write all their phones to a table (clip, start_s, end_s, phone).

    A clip that cannot be aligned is left out, with a warning that names it.
    """
    aligner = Aligner()
    phones: dict[str, list[WordPhone]] = {}
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(COLUMNS)
        for path in clips:
            try:
                phones[path.stem] = aligner.align(read_sound(path), sentence(path.stem))
            except InputError as error:
                LOG.warning("%s: left out: %s", path.name, error)
                continue
            for p in phones[path.stem]:
                table.writerow((path.stem, f"{p.start_s:.3f}", f"{p.end_s:.3f}", p.phone))
    return phones


def pronunciations() -> dict[str, list[list[str]]]:
    """Word -> the ways to say it, each a list of phones."""
    entries = (entry.split(maxsplit=1) for entry in SOUNDS.split(";"))
    return {word: [way.split() for way in sounds.split("/")] for word, sounds in entries}


def _dictionary() -> str:
    """The pronunciations as the aligner reads them: a line each, further ways as `word(2)`."""
    lines = []
    for word, ways in pronunciations().items():
        for number, way in enumerate(ways, start=1):
            lines.append(f"{word if number == 1 else f'{word}({number})'} {' '.join(way)}")
    return "\n".join(lines) + "\n"


def _phones(alignment: Any) -> Iterator[WordPhone]:
    """The aligner's answer as phones, still on the padded time axis."""
    index = -1
    for word in alignment:
        silent = word.name.startswith(("<", "["))
        index += not silent
        for phone in word:
            start_s = phone.start * FRAME_S
            name = SILENCE if silent else phone.name
            end_s = start_s + phone.duration * FRAME_S
            yield WordPhone(name, start_s, end_s, -1 if silent else index)


def _end_to_end(phones: list[WordPhone], duration_s: float) -> list[WordPhone]:
    """Phones without the padding, silences joined, from 0 to the sound's end."""
    joined: list[WordPhone] = []
    for phone in phones:
        if joined and phone.phone == SILENCE == joined[-1].phone:
            joined[-1] = joined[-1]._replace(end_s=phone.end_s)
        else:
            joined.append(phone)
    moved = [
        phone._replace(
            start_s=min(max(phone.start_s - PAD_S, 0.0), duration_s),
            end_s=min(max(phone.end_s - PAD_S, 0.0), duration_s),
        )
        for phone in joined
    ]
    if moved[0].phone != SILENCE:
        moved.insert(0, WordPhone(SILENCE, 0.0, moved[0].start_s, -1))
    if moved[-1].phone != SILENCE:
        moved.append(WordPhone(SILENCE, moved[-1].end_s, duration_s, -1))
    moved[0] = moved[0]._replace(start_s=0.0)
    moved[-1] = moved[-1]._replace(end_s=duration_s)
    return moved
