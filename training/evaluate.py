"""The whole table of the shipped networks on people whom no training saw, beside the real people.

    python -m training.evaluate --data data --work work

First the lips, then head, eyes and brows (`training.motion_measure`), then the inside of the mouth
(`training.mouth_measure`, with its stills where `work/mouth` has them).
`choose` and `last` are real people of `data/talk` (variants were chosen on the first), `others`
five speakers of GRID, `held` sentences of the one who was trained on. The truth is what the tracks
say; by how much sound and picture of a real clip differ nobody knows, so the lag is part of it.
"""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.render import mouth_network
from mdth.embedded.speech.speech_to_mesh import SpeechToMesh
from mdth.files import networks
from training import command, models, motion_measure, mouth_measure, robustness
from training.bank import MEASURED, quiet_inside
from training.grid_phones import align_clips
from training.measures import NAMES, measures
from training.people import Clip, People
from training.score import CLOSED_GAP, LABIALS, Scores, correlation, score, smallest_gaps

log = logging.getLogger("mdth")

# Lips further apart than this in a quiet moment are parted, eye distances.
PARTED = 0.06
BABBLE_DB = (-20, -10)
VOICES = 4


def spoken(model: SpeechToMesh, clip: Clip, sound: FloatArray | None = None) -> FloatArray:
    """Measures [T,6] of the model's mouth on the clip's neutral face, as many frames as tracked."""
    heard = clip.sound.astype(np.float32) / 32768 if sound is None else sound
    made = measures(model.mesh_sequence(heard, clip.fps).offsets + clip.neutral)
    missing = max(0, len(clip.measures) - len(made))
    return np.pad(made, ((0, missing), (0, 0)), "edge")[: len(clip.measures)]


def babble(clip: Clip, voices: list[Clip], level_db: float, rng: np.random.Generator) -> FloatArray:
    """A clip's sound with some other voices at once behind it."""
    sound = clip.sound.astype(np.float32) / 32768
    total = np.zeros(len(sound), np.float32)
    for chosen in rng.choice(len(voices), VOICES):
        voice = voices[int(chosen)].sound.astype(np.float32)
        total += np.resize(np.roll(voice, int(rng.integers(len(voice)))), len(sound)) / voice.std()
    gain = sound.std() / total.std() * 10 ** (level_db / 20)
    return np.asarray(sound + gain * total, np.float32)


def lips_table(found: dict[str, Scores]) -> Iterator[str]:
    """Lines of Markdown: a column for each kind of clip; amplitudes are ours over real."""
    yield f"| | {' | '.join(found)} |\n|---|{'---|' * len(found)}"
    for name in ("opening", "width"):
        ends = [s[f"{name} [95 %]"] for s in found.values()]
        cells = [f"{s[name]:.3f} [{low:.2f}, {high:.2f}]"  # type: ignore[misc]
                 for s, (low, high) in zip(found.values(), ends, strict=True)]  # fmt: skip
        yield f"| {name}, r at lag 0 | {' | '.join(cells)} |"
    rows = {
        "opening at its lag": "opening at its lag",
        "width at that lag": "width at that lag",
        "real opening at that lag": "a perfect mouth so late, opening r",
        "real width at that lag": "the same, width r",
        "lag_ms": "lag_ms",
    }
    rows |= {f"amplitude of {name}": f"{name}, ours over real" for name in NAMES}
    for name, words in rows.items():
        yield f"| {words} | {' | '.join(f'{s[name]:.2f}' for s in found.values())} |"


def closures(clips: list[Clip], made: list[FloatArray], grid: Path, work: Path) -> dict[str, Any]:
    """The part of p, b and m with shut lips: `held` by its words, `others` by forced alignment."""
    others = [clip for clip in clips if clip.use == "others"]
    phones = align_clips(
        [grid / "others" / f"{clip.name}.mp4" for clip in others], work / "evaluate_phones.tsv"
    )
    found: dict[str, Any] = {}
    for use in ("held", "others"):
        gaps: list[float] = []
        for clip, mouth in zip(clips, made, strict=True):
            said = [p for p in phones.get(clip.name, []) if p.phone in LABIALS]
            times = [(p.start_s + p.end_s) / 2 for p in said] or list(clip.marks)
            if clip.use == use:
                gaps += smallest_gaps(mouth[:, 0], clip.fps, np.array(times)).tolist()
        found[use] = float((np.array(gaps) < CLOSED_GAP).sum() / max(len(gaps), 1))
        log.info("p, b, m shut, %s: %.0f %% of %d", use, 100 * found[use], len(gaps))
    return found


