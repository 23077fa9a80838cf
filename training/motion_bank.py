"""Tracked talk -> the bank of segments that generated head motion is made of.

    python -m training.motion_bank data/talk work/talk src/mdth/weights

Only clips whose `use` is `train`. Steps of 40 ms: the head about the clip's mean, the neck's way,
brows and cheeks as principal components, smoothed without delay; and where the eyes looked.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.face import geometry, topology
from mdth.motion.bank import CHEEKS, HEAD, MOVED, NECK, mouth_shape
from mdth.motion.head import STEADY_EYES
from mdth.motion.voice import STEP_HZ
from training import card, command
from training.measures import MIRROR
from training.motion_measure import at_steps, clips, gaze_deg, smoothed
from training.talk import Talk

log = logging.getLogger("mdth")

# Trembling of single pictures is below this, nods are above.
HEAD_S, FACE_S, GAZE_S = 0.06, 0.08, 0.03
# Eyes that are open this far tell where they look; they stay where they are slower than this.
OPEN, SACCADE_DEG_S, SHORTEST_LOOK_S = 0.75, 30.0, 0.2
# Root mean square of the standard deviations of yaw, pitch and roll.
USUAL_DEG = 3.3
# Quicker turns and shifts (eye distances a second) are left out.
QUICKEST_DEG_S, QUICKEST_SHIFT = 45.0, 1.2
# Brows are at rest where they are lower than in so many of a clip's pictures.
RESTING = 0.6
BROW_COMPONENTS, CHEEK_COMPONENTS = 3, 3
RIDGE = 1e-4
"""Keeps the cheeks' answer to the mouth small where few clips tell it, eye distances squared."""


def head_track(talk: Talk) -> FloatArray:
    """[T,6] yaw, pitch, roll in degrees and the neck's way in eye distances, about their means."""
    pose = talk.pose
    euler = np.unwrap(geometry.euler_deg(pose.rotation), period=360, axis=0)
    scale = pose.scale.mean()
    neck = geometry.to_picture(np.tile(geometry.NECK, (len(euler), 1, 1)), pose)[:, 0] / scale
    neck[:, 2] = geometry.VIEW_DISTANCE * (scale / pose.scale - 1)
    whole = np.concatenate([euler, neck], axis=1)
    return smoothed(whole - whole.mean(axis=0), talk.fps, HEAD_S)


def moved_track(face: FloatArray, fps: float) -> FloatArray:
    """[T,20+C,3] of `MOVED`: cheeks about their mean, brows above where they rest.

    In talk brows are raised now and then; about their mean they would frown half the time.
    """
    moved = smoothed(face[:, MOVED].reshape(len(face), -1), fps, FACE_S)
    moved = moved.reshape(len(face), len(MOVED), 3)
    brows = len(topology.BROWS)
    height = moved[:, :brows, 1].mean(axis=1)
    rest = moved.mean(axis=0)
    rest[:brows] = moved[height >= np.quantile(height, RESTING), :brows].mean(axis=0)
    return np.asarray(moved - rest)


def evened(head: FloatArray) -> float:
    """What brings a clip half the way to the amount that people move on average."""
    return float((USUAL_DEG / np.sqrt(head[:, HEAD].var(axis=0).mean())) ** 0.5)


