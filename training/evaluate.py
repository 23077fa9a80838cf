"""The table of scores, from the shipped weights and the clips alone.

    python -m training.evaluate data/grid

Clips that training never saw: those of s1 that the model card names as held out, and one of each of
the other speakers. They are tracked first (a minute), into --work; later runs find them there.
The variants' scores were measured by training on the same clips and are read from the model card.
"""

import json
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.speech.speech_to_mesh import SpeechToMesh
from mdth.embedded.speech.windows import SAMPLE_RATE_HZ, WindowScheme
from mdth.face import geometry
from mdth.files import networks
from training import command, models
from training.dataset import FPS, closure_times, loudness_db, neutral_face, read_sound
from training.grid_phones import align_clips
from training.score import Score, closure_rate, score
from training.tracks import track_folder

log = logging.getLogger("mdth")

# Loudness as a mouth: decibels above this distance from the loudest, smoothed.
BASELINE_RANGE_DB = 35.0
CLOSING_PHONES = {"B", "P", "M"}
# Hop, frames ahead.
TRADE_OFF = ((1.5, 2), (2.5, 2), (3.5, 3), (2.5, 5), (4.5, 5), (6.5, 2), (6.5, 5), (6.5, 11))


@dataclass(frozen=True)
class Clips:
    """Tracked clips: sounds, neutrals [C,478,3], gaps and widths [C,T], closures [M,2]."""

    names: list[str]
    sounds: list[FloatArray]
    neutrals: FloatArray
    gaps: FloatArray
    widths: FloatArray
    closures: FloatArray


def load_clips(clips: Path, tracks: Path, names: list[str], *, one_person: bool) -> Clips:
    """Track (where that is not done yet) and read some clips of a folder."""
    track_folder(clips, tracks, model=models.tracker(), names=names)
    kept = [name for name in names if (tracks / f"{name}.npy").exists()]
    faces = [np.load(tracks / f"{name}.npy") for name in kept]
    frames = min(len(f) for f in faces)
    stacked = np.stack([f[:frames] for f in faces])
    raw = [read_sound(clips / f"{name}.mp4") for name in kept]
    gaps, widths = geometry.lip_opening(stacked), geometry.mouth_width(stacked)
    loud = np.stack([loudness_db(sound, frames) for sound in raw])
    if one_person:
        resting = neutral_face(stacked.reshape(-1, *stacked.shape[2:]), gaps.ravel(), loud.ravel())
        neutrals = np.repeat(resting[None], len(kept), axis=0)
    else:
        parts = zip(stacked, gaps, loud, strict=True)
        neutrals = np.stack([neutral_face(f, g, db) for f, g, db in parts])
    sounds: list[FloatArray] = [sound.astype(np.float32) / 32768 for sound in raw]
    return Clips(kept, sounds, neutrals, gaps, widths, np.zeros((0, 2)))


def aligned_closures(clips: Path, names: list[str], work: Path) -> FloatArray:
    """Clip and time (s) [M,2] of the middles of p, b and m, by forced alignment."""
    phones = align_clips([clips / f"{name}.mp4" for name in names], work / "evaluate_phones.tsv")
    found = [
        (names.index(name), (phone.start_s + phone.end_s) / 2)
        for name, spoken in phones.items()
        for phone in spoken
        if phone.phone in CLOSING_PHONES
    ]
    return np.array(found, np.float64).reshape(-1, 2)


def predict(model: SpeechToMesh, clips: Clips) -> tuple[FloatArray, FloatArray]:
    """Openings and widths [C,T] of the model, on each clip's neutral face."""
    frames = clips.gaps.shape[1]
    gaps, widths = [], []
    for sound, neutral in zip(clips.sounds, clips.neutrals, strict=True):
        faces = model.mesh_sequence(sound, FPS).offsets[:frames] + neutral
        faces = np.concatenate([faces, np.repeat(faces[-1:], frames - len(faces), axis=0)])
        gaps.append(geometry.lip_opening(faces))
        widths.append(geometry.mouth_width(faces))
    return np.stack(gaps), np.stack(widths)


def loudness_mouth(clips: Clips) -> FloatArray:
    """The baseline: loudness [C,T], from shut at 35 dB under the loudest, over three frames."""
    rows = []
    for sound in clips.sounds:
        loud = loudness_db(np.round(sound * 32768).astype(np.int16), clips.gaps.shape[1])
        mouth = np.clip(loud - loud.max() + BASELINE_RANGE_DB, 0, None)
        rows.append(np.convolve(mouth, np.ones(3) / 3, "same"))
    return np.stack(rows) / BASELINE_RANGE_DB * 0.15


def line(label: str, found: Score | dict[str, Any]) -> str:
    """One row of the table."""
    values = found if isinstance(found, dict) else vars(found)
    return (
        f"{label:<46} {values['opening']:.3f} [{values['opening_low']:.3f} "
        f"{values['opening_high']:.3f}]  {values['width']:.3f} [{values['width_low']:.3f} "
        f"{values['width_high']:.3f}]  {values['spread']:.2f}  {values['lag_frames']:+.1f}"
    )


