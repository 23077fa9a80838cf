"""Text -> speech with phone times, by Kokoro-82M (Apache-2.0): sentences for training and examples.

    python -m mdth.train.kokoro fetch --folder work/kokoro
    python -m mdth.train.kokoro say "Hello." --voice bf_emma --folder work/kokoro -o hello.wav

Text goes through the Misaki dictionaries (Apache-2.0); a word that is not in them is written with
its sounds: `[Kokoro](/kˈOkəɹO/)`. Phones come out in ARPABET without stress, silence as `SIL`.
"""

import argparse
import json
import logging
import re
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mdth.errors import CheckpointError, InputError, MissingDependency, MissingInput
from mdth.train.kokoro_files import MODEL_SHA256, check, fetch

LOG = logging.getLogger("mdth")

RATE_HZ = 24_000
UNIT_S = 600 / RATE_HZ  # one step of Kokoro's token durations
LAG_S = 0.06  # durations run behind the sound: median of 188 sentences against a forced aligner
SILENCE = "SIL"
MAX_TOKENS = 509  # rows of a voice file, less the one for no token
LEVEL_STEP_S = 0.01
QUIET_DB = -40.0  # of the loud parts of the same speech: below this a pause is a pause
MIN_QUIET_S = 0.06
MIN_PAUSE_S = 0.1  # a gap between words shorter than this belongs to the phone before it

STRESS = "ˈˌ"
LENGTH = "ː"
# fmt: off
ARPABET = {
    "A": "EY", "I": "AY", "O": "OW", "Q": "OW", "W": "AW", "Y": "OY", "ʧ": "CH", "ʤ": "JH",
    "ə": "AH", "ɐ": "AH", "ᵊ": "AH", "ʌ": "AH", "ɪ": "IH", "ᵻ": "IH", "i": "IY", "ɛ": "EH",
    "æ": "AE", "a": "AE", "ɑ": "AA", "ɒ": "AA", "ɔ": "AO", "u": "UW", "ʊ": "UH", "ɜ": "ER",
    "b": "B", "d": "D", "f": "F", "ɡ": "G", "h": "HH", "j": "Y", "k": "K", "l": "L", "m": "M",
    "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "s": "S", "ʃ": "SH", "t": "T", "ɾ": "T", "T": "T",
    "ʔ": "T", "θ": "TH", "ð": "DH", "v": "V", "w": "W", "z": "Z", "ʒ": "ZH",
}
# fmt: on
WEAK = {"a": "ɐ", "the": "ðə", "to": "tə", "an": "ən"}  # as said inside a sentence
MARKED = re.compile(r"\[[^\]]*\]\(/([^/]*)/\)|([A-Za-z']+)|([,.;:!?])")

Samples = npt.NDArray[np.float32]


class Phone(NamedTuple):
    """A phone (ARPABET without stress, or SIL) and where it sounds, in seconds."""

    phone: str
    start_s: float
    end_s: float


class Synthesizer:
    """Kokoro-82M on onnxruntime.

    model: `kokoro.onnx` with `vocab.json`, `us_gold.json` and `gb_gold.json` beside it, as `fetch`
    leaves them. voices: the folder of `*.bin` voice files. Raises CheckpointError if the model is
    missing or has the wrong content, MissingDependency without the package onnx.
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
    """The dictionary's sounds of a word, also of a plural or third person; empty if unknown."""
    lower = word.lower()
    entry = WEAK.get(lower) or dictionary.get(lower) or dictionary.get(word)
    if isinstance(entry, dict):
        entry = entry["DEFAULT"]
    if entry or not lower.endswith("s"):
        return str(entry or "")
    stem = _look_up(lower[:-1], dictionary)
    if not stem:
        return ""
    if stem[-1] in "szʃʒʧʤ":
        return stem + "ᵻz"
    return stem + ("s" if stem[-1] in "ptkfθ" else "z")


