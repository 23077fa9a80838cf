"""Text -> speech with phone times, by Kokoro-82M (Apache-2.0): sentences for training and examples.

    python -m training.kokoro fetch --folder work/kokoro
    python -m training.kokoro say "Hello." --voice bf_emma --folder work/kokoro -o hello.wav

Text goes through the Misaki dictionaries (Apache-2.0); a word that is not in them is written with
its sounds: `[Kokoro](/kˈOkəɹO/)`. Phones come out in ARPABET without stress, silence as `SIL`.
"""

import argparse
import json
import logging
import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth.errors import CheckpointError, InputError, MissingInput
from training import command
from training.kokoro_files import MODEL_SHA256, check, fetch
from training.kokoro_times import (
    RATE_HZ,
    UNIT_S,
    Phone,
    Samples,
    fit_silences,
    phone_times,
    with_margins,
    write_phones,
)

LOG = logging.getLogger("mdth")

ENGLISH = "[ab][fm]_*.bin"  # its voices' files
MAX_TOKENS = 509  # rows of a voice file, less the one for no token

WEAK = {"a": "ɐ", "the": "ðə", "to": "tə", "an": "ən"}  # as said inside a sentence
MARKED = re.compile(r"\[[^\]]*\]\(/([^/]*)/\)|([A-Za-z']+)|([,.;:!?])")


class Synthesizer:
    """Kokoro-82M on onnxruntime.

    model: `kokoro.onnx` with `vocab.json`, `us_gold.json` and `gb_gold.json` beside it, as `fetch`
    leaves them. voices: the folder of `*.bin` voice files. Raises CheckpointError if the model is
    missing or has the wrong content.
    """

    def __init__(self, model: Path, voices: Path, *, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            _with_durations(model), options, providers=["CPUExecutionProvider"]
        )
        self._voices = voices
        self._tokens: dict[str, int] = _read_json(model.parent / "vocab.json")["vocab"]
        self._dictionaries = {
            accent: _read_json(model.parent / f"{accent}_gold.json") for accent in ("us", "gb")
        }

    def phonemes(self, text: str, *, accent: str = "us") -> str:
        """Kokoro's symbols for an English text; accent "us" or "gb". Raises InputError."""
        return phonemes_of(text, self._dictionaries[accent])

    def synthesize(
        self, phonemes: str, voice: str, *, speed: float = 1.0
    ) -> tuple[Samples, list[Phone]]:
        """Speech float32 [N] at 24 kHz, and its phones from 0 to N/24000 s, silence included.

        voice: a voice's name, or a weighted sum such as `af_heart:0.6,bm_lewis:0.4`.
        Raises InputError for an unknown symbol or too long a text, MissingInput for an unknown
        voice.
        """
        unknown = sorted(set(phonemes) - set(self._tokens))
        if unknown or not 0 < len(phonemes) <= MAX_TOKENS:
            raise InputError(
                f"{len(phonemes)} symbols, unknown among them {unknown}; "
                f"give 1 to {MAX_TOKENS} of Kokoro's symbols"
            )
        tokens = np.array([[0, *(self._tokens[symbol] for symbol in phonemes), 0]], np.int64)
        audio, units = self._session.run(
            None,
            {
                "tokens": tokens,
                "style": self._voice(voice)[len(phonemes)][None],
                "speed": np.array([speed], np.float32),
            },
        )
        durations_s = np.asarray(units, np.float64).reshape(-1) * UNIT_S
        samples = audio.reshape(-1).astype(np.float32)
        return samples, fit_silences(phone_times(phonemes, durations_s), samples)

    def _voice(self, mix: str) -> Samples:
        """The style rows float32 [510,256] of a voice or a weighted sum of voices."""
        total = np.zeros((510, 256), np.float32)
        for part in mix.split(","):
            name, _, weight = part.partition(":")
            path = self._voices / f"{name}.bin"
            if not path.is_file():
                raise MissingInput(f"{path}: no such voice; run `fetch`, or choose another")
            total += float(weight or 1.0) * np.fromfile(path, "<f4").reshape(510, 256)
        return total


def accent_of(voice: str) -> str:
    """The dictionary that fits a voice: British for `b*`, else American."""
    return "gb" if voice.startswith("b") else "us"


