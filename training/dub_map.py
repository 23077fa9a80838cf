"""The time map between two ways to say one sentence, its measure, and the list of dubs."""

import difflib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.errors import InputError, UnreadableMedia
from training.grid_phones import WordPhone
from training.kokoro_times import SILENCE

LONGEST_PAUSE_S = 0.15  # inside a sentence; a map cannot make it out of nothing
KNOT_GAP_S = 0.02  # knots nearer than this become one, else slopes run away
LEVEL_STEP_S = 0.01
LEVEL_WINDOW_S = 0.04
FLOOR_DB = -40.0


class Dub(NamedTuple):
    """A sentence in a new voice, and where each of its moments is in a real clip.

    wav: file name beside the index. s1_clip: name of the real clip. voice: as the synthesizer takes
    it. dub_s, s1_s: the knots of the time map, both strictly increasing, seconds.
    """

    wav: str
    s1_clip: str
    voice: str
    dub_s: list[float]
    s1_s: list[float]


def time_map(dub: list[WordPhone], real: list[WordPhone]) -> tuple[list[float], list[float]]:
    """The knots (dub_s, real_s) of a piecewise linear map between two ways to say one sentence.

    Words meet words; within a word, the phones both sides have in the same order meet. Raises
    InputError if either side pauses inside the sentence.
    """
    for side in (dub, real):
        inner = [p.end_s - p.start_s for p in side[1:-1] if p.phone == SILENCE]
        if max(inner, default=0.0) > LONGEST_PAUSE_S:
            raise InputError(f"a pause of {max(inner):.2f} s inside the sentence")
    pairs = [(0.0, 0.0)]
    for word in range(1 + max(phone.word for phone in real)):
        here, there = ([p for p in side if p.word == word] for side in (dub, real))
        names = [p.phone for p in here], [p.phone for p in there]
        matches = difflib.SequenceMatcher(None, *names, autojunk=False).get_matching_blocks()
        onsets = {(0, 0)} | {
            (m.a + k, m.b + k) for m in matches for k in range(m.size) if m.a + k and m.b + k
        }
        pairs += [(here[a].start_s, there[b].start_s) for a, b in sorted(onsets)]
        last = here[-1].end_s, there[-1].end_s
    pairs += [last, (dub[-1].end_s, real[-1].end_s)]
    return _increasing(pairs)


def _increasing(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The first and last knot, and those between that move on by KNOT_GAP_S on both sides."""
    kept = [pairs[0]]
    for pair in pairs[1:-1]:
        if all(now - before > KNOT_GAP_S for now, before in zip(pair, kept[-1], strict=True)):
            kept.append(pair)
    while len(kept) > 1 and any(
        end - now <= KNOT_GAP_S for end, now in zip(pairs[-1], kept[-1], strict=True)
    ):
        kept.pop()
    kept.append(pairs[-1])
    return [round(a, 4) for a, _ in kept], [round(b, 4) for _, b in kept]


def read_index(path: Path) -> list[Dub]:
    """The dubs that are there; none if there is no index. Raises UnreadableMedia."""
    if not path.exists():
        return []
    try:
        return [Dub(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise UnreadableMedia(f"{path}: not an index of dubs ({error})") from error


def write_index(path: Path, dubs: list[Dub]) -> None:
    """Replace the index in one step, so that a reader never sees half of it."""
    temporary = path.with_suffix(".tmp")
    entries = ",\n".join(json.dumps(dub._asdict()) for dub in dubs)
    temporary.write_text(f"[\n{entries}\n]\n", encoding="utf-8")
    temporary.replace(path)


def level_db(samples: FloatArray) -> FloatArray:
    """Level of samples [N] at 16 kHz, one per 10 ms, in dB under the loudest, floored."""
    power = np.concatenate([[0.0], np.cumsum(np.asarray(samples, np.float64) ** 2)])
    step, half = (round(s * SPEECH_RATE_HZ) for s in (LEVEL_STEP_S, LEVEL_WINDOW_S / 2))
    centres = np.arange(0, len(samples), step)
    high, low = np.minimum(centres + half, len(samples)), np.maximum(centres - half, 0)
    mean = (power[high] - power[low]) / (high - low)
    level: FloatArray = np.maximum(10 * np.log10(mean / max(mean.max(), 1e-12) + 1e-9), FLOOR_DB)
    return level


def level_match(dub: Dub, sound: FloatArray, real: FloatArray) -> tuple[float, float]:
    """Correlation of the two sounds' levels while the real one speaks: along the map, and without.

    "Without" stretches the sentence evenly from its first to its last phone.
    """
    levels = level_db(sound), level_db(real)
    times_s = np.arange(len(levels[1])) * LEVEL_STEP_S
    speaking = (times_s >= dub.s1_s[1]) & (times_s <= dub.s1_s[-2])
    knots = dub.s1_s, dub.dub_s
    even = [k[:2] + k[-2:] for k in knots]
    found = []
    for s1_s, dub_s in (knots, even):
        warped = np.interp(
            np.interp(times_s, s1_s, dub_s), np.arange(len(levels[0])) * LEVEL_STEP_S, levels[0]
        )
        found.append(float(np.corrcoef(warped[speaking], levels[1][speaking])[0, 1]))
    return found[0], found[1]