def following(usual: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """How many steps follow each usual one [T] up to the next that is not."""
    ends = np.append(np.flatnonzero(~usual), len(usual))
    steps = np.flatnonzero(usual)
    return np.asarray(ends[np.searchsorted(ends, steps)] - steps - 1)


def components(
    offsets: FloatArray, count: int, vertices: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Principal components [count,V,3] of offsets [T,V,3] and of their mirrors, and their signs."""
    place = {int(vertex): k for k, vertex in enumerate(vertices)}
    facing = [place[int(MIRROR[vertex])] for vertex in vertices]
    mirrored = offsets[:, facing] * np.array([-1, 1, 1])
    both = np.concatenate([offsets, mirrored]).reshape(2 * len(offsets), -1)
    _, _, basis = np.linalg.svd(both.T @ both, hermitian=True)
    basis = basis[:count].reshape(count, len(vertices), 3)
    signs = np.sign((basis * (basis[:, facing] * np.array([-1, 1, 1]))).sum(axis=(1, 2)))
    return basis, signs


def looks(talk: Talk) -> Iterator[FloatArray]:
    """[3] of each time the eyes stayed: degrees to the right and down of their usual aim, seconds.

    Where they look is their turn in the head and, so far as they make up for it, the head's.
    """
    faces = talk.faces().astype(np.float64)
    openings = geometry.eye_openings(faces).mean(axis=1)
    seen = np.flatnonzero(openings > OPEN * np.median(openings))
    in_head = gaze_deg(faces)[seen]
    frames = np.arange(len(faces))
    held = np.stack([np.interp(frames, seen, column) for column in in_head.T], axis=1)
    gaze = smoothed(held, talk.fps, GAZE_S) + STEADY_EYES * head_track(talk)[:, :2]
    gaze -= np.median(gaze, axis=0)
    speed = np.linalg.norm(np.gradient(gaze, axis=0), axis=1) * talk.fps
    moves = np.concatenate([[1], speed > SACCADE_DEG_S, [1]]).astype(int)
    edges = np.flatnonzero(np.diff(moves))
    for start, end in edges.reshape(-1, 2):
        if (end - start) / talk.fps >= SHORTEST_LOOK_S:
            yield np.append(np.median(gaze[start:end], axis=0), (end - start) / talk.fps)


def main() -> None:
    parser = command.parser("training.motion_bank", __doc__)
    parser.add_argument("talk", type=Path, help="folder with clips.tsv")
    parser.add_argument("tracks", type=Path)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    heads, lefts, faces, mouths = [], [], [], []
    eyes: list[FloatArray] = []
    for _, talk, _ in clips(given.talk, given.tracks, ["train"]):
        head = at_steps(head_track(talk), talk.fps)
        head *= evened(head)
        face = talk.faces().astype(np.float64)
        mouth = at_steps(smoothed(mouth_shape(face), talk.fps, FACE_S), talk.fps)
        moved = at_steps(moved_track(face, talk.fps), talk.fps)
        speed = np.gradient(head, axis=0) * STEP_HZ
        turns, shifts = (np.linalg.norm(speed[:, part], axis=1) for part in (HEAD, NECK))
        usual = (turns < QUICKEST_DEG_S) & (shifts < QUICKEST_SHIFT)
        heads.append(head[usual])
        faces.append(moved[usual])
        mouths.append((mouth - mouth.mean(axis=0))[usual])
        lefts.append(following(usual))
        eyes += looks(talk)
    face, mouth = np.concatenate(faces), np.concatenate(mouths)
    brows, cheeks = np.split(face, [len(topology.BROWS)], axis=1)
    flat = cheeks.reshape(len(cheeks), -1)
    answer = np.linalg.solve(mouth.T @ mouth + RIDGE * len(mouth) * np.eye(4), mouth.T @ flat)
    rest = flat - mouth @ answer
    log.info("the mouth explains %.2f of the cheeks' variance", 1 - rest.var() / flat.var())
    brow_basis, brow_signs = components(brows, BROW_COMPONENTS, topology.BROWS)
    cheek_basis, cheek_signs = components(rest.reshape(cheeks.shape), CHEEK_COMPONENTS, CHEEKS)
    basis = np.zeros((BROW_COMPONENTS + CHEEK_COMPONENTS, len(MOVED), 3))
    basis[:BROW_COMPONENTS, : len(topology.BROWS)] = brow_basis
    basis[BROW_COMPONENTS:, len(topology.BROWS) :] = cheek_basis
    whole = np.concatenate([brows.reshape(len(brows), -1), rest], axis=1)
    weights = whole @ basis.reshape(len(basis), -1).T
    log.info("components keep %.2f of brows and cheeks", weights.var(0).sum() / whole.var(0).sum())
    motion = np.concatenate([np.concatenate(heads), weights], axis=1)
    path = given.output / "motion.npz"
    np.savez_compressed(
        path,
        motion=motion.astype(np.float16),
        left=np.concatenate(lefts).astype(np.int16),
        basis=basis.astype(np.float32),
        mirror=np.concatenate([[-1, 1, -1, -1, 1, 1], brow_signs, cheek_signs]).astype(np.int8),
        looks=np.concatenate([eyes, np.array(eyes) * [-1, 1, 1]]).astype(np.float32),
        cheeks=answer.T.reshape(len(CHEEKS), 3, 4).astype(np.float32),
    )
    log.info("%d steps of %d clips, SD %s", len(motion), len(heads), motion.std(0).round(3))
    card.write("motion", path, {"clips": len(heads), "seconds": round(len(motion) / STEP_HZ, 1)})


if __name__ == "__main__":
    command.run(main)