def phone_times(phonemes: str, durations_s: npt.NDArray[np.float64]) -> list[Phone]:
    """Kokoro's symbols and the durations of its tokens (one more at each end) -> phones in time.

    Stress belongs to the phone after it, length to the phone before; punctuation, the ends and
    word gaps of at least 0.1 s are silence. The lag of the durations is taken out.
    """
    spans: list[tuple[str, float]] = [(SILENCE, float(durations_s[0]))]
    stress_s = 0.0
    for symbol, duration in zip(phonemes, durations_s[1:-1].tolist(), strict=True):
        if symbol in STRESS:
            stress_s += duration
        elif symbol == LENGTH:
            spans[-1] = (spans[-1][0], spans[-1][1] + duration)
        else:
            spans.append((ARPABET.get(symbol, SILENCE), duration + stress_s))
            stress_s = 0.0
    spans.append((SILENCE, float(durations_s[-1]) + stress_s))
    merged = _without_short_gaps(spans)
    ends = np.cumsum([duration for _, duration in merged])
    bounds = np.concatenate([[0.0], np.maximum(ends[:-1] - LAG_S, 0.0), ends[-1:]])
    return [
        Phone(phone, float(start), float(end))
        for (phone, _), start, end in zip(merged, bounds[:-1], bounds[1:], strict=True)
    ]