def report_scores(
    model: SpeechToMesh, sets: dict[str, Clips], card: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """The table of variants, and closures; the shipped network's own scores."""
    measured: dict[str, dict[str, float]] = {}
    for name, clips in sets.items():
        log.info("\n%s: %d clips", name, len(clips.names))
        log.info("%-46s opening [95 %%]         width [95 %%]           spread  lag", "")
        baseline = loudness_mouth(clips)
        loud = score(baseline, baseline, clips.gaps, clips.widths)
        log.info(line("loudness (as the opening and as the width)", loud))
        for label, scores in card["variants"].items():
            log.info(line(label, scores[name]))
        gaps, widths = predict(model, clips)
        own = score(gaps, widths, clips.gaps, clips.widths)
        log.info(line("shipped", own))
        times = np.arange(gaps.shape[1]) / FPS
        shut = closure_rate(gaps, times, clips.closures)
        tracked = closure_rate(clips.gaps, times, clips.closures)
        log.info(
            "shut (< 0.02) within 60 ms of p, b, m: %.0f %% of %d, tracked clips %.0f %%",
            100 * shut, len(clips.closures), 100 * tracked,
        )  # fmt: skip
        measured[name] = {**vars(own), "closures": shut, "tracked_closures": tracked}
    return measured


def report_trade_off(encoder: Path, clips: Clips, frames: int) -> None:
    """Correlations over look-ahead, with the shipped decoder, on the other speakers."""
    log.info("\nlook-ahead   hop   windows' cost   opening   width   (other speakers)")
    for hop, ahead in TRADE_OFF:
        scheme = WindowScheme(frames - round(2 * hop) - ahead, hop, ahead)
        model = SpeechToMesh(encoder, scheme=scheme)
        found = score(*predict(model, clips), clips.gaps, clips.widths)
        log.info(
            "%7.3f s  %.3f s %9.1f x  %12.3f %8.3f", scheme.look_ahead_s, hop * 0.024,
            frames / hop, found.opening, found.width,
        )  # fmt: skip


def report_robustness(model: SpeechToMesh, clips: Clips) -> None:
    """Silence, level, shifts, chunks, joins, speed."""
    from training import robustness

    neutral = clips.neutrals[0]
    log.info("\nat rest the lips are %.4f apart", float(geometry.lip_opening(neutral)))
    for name, (gap, speed) in robustness.shut_lips(model, neutral).items():
        log.info("%-20s widest %.4f, fastest %.3f eye distances a second", name, gap, speed)
    sounds = clips.sounds[:8]
    log.info(
        "20 dB softer or louder: opening changes by at most %.1f %% of its 95th percentile",
        100 * robustness.level_change(model, sounds, neutral),
    )
    for shift, part in robustness.shift_change(model, sounds, neutral).items():
        log.info("shift of %3d samples: %.1f %%", shift, 100 * part)
    log.info("chunks: %.1e eye distances", robustness.chunk_difference(model, sounds[0]))
    log.info("jitter at window joins: %.2f x", robustness.join_jitter(model, clips.sounds, neutral))
    started = time.perf_counter()
    model.mesh_sequence(np.concatenate(sounds), 30.0)
    seconds = sum(len(sound) for sound in sounds) / SAMPLE_RATE_HZ
    log.info("speed: %.3f s for a second of speech", (time.perf_counter() - started) / seconds)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = command.parser("training.evaluate", __doc__)
    parser.add_argument("grid", type=Path, help="folder with s1, s1_words.tsv and others")
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--record", action="store_true", help="write the scores into the card")
    given = parser.parse_args(arguments)
    card_file = networks.WEIGHTS / "faceformer.json"
    card = json.loads(card_file.read_text("utf-8"))
    held = load_clips(
        given.grid / "s1", given.work / "tracks/s1", card["held_out"], one_person=True
    )
    others_names = [clip.stem for clip in command.files_in(given.grid / "others", "*.mp4")]
    others = load_clips(
        given.grid / "others", given.work / "tracks/others", others_names, one_person=False
    )
    held = _with(held, closure_times(given.grid / "s1_words.tsv", held.names))
    others = _with(others, aligned_closures(given.grid / "others", others.names, given.work))
    encoder = models.encoder()
    model = SpeechToMesh(encoder)
    log.info("scheme: %s, look-ahead %.3f s", model.scheme, model.look_ahead_s)
    card["measured"] = report_scores(model, {"s1": held, "others": others}, card)
    if given.record:
        card_file.write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    report_trade_off(encoder, others, model.scheme.frames)
    report_robustness(model, held)


def _with(clips: Clips, closures: FloatArray) -> Clips:
    return Clips(**{**vars(clips), "closures": closures})


if __name__ == "__main__":
    command.run(main, stream=sys.stdout)
