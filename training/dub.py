"""GRID sentences spoken by many synthetic voices, each with a time map to a real clip of them.

    python -m training.dub align --grid data/grid --work work
    python -m training.dub speak --grid data/grid --work work --minutes 12
    python -m training.dub check --grid data/grid --work work

The tracked mesh of the real clip, read along the map, is what a new voice's face would do: training
pairs for more voices than there are filmed people. `speak` goes on where it stopped.
"""

import argparse
import csv
import logging
import time
from pathlib import Path

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.errors import InputError, MissingInput
from training import command, kokoro
from training.dub_map import Dub, level_match, read_index, time_map, write_index
from training.grid_phones import Aligner, WordPhone, align_clips, read_phones, read_sound, sentence
from training.kokoro_times import ARPABET, RATE_HZ, SILENCE, Phone, with_margins

LOG = logging.getLogger("mdth")

TRAIN_SHARE = 0.9  # of the clips by sorted name; the rest is for validation
SPEEDS = (0.85, 1.25)
MIX_WEIGHTS = (0.25, 1.4)  # of the first voice of a mix; above 1 leads away from the second
MIX_SHARE = 0.5  # of the dubs that speak with a mix of two voices
PEAK = 0.7
WORST_ONSET_S = 0.15  # between Kokoro's word onsets and the aligner's: more is a mishearing
LEAST_MATCH = 0.4  # level correlation along the map
SAVE_EVERY = 10
SPOKEN = {"letter-a": "[a](/ˈA/)", "letter-z": "zed"}  # a letter the dictionary reads otherwise


def training_clips(folder: Path) -> list[str]:
    """The names of the clips that may be trained on: the first nine tenths."""
    names = [path.stem for path in command.files_in(folder, "*.mp4")]
    return names[: int(len(names) * TRAIN_SHARE)]


def spell(clip: str, synthesizer: kokoro.Synthesizer, accent: str) -> list[str]:
    """Kokoro's symbols for each of the six words of a clip."""
    texts = [SPOKEN.get(word, word.removeprefix("letter-").upper()) for word in sentence(clip)]
    return [synthesizer.phonemes(text, accent=accent) for text in texts]


def with_words(phones: list[Phone], spelled: list[str]) -> list[WordPhone]:
    """Kokoro's phones, each with the number of the word it is part of."""
    counts = [sum(symbol in ARPABET for symbol in word) for word in spelled]
    owner = iter(np.repeat(np.arange(len(spelled)), counts).tolist())
    return [WordPhone(*p, word=-1 if p.phone == SILENCE else next(owner)) for p in phones]


