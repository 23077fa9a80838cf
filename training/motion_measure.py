"""Head, eyes, brows and cheeks of real people in talk, and ours for the same sounds.

    python -m training.motion_measure data/talk work/talk --use choose last

Real: the tracks of `training.talk`. Ours: the meshes that drive the picture, of the same person's
portrait (the frame that is nearest to rest), for the clip's own sound. Each row is the mean over
clips; both sides are smoothed alike (Gaussian, 60 ms), because tracks of single pictures tremble.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray, Portrait
from mdth.embedded.engine import Embedded
from mdth.embedded.session import EmbeddedAvatar
from mdth.face import geometry, topology
from mdth.motion.head import EYE_RADIUS
from mdth.motion.voice import STEP_HZ, Voice
from mdth.options import Options
from training import command
from training.dataset import read_sound
from training.talk import Talk, load, rows

log = logging.getLogger("mdth")
Figures = dict[str, FloatArray]

SMOOTH_S = 0.06
# A blink: lids that come nearer by this share of their usual gap and part again, each within so
# many seconds; its length is the time below four fifths of the way.
DIP, REACH_S, PART = 0.15, 0.7, 0.2
LAGS_S = 0.6
_X, _Y = np.abs(topology.CANONICAL[:, 0]), topology.CANONICAL[:, 1]
CHEEKS = np.flatnonzero((_Y > 0.15) & (_Y < 0.45) & (_X > 0.2) & (_X < 0.6))
ROWS = {
    **{"yaw": "yaw SD, degrees", "pitch": "pitch SD, degrees", "roll": "roll SD, degrees"},
    **{"speed": "yaw speed, degrees/s", "jerk": "head above 3 Hz, degrees/s"},
    **{"shift": "neck SD, % of eye distance", "gaze": "gaze SD, degrees"},
    **{"steady": "eyes against head, r", "brows": "brows SD, % of eye distance"},
    **{"cheeks": "cheeks SD, % of eye distance", "blinks": "blinks a minute"},
    **{"in step": "head speed with voice, r", "brows in step": "brow speed with voice, r"},
}


def smoothed(track: FloatArray, fps: float, spread_s: float = SMOOTH_S) -> FloatArray:
    """A track [T,K], each value the mean around it under a Gaussian of SD `spread_s`."""
    reach = max(1, int(4 * spread_s * fps))
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / (fps * spread_s)))
    ends = np.pad(track, ((reach, reach), (0, 0)), mode="edge")
    columns = [np.convolve(column, kernel / kernel.sum(), "valid") for column in ends.T]
    return np.stack(columns, axis=1)


def gaze_deg(faces: FloatArray) -> FloatArray:
    """Eyes turned to the viewer's right and down [T,2], from the mean, for faces [T,478,3]."""
    centres = faces[:, [iris[0] for iris in topology.IRISES], :2].mean(axis=1)
    shift: FloatArray = centres - centres.mean(axis=0)
    return np.asarray(np.rad2deg(np.arcsin(np.clip(shift / EYE_RADIUS, -1, 1))))


def blink_lengths(openings: FloatArray, fps: float) -> list[float]:
    """Seconds of each blink, from the gap of the lids [T]."""
    gap, reach, near = openings / np.median(openings), int(REACH_S * fps), int(0.15 * fps)
    lengths, now = [], 1
    while now < len(gap) - 1:
        lowest = gap[now] <= gap[max(0, now - near) : now + near + 1].min()
        around = min(gap[max(0, now - reach) : now].max(), gap[now + 1 : now + 1 + reach].max())
        if lowest and around - gap[now] > DIP:
            level = around - PART * (around - gap[now])
            before = np.flatnonzero(gap[:now] >= level)
            after = now + np.flatnonzero(gap[now:] >= level)
            start, end = (before[-1] if len(before) else 0), (after[0] if len(after) else len(gap))
            lengths.append(float(end - start - 1) / fps)
            now = end
        now += 1
    return lengths


def in_step(speed: FloatArray, voice: FloatArray) -> FloatArray:
    """Correlation of a speed and the voice [T] at `STEP_HZ`, for each shift up to LAGS_S."""
    most, count = int(LAGS_S * STEP_HZ), len(speed)
    return np.array(
        [
            np.corrcoef(
                speed[max(0, lag) : count + min(0, lag)], voice[max(0, -lag) : count - max(0, lag)]
            )[0, 1]
            for lag in range(-most, most + 1)
        ]
    )