def _without_short_gaps(spans: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Join neighbouring silences, then give the short ones between phones to the phone before."""
    joined: list[tuple[str, float]] = []
    for phone, duration in spans:
        if joined and phone == SILENCE == joined[-1][0]:
            joined[-1] = (SILENCE, joined[-1][1] + duration)
        else:
            joined.append((phone, duration))
    kept = [joined[0]]
    for phone, duration in joined[1:-1]:
        if phone == SILENCE and duration < MIN_PAUSE_S:
            kept[-1] = (kept[-1][0], kept[-1][1] + duration)
        else:
            kept.append((phone, duration))
    return [*kept, joined[-1]]


def fit_silences(phones: list[Phone], samples: Samples) -> list[Phone]:
    """The phones with each silence moved to where the sound [N] at 24 kHz is really quiet.

    Kokoro counts most of a pause as part of the phone before it. A silence whose stretch holds no
    60 ms of quiet is none: it goes to the phone before.
    """
    step = round(LEVEL_STEP_S * RATE_HZ)
    blocks = np.resize(samples, len(samples) // step * step).reshape(-1, step)
    level_db = 10.0 * np.log10(np.mean(blocks**2, axis=1) + 1e-12)
    quiet = level_db < np.percentile(level_db, 95) + QUIET_DB
    fitted: list[Phone] = []
    for phone in phones:
        fitted.append(phone)
        if phone.phone == SILENCE and len(fitted) > 1:
            fitted[-2:] = _fit_silence(fitted[-2], phone, quiet)
    if fitted[0].phone == SILENCE and len(fitted) > 1:
        loud = np.flatnonzero(~quiet)
        onset_s = min(fitted[0].end_s, float(loud[0]) * LEVEL_STEP_S if len(loud) else np.inf)
        fitted[:2] = [fitted[0]._replace(end_s=onset_s), fitted[1]._replace(start_s=onset_s)]
    return _without_gaps(fitted)


def _fit_silence(before: Phone, silence: Phone, quiet: npt.NDArray[np.bool_]) -> list[Phone]:
    """A phone and the silence after it, parted where the longest quiet in both begins."""
    first = round(before.start_s / LEVEL_STEP_S) + 2
    last = round(silence.end_s / LEVEL_STEP_S)
    start = end = first
    run = first
    for block in range(first, min(last, len(quiet))):
        run = run if quiet[block] else block + 1
        if block + 1 - run > end - start:
            start, end = run, block + 1
    if end - start < round(MIN_QUIET_S / LEVEL_STEP_S):
        return [before._replace(end_s=silence.end_s)]
    start_s = start * LEVEL_STEP_S
    end_s = silence.end_s if end >= min(last, len(quiet)) - 1 else end * LEVEL_STEP_S
    return [before._replace(end_s=start_s), Phone(SILENCE, start_s, end_s)]


def _without_gaps(phones: list[Phone]) -> list[Phone]:
    """The phones, each beginning where the one before ends."""
    return [
        phone._replace(start_s=before.end_s) if before else phone
        for before, phone in zip([None, *phones[:-1]], phones, strict=True)
    ]


def with_margins(
    samples: Samples, phones: list[Phone], margin_s: float
) -> tuple[Samples, list[Phone]]:
    """The same speech with `margin_s` of silence before its first and after its last phone."""
    voiced = [phone for phone in phones if phone.phone != SILENCE]
    start_s = voiced[0].start_s - margin_s
    end_s = voiced[-1].end_s + margin_s
    first, last = round(start_s * RATE_HZ), round(end_s * RATE_HZ)
    cut = samples[max(first, 0) : max(last, 0)]
    cut = np.pad(cut, (max(-first, 0), max(last - len(samples), 0)))
    inside = phones[phones.index(voiced[0]) : phones.index(voiced[-1]) + 1]
    moved = [Phone(p.phone, p.start_s - start_s, p.end_s - start_s) for p in inside]
    length_s = (last - first) / RATE_HZ
    lead = Phone(SILENCE, 0.0, moved[0].start_s)
    trail = Phone(SILENCE, moved[-1].end_s, length_s)
    return cut, [lead, *moved, trail]


def write_wav(path: Path, samples: npt.NDArray[np.floating], rate_hz: int) -> None:
    """Write samples [N] (full scale 1.0, clipped) as mono 16-bit PCM."""
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.tobytes())


def write_phones(path: Path, phones: list[Phone]) -> None:
    """Write phones as a table: phone, start_s, end_s."""
    rows = [f"{p.phone}\t{p.start_s:.3f}\t{p.end_s:.3f}\n" for p in phones]
    path.write_text("phone\tstart_s\tend_s\n" + "".join(rows), encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    """A table beside the model. Raises CheckpointError."""
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); fetch it again") from error
    return table


def _with_durations(model: Path) -> bytes:
    """The verified model with its token durations as a second output."""
    try:
        import onnx
    except ImportError as error:
        raise MissingDependency("onnx is not installed; pip install 'mdth[train]'") from error
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
    samples, phones = with_margins(*speech, arguments.margin)
    samples = samples * (arguments.peak / max(float(np.abs(samples).max()), 1e-6))
    write_wav(arguments.output, samples, RATE_HZ)
    write_phones(arguments.output.with_suffix(".tsv"), phones)
    LOG.info("%s: %.2f s", arguments.output, len(samples) / RATE_HZ)


def main() -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m mdth.train.kokoro", description=__doc__)
    commands = parser.add_subparsers(required=True)
    say = commands.add_parser("say", help="speak a text into a wav, with its phones in a tsv")
    say.add_argument("text")
    say.add_argument("-o", "--output", type=Path, required=True)
    say.add_argument("--voice", default="bf_emma")
    say.add_argument("--speed", type=float, default=1.0)
    say.add_argument("--margin", type=float, default=0.25, help="silence at both ends, s")
    say.add_argument("--peak", type=float, default=0.7, help="largest sample, full scale 1.0")
    say.set_defaults(command=_say)
    get = commands.add_parser("fetch", help="download and verify model, tables and voices")
    commands_of_folder: list[argparse.ArgumentParser] = [say, get]
    for command in commands_of_folder:
        command.add_argument("--folder", type=Path, default=Path("work/kokoro"))
    get.set_defaults(command=lambda arguments: fetch(arguments.folder))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    command_of: Callable[[argparse.Namespace], None] = arguments.command
    command_of(arguments)


if __name__ == "__main__":
    main()