def phonemes_of(text: str, dictionary: dict[str, Any]) -> str:
    """Kokoro's symbols for an English text, words looked up, `[word](/sounds/)` taken as written.

    Raises InputError that names the words the dictionary lacks.
    """
    symbols, missing = "", []
    for sounds, word, mark in MARKED.findall(text):
        spoken = sounds or (_look_up(word, dictionary) if word else "")
        if word and not spoken:
            missing.append(word)
        symbols += mark or f" {spoken}"
    if missing:
        raise InputError(f"not in the dictionary: {', '.join(missing)}; write [word](/sounds/)")
    # "the" before a vowel is not the same word as "the" before a consonant.
    return re.sub(r"ðə(?= [ˈˌ]?[AIOQWYɑæaɒɔɛɪiʌəɜ])", "ði", symbols.strip())


def _look_up(word: str, dictionary: dict[str, Any]) -> str:
    """The dictionary's sounds of a word, also of one with -s, -ed or -ing; empty if unknown."""
    lower = word.lower()
    entry = WEAK.get(lower) or dictionary.get(lower) or dictionary.get(word)
    if isinstance(entry, dict):
        entry = entry["DEFAULT"]
    if entry:
        return str(entry)
    for ending in ("s", "ed", "ing"):
        stems = _stems(lower, ending) if lower.endswith(ending) else []
        found = next(filter(None, (_look_up(stem, dictionary) for stem in stems)), "")
        if found:
            return found + _ending_sounds(found[-1], ending)
    return ""


def _stems(word: str, ending: str) -> list[str]:
    """What a word may be without its ending; hoped is of hope, and hopped of hop."""
    stem = word.removesuffix(ending)
    if len(stem) < 2:
        return []
    if ending == "s":
        return [stem]
    doubled = [stem[:-1]] if stem[-1] == stem[-2] else []
    return [f"{stem}e", stem, *doubled]


def _ending_sounds(last: str, ending: str) -> str:
    """How -s, -ed or -ing sounds after a word's last sound."""
    if ending == "ing":
        return "ɪŋ"
    if ending == "s":
        return "ᵻz" if last in "szʃʒʧʤ" else "s" if last in "ptkfθ" else "z"
    return "ᵻd" if last in "td" else "t" if last in "pkfθsʃʧ" else "d"


def write_wav(path: Path, samples: npt.NDArray[np.floating], rate_hz: int) -> None:
    """Write samples [N] (full scale 1.0, clipped) as mono 16-bit PCM."""
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.tobytes())


def read_wav(path: Path) -> npt.NDArray[np.floating]:
    """Samples float32 [N] of one of our own mono 16-bit files, at the file's rate."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)


def _read_json(path: Path) -> dict[str, Any]:
    """A table beside the model. Raises CheckpointError."""
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); fetch it again") from error
    return table


def _with_durations(model: Path) -> bytes:
    """The verified model with its token durations as a second output."""
    import onnx

    graph = onnx.load_model_from_string(check(model, MODEL_SHA256))
    graph.graph.output.append(onnx.ValueInfoProto(name="/encoder/Clip_output_0"))
    content: bytes = graph.SerializeToString()
    return content


def _say(arguments: argparse.Namespace) -> None:
    """The command `say`: text -> wav, and its phones in a tsv beside it."""
    folder: Path = arguments.folder
    synthesizer = Synthesizer(folder / "kokoro.onnx", folder / "voices")
    phonemes = synthesizer.phonemes(arguments.text, accent=accent_of(arguments.voice))
    LOG.info("%s", phonemes)
    speech = synthesizer.synthesize(phonemes, arguments.voice, speed=arguments.speed)
    samples, phones = with_margins(*speech, lead_s=arguments.margin, trail_s=arguments.margin)
    samples = samples * (arguments.peak / max(float(np.abs(samples).max()), 1e-6))
    write_wav(arguments.output, samples, RATE_HZ)
    write_phones(arguments.output.with_suffix(".tsv"), phones)
    LOG.info("%s: %.2f s", arguments.output, len(samples) / RATE_HZ)


def _fetch(arguments: argparse.Namespace) -> None:
    """Download and verify model, tables and voices."""
    fetch(arguments.folder)


def main() -> None:
    """The command line; see the top of this file."""
    parser = command.parser("training.kokoro", __doc__)
    parts = command.parts(parser, {"say": _say, "fetch": _fetch})
    for part in parts.values():
        part.add_argument("--folder", type=Path, default=Path("work/kokoro"))
    say = parts["say"]
    say.add_argument("text")
    say.add_argument("-o", "--output", type=Path, required=True)
    say.add_argument("--voice", default="bf_emma")
    say.add_argument("--speed", type=float, default=1.0)
    say.add_argument("--margin", type=float, default=0.25, help="silence at both ends, s")
    say.add_argument("--peak", type=float, default=0.7, help="largest sample, full scale 1.0")
    given = parser.parse_args()
    given.part(given)


if __name__ == "__main__":
    command.run(main)