def figures(talk: Talk, sound: FloatArray) -> Figures:
    """Each row's value of one clip, the lengths of its blinks, and both correlations by shift."""
    fps, faces = talk.fps, talk.faces().astype(np.float64)
    pose = talk.pose
    raw = np.unwrap(geometry.euler_deg(pose.rotation), period=360, axis=0)
    euler, gaze = smoothed(raw, fps), smoothed(gaze_deg(faces), fps)
    neck = geometry.to_picture(np.tile(geometry.NECK, (len(raw), 1, 1)), pose)[:, 0, :2]
    brows = smoothed(100 * faces[:, topology.BROWS, 1].mean(axis=1, keepdims=True), fps)
    cheeks = smoothed(100 * faces[:, CHEEKS, :2].reshape(len(faces), -1), fps)
    speed = np.gradient(euler, axis=0) * fps
    fast = speed - smoothed(speed, fps, 0.1)
    blinks = blink_lengths(geometry.eye_openings(faces).mean(axis=1), fps)
    brows_speed = np.abs(np.gradient(brows[:, 0]))
    step = at_steps(np.stack([np.linalg.norm(speed, axis=1), brows_speed], axis=1), fps)
    voice = smoothed(np.array(Voice().feed(sound))[: len(step), None], STEP_HZ)[:, 0]
    step = step[: len(voice)]
    against = [np.corrcoef(gaze[:, k], euler[:, k])[0, 1] for k in (0, 1)]
    yaw, pitch, roll = euler.std(axis=0)
    return {
        **{"yaw": yaw, "pitch": pitch, "roll": roll, "speed": np.abs(speed[:, 0]).mean()},
        "jerk": np.linalg.norm(fast, axis=1).mean(),
        "shift": 100 * np.linalg.norm(smoothed(neck / pose.scale.mean(), fps).std(axis=0)),
        "gaze": gaze.std(axis=0).mean(),
        **{"steady": np.mean(against), "brows": brows.std()},
        "cheeks": np.sqrt(2 * np.square(cheeks.std(axis=0)).mean()),
        "blinks": 60 * len(blinks) * fps / len(faces),
        **{"lengths": np.array(blinks), "seconds": np.array(len(faces) / fps)},
        "in step": in_step(step[:, 0], voice),
        "brows in step": in_step(step[:, 1], voice),
    }


def at_steps(track: FloatArray, fps: float) -> FloatArray:
    """A track [T,...] of a clip at `STEP_HZ`."""
    times = np.arange(int(len(track) / fps * STEP_HZ)) / STEP_HZ
    flat, known = track.reshape(len(track), -1), np.arange(len(track)) / fps
    columns = [np.interp(times, known, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(len(times), *track.shape[1:])


def summary(clips: list[Figures]) -> dict[str, float]:
    """The rows over clips: means, correlations at the shift where their mean is largest."""
    rows = {row: float(np.mean([clip[row] for clip in clips])) for row in ROWS if "step" not in row}
    seconds = np.array([clip["seconds"] for clip in clips])
    lengths = np.concatenate([clip["lengths"] for clip in clips])
    rows["blinks"] = float(60 * len(lengths) / seconds.sum())
    rows["blink length, s"], rows["its SD, s"] = float(lengths.mean()), float(lengths.std())
    for row in ("in step", "brows in step"):
        by_shift = np.average([clip[row] for clip in clips], axis=0, weights=seconds)
        rows[row] = float(by_shift.max())
        rows[f"{row}: shift, s"] = float(by_shift.argmax() / STEP_HZ - LAGS_S)
    return rows


def resting_portrait(talk: Talk) -> Portrait:
    """A picture of nothing with the clip's face where its lips are shut and its eyes as usual."""
    faces = talk.faces()
    openings = geometry.eye_openings(faces).mean(axis=1)
    away = geometry.lip_opening(faces) + np.abs(openings - np.median(openings))
    return Portrait(np.zeros((512, 512, 3), np.uint8), talk.mesh[int(away.argmin())])


def spoken(engine: Embedded, portrait: Portrait, sound: FloatArray, options: Options) -> Talk:
    """Our meshes for a sound."""
    drive = engine.drive(EmbeddedAvatar(portrait), options)
    meshes = np.stack([*drive.feed(sound), *drive.finish()])
    return Talk(meshes, np.ones(len(meshes), bool), float(options.motion.fps))


def clips(folder: Path, tracks: Path, uses: list[str]) -> Iterator[tuple[str, Talk, FloatArray]]:
    """Name, track and sound float32 [N] of the clips whose `use` is one of these."""
    for row in rows(folder, *uses):
        track = tracks / f"{Path(row['file']).stem}.npz"
        if track.exists():
            sound = read_sound(folder / "clips" / row["file"]).astype(np.float32) / 32768
            talk = load(track)
            yield track.stem, talk, sound[: int(len(talk.mesh) / talk.fps * SPEECH_RATE_HZ)]


def table(real: dict[str, float], ours: dict[str, float]) -> Iterator[str]:
    """Lines of Markdown."""
    yield "| | real | ours | ours / real |\n|---|---|---|---|"
    for row, value in real.items():
        ratio = f"{ours[row] / value:.2f}" if "shift, s" not in row else ""
        yield f"| {ROWS.get(row, row)} | {value:.2f} | {ours[row]:.2f} | {ratio} |"


def compare(
    folder: Path, tracks: Path, uses: list[str], *, seeds: int = 1
) -> dict[str, dict[str, float]]:
    """`real` and `ours`, printed as a table."""
    engine = Embedded()
    real: list[Figures] = []
    ours: list[Figures] = []
    for _, talk, sound in clips(folder, tracks, uses):
        real.append(figures(talk, sound))
        portrait = resting_portrait(talk)
        for _ in range(seeds):
            options = Options.of(random_seed=len(ours))
            ours.append(figures(spoken(engine, portrait, sound, options), sound))
    both = {"real": summary(real), "ours": summary(ours)}
    log.info("%d clips\n%s", len(real), "\n".join(table(**both)))
    return both


def main() -> None:
    parser = command.parser("training.motion_measure", __doc__)
    parser.add_argument("talk", type=Path, help="folder with clips.tsv")
    parser.add_argument("tracks", type=Path)
    parser.add_argument("--use", nargs="+", default=["choose"])
    parser.add_argument("--seeds", type=int, default=1, help="so many motions for each sound")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    both = compare(given.talk, given.tracks, given.use, seeds=given.seeds)
    if given.json:
        given.json.write_text(json.dumps(both, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    command.run(main)