def report_quiet(clips: list[Clip], made: list[FloatArray]) -> dict[str, float]:
    """How often lips are parted in short pauses, ours and real people's."""
    real = [clip.use in ("choose", "last") for clip in clips]
    chosen = [(c, m) for c, m, kept in zip(clips, made, real, strict=True) if kept]
    ours = np.concatenate([mouth[quiet_inside(clip), 0] > PARTED for clip, mouth in chosen])
    truth = np.concatenate([clip.measures[quiet_inside(clip), 0] > PARTED for clip, _ in chosen])
    log.info(
        "lips parted in quiet frames inside speech: ours %.0f %%, real %.0f %% of %d frames",
        100 * ours.mean(), 100 * truth.mean(), len(ours),
    )  # fmt: skip
    return {"parted, ours": float(ours.mean()), "parted, real": float(truth.mean())}


def report_robustness(model: SpeechToMesh, clips: list[Clip], made: list[FloatArray]) -> None:
    """Silence, level, shifts, other voices."""
    held = [clip for clip in clips if clip.use == "held"][:8]
    neutral = held[0].neutral
    for name, (gap, speed) in robustness.shut_lips(model, neutral).items():
        log.info("%-20s widest %.4f, fastest %.3f eye distances a second", name, gap, speed)
    sounds: list[FloatArray] = [clip.sound.astype(np.float32) / 32768 for clip in held]
    log.info(
        "20 dB softer or louder: opening changes by at most %.1f %% of its 95th percentile",
        100 * robustness.level_change(model, sounds, neutral),
    )
    for shift, part in robustness.shift_change(model, sounds, neutral).items():
        log.info("shift of %3d samples: %.1f %%", shift, 100 * part)
    voices = [clip for clip in clips if clip.use in ("choose", "last")]
    for level_db in BABBLE_DB:
        rng = np.random.default_rng(3)
        alike = [
            correlation(mouth[:, 0], spoken(model, clip, babble(clip, voices, level_db, rng))[:, 0])
            for clip, mouth in zip(clips, made, strict=True)
            if clip.use != "held"
        ]
        log.info("other voices at %d dB: r with the clean result %.3f", level_db, np.mean(alike))


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.evaluate", __doc__)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--seeds", type=int, default=6, help="so many motions for each sound")
    parser.add_argument("--lips", action="store_true", help="neither the motion nor the mouth")
    parser.add_argument("--live", action="store_true", help="the decoder of live sessions")
    parser.add_argument("--record", action="store_true", help="write the lips' scores to the card")
    given = parser.parse_args(arguments)
    model = SpeechToMesh(models.encoder(), live=given.live)
    clips = People.load(given.work / "people.npz").of(*MEASURED)
    made = [spoken(model, clip) for clip in clips]
    measured: dict[str, Any] = {
        use: score([(mouth, clip.measures, clip.fps)
                    for clip, mouth in zip(clips, made, strict=True) if clip.use == use])
        for use in MEASURED
    }  # fmt: skip
    log.info("%s\n", "\n".join(lips_table(measured)))
    measured["p, b, m shut"] = closures(clips, made, given.data / "grid", given.work)
    measured |= report_quiet(clips, made)
    report_robustness(model, clips, made)
    if given.record:
        card_file = networks.WEIGHTS / f"faceformer{'_live' if given.live else ''}.json"
        card = json.loads(card_file.read_text("utf-8")) | {"measured": measured}
        card_file.write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    if not given.lips:
        tracks, stills = given.work / "talk", given.work / "mouth"
        motion_measure.compare(given.data / "talk", tracks, ["last"], seeds=given.seeds)
        painter = mouth_network.shipped()
        pictures = stills if stills.is_dir() else None
        mouth_measure.measure(given.data, painter, pictures, given.work, every=20)


if __name__ == "__main__":
    command.run(main, stream=sys.stdout)