def plan(
    number: int, clips: list[str], voices: list[str], random_seed: int
) -> tuple[str, str, float]:
    """Clip, voice and speed of dub `number`: every clip once before any comes again."""
    order = np.random.default_rng([random_seed, number // len(clips)]).permutation(len(clips))
    random = np.random.default_rng([random_seed, number, 1])
    first, second = random.choice(len(voices), 2, replace=False)
    voice = voices[first]
    if random.random() < MIX_SHARE:
        weight = round(float(random.uniform(*MIX_WEIGHTS)), 2)
        voice = f"{voice}:{weight},{voices[second]}:{1 - weight:.2f}"
    return clips[order[number % len(clips)]], voice, round(float(random.uniform(*SPEEDS)), 3)


class Dubber:
    """Speaks GRID sentences into a folder, beside real clips whose phones are known.

    clips: the folder of the real clips. phones: their phone table. onset_differences_s: Kokoro's
    word onsets less the aligner's, of all dubs so far.
    """

    def __init__(self, model: Path, voices: Path, *, clips: Path, phones: Path) -> None:
        self._synthesizer = kokoro.Synthesizer(model, voices)
        self._aligner = Aligner()
        self._clips = clips
        self._phones = read_phones(phones)
        self.onset_differences_s: list[float] = []

    def speak(self, clip: str, voice: str, *, speed: float, wav: Path) -> Dub:
        """Write one dub, its silences as long as the real clip's.

        The map is made from one aligner's hearing of both sides, so that its habits cancel (level
        correlation 0.74, against 0.63 with Kokoro's own times on the dub's side); Kokoro's times
        are the check. Raises InputError if they differ or the levels do not meet along the map.
        """
        if clip not in self._phones:
            raise InputError("its phones are not known")
        real = self._phones[clip]
        sound, phones = self._sound(clip, voice, speed=speed, silence=(real[0], real[-1]))
        heard = self._aligner.align(sound, sentence(clip))
        differences = onset_differences(phones, heard)
        worst_s = float(np.abs(differences).max())
        dub = Dub(wav.name, clip, voice, *time_map(heard, real))
        match, _ = level_match(dub, sound, read_sound(self._clips / f"{clip}.mp4"))
        if worst_s > WORST_ONSET_S or match < LEAST_MATCH:
            raise InputError(f"word onsets differ by {worst_s:.2f} s, level match {match:.2f}")
        kokoro.write_wav(wav, sound, SPEECH_RATE_HZ)
        self.onset_differences_s += differences.tolist()
        return dub

    def _sound(
        self, clip: str, voice: str, *, speed: float, silence: tuple[WordPhone, WordPhone]
    ) -> tuple[FloatArray, list[WordPhone]]:
        """The sentence float32 [N] at 16 kHz with `silence` around it, and Kokoro's phone times."""
        from scipy.signal import resample_poly

        lead_s, trail_s = (pause.end_s - pause.start_s for pause in silence)
        spelled = spell(clip, self._synthesizer, kokoro.accent_of(voice))
        speech = self._synthesizer.synthesize(" ".join(spelled) + ".", voice, speed=speed)
        samples, phones = with_margins(*speech, lead_s=lead_s, trail_s=trail_s)
        sound = resample_poly(samples, SPEECH_RATE_HZ, RATE_HZ).astype(np.float32)
        sound *= PEAK / max(float(np.abs(sound).max()), 1e-6)
        return sound, with_words(phones, spelled)


def onset_differences(phones: list[WordPhone], others: list[WordPhone]) -> FloatArray:
    """Word onsets of two time tables of one sentence, first less second, [6] s."""

    def onsets_s(side: list[WordPhone]) -> FloatArray:
        return np.array([next(p.start_s for p in side if p.word == word) for word in range(6)])

    return onsets_s(phones) - onsets_s(others)


def _align(arguments: argparse.Namespace) -> None:
    """The command `align`: phone tables of all clips, and how they compare with GRID's words."""
    grid: Path = arguments.grid
    others = align_clips(
        command.files_in(grid / "others", "*.mp4"), arguments.work / "others_phones.tsv"
    )
    found = align_clips(command.files_in(grid / "s1", "*.mp4"), arguments.work / "s1_phones.tsv")
    onsets: dict[str, list[float]] = {}
    with (grid / "s1_words.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["word"] not in ("sil", "sp"):
                onsets.setdefault(row["clip"], []).append(float(row["start_s"]))
    errors = np.array(
        [
            next(p.start_s for p in phones if p.word == word) - onsets[clip][word]
            for clip, phones in found.items()
            if len(onsets.get(clip, [])) == 6
            for word in range(6)
        ]
    )
    LOG.info("%d clips of s1 and %d others aligned", len(found), len(others))
    LOG.info(
        "word onsets less the corpus's: median %+.3f s, median size %.3f s, 95 %% within %.3f s",
        np.median(errors),
        np.median(np.abs(errors)),
        np.percentile(np.abs(errors), 95),
    )


def _speak(arguments: argparse.Namespace) -> None:
    """The command `speak`: dubs until the time or the count is reached."""
    folder: Path = arguments.work / "dub"
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "index.json"
    models: Path = arguments.kokoro
    voices = [path.stem for path in command.files_in(models / "voices", kokoro.ENGLISH)]
    dubber = Dubber(
        models / "kokoro.onnx",
        models / "voices",
        clips=arguments.grid / "s1",
        phones=arguments.work / "s1_phones.tsv",
    )
    clips = training_clips(arguments.grid / "s1")
    dubs = read_index(index)
    done = {dub.wav for dub in dubs}
    deadline = time.monotonic() + 60.0 * arguments.minutes
    for number in range(arguments.count):
        wav = folder / f"{number:04d}.wav"
        if wav.name in done:
            continue
        if time.monotonic() > deadline:
            break
        clip, voice, speed = plan(number, clips, voices, arguments.random_seed)
        try:
            dubs.append(dubber.speak(clip, voice, speed=speed, wav=wav))
        except InputError as error:
            LOG.info("%s in %s: left out: %s", clip, voice, error)
        if number % SAVE_EVERY == 0:
            write_index(index, dubs)
    write_index(index, dubs)
    LOG.info("%s: %d dubs", index, len(dubs))
    if dubber.onset_differences_s:
        LOG.info(
            "Kokoro's word onsets less the aligner's: median %+.3f s, 95 %% within %.3f s",
            np.median(dubber.onset_differences_s),
            np.percentile(np.abs(dubber.onset_differences_s), 95),
        )


def _check(arguments: argparse.Namespace) -> None:
    """The command `check`: does the map bring loud to loud, better than an even stretch does?"""
    folder: Path = arguments.work / "dub"
    dubs = read_index(folder / "index.json")
    if not dubs:
        raise MissingInput(f"{folder / 'index.json'}: no dub in it; run `training.dub speak`")
    matches = [
        level_match(
            dub,
            read_sound(folder / dub.wav),
            read_sound(arguments.grid / "s1" / f"{dub.s1_clip}.mp4"),
        )
        for dub in dubs[:: arguments.every]
    ]
    slopes = np.concatenate([np.diff(dub.s1_s) / np.diff(dub.dub_s) for dub in dubs])
    LOG.info("%d dubs, %d clips", len(dubs), len({dub.s1_clip for dub in dubs}))
    LOG.info(
        "level correlation, median: %.3f along the map, %.3f stretched evenly (%d dubs)",
        *np.median(matches, axis=0),
        len(matches),
    )
    LOG.info("slopes, 5, 50, 95 %%: %.2f %.2f %.2f", *np.percentile(slopes, (5, 50, 95)))


def main() -> None:
    """The command line; see the top of this file."""
    parser = command.parser("training.dub", __doc__)
    parts = command.parts(parser, {"align": _align, "speak": _speak, "check": _check})
    for part in parts.values():
        part.add_argument("--grid", type=Path, default=Path("data/grid"))
        part.add_argument("--work", type=Path, default=Path("work"))
    parts["speak"].add_argument("--kokoro", type=Path, default=Path("work/kokoro"))
    parts["speak"].add_argument("--minutes", type=float, default=12.0)
    parts["speak"].add_argument("--count", type=int, default=900)
    parts["speak"].add_argument("--random-seed", "--seed", type=int, default=0)
    parts["check"].add_argument("--every", type=int, default=5, help="look at one dub in so many")
    given = parser.parse_args()
    given.part(given)


if __name__ == "__main__":
    command.run(main)
