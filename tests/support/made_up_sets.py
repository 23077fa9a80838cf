"""Tiny made-up sets in the formats of VOCASET and BIWI, to try training without the licensed data.

    python -m tests.support.made_up_sets vocaset work/made_up/vocaset
    python -m tests.support.made_up_sets biwi work/made_up/biwi

A grid of points whose lower half opens with the loudness of a hum, each subject by another amount.
Names of subjects and sentences are the published ones, so that the published split applies.
`lips.txt` and `upper.txt` name the lowest fifth of the grid and its upper half, to compare meshes.
"""

import logging
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray
from mdth.speak import voice
from training import command

log = logging.getLogger("mdth")

RATES_HZ = {"vocaset": 22_000, "biwi": 44_100}
FPS = {"vocaset": 60, "biwi": 25}
SPAN = {"vocaset": 0.2, "biwi": 1.0}
"""Height of the face in each set's unit."""


@dataclass(frozen=True)
class Sizes:
    """How much to make. subjects: of training, and of each kind held out."""

    vertices: int = 300
    subjects: int = 3
    sentences: int = 6
    duration_s: float = 2.0
    random_seed: int = 0


def make_vocaset(folder: Path, sizes: Sizes = Sizes()) -> None:
    """The four published files in `folder`."""
    from training.seed import vocaset

    folder.mkdir(parents=True, exist_ok=True)
    few = sizes.subjects
    names = (*vocaset.TRAINING[:few], *vocaset.VALIDATION[:few], *vocaset.TEST[:few])
    rng = np.random.default_rng(sizes.random_seed)
    meshes: list[FloatArray] = []
    sounds: dict[str, dict[str, object]] = {}
    rows: dict[str, dict[str, dict[int, int]]] = {}
    templates: dict[str, FloatArray] = {}
    for subject in names:
        templates[subject], way = _subject("vocaset", sizes.vertices, rng)
        sounds[subject], rows[subject] = {}, {}
        first = 1 if subject in vocaset.TRAINING else vocaset.FIRST_HELD_OUT
        for number in range(first, first + sizes.sentences):
            sound, opening = _sentence("vocaset", sizes.duration_s, rng)
            sentence, start = f"sentence{number:02}", sum(map(len, meshes))
            meshes.append(templates[subject] + opening[:, None, None] * way)
            rows[subject][sentence] = {frame: start + frame for frame in range(len(opening))}
            pcm = (sound * 32767).astype(np.int16)
            sounds[subject][sentence] = {"audio": pcm, "sample_rate": RATES_HZ["vocaset"]}
    np.save(folder / vocaset.FILES["meshes"], np.concatenate(meshes).astype(np.float32))
    tables = {"rows": rows, "sounds": sounds, "templates": templates}
    for name, table in tables.items():
        (folder / vocaset.FILES[name]).write_bytes(pickle.dumps(table, protocol=2))
    _write_regions(folder, sizes.vertices)


def make_biwi(folder: Path, sizes: Sizes = Sizes()) -> None:
    """`vertices_npy`, `templates.pkl` and `wav` in `folder`, as FaceFormer's authors have them."""
    from training.seed import biwi

    rng = np.random.default_rng(sizes.random_seed)
    # One of a training subject's takes validates, one tests, the rest train.
    trained = range(1, max(2, sizes.sentences - 1))
    numbers = [*trained, biwi.FIRST_VALIDATION, biwi.FIRST_TEST]
    takes = dict.fromkeys(biwi.TRAINING[: sizes.subjects], numbers)
    takes |= {name: [biwi.FIRST_TEST] for name in biwi.NEW[: sizes.subjects]}
    templates = {}
    for part in ("vertices_npy", "wav"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for subject, numbers in takes.items():
        template, way = _subject("biwi", sizes.vertices, rng)
        templates[subject] = template.reshape(-1)
        for number in numbers:
            sound, opening = _sentence("biwi", sizes.duration_s, rng)
            name, meshes = f"{subject}_e{number:02}", template + opening[:, None, None] * way
            rows = meshes.reshape(len(meshes), -1).astype(np.float32)
            np.save(folder / "vertices_npy" / f"{name}.npy", rows)
            voice.write(folder / "wav" / f"{name}.wav", [sound], rate_hz=RATES_HZ["biwi"])
    (folder / "templates.pkl").write_bytes(pickle.dumps(templates, protocol=2))
    _write_regions(folder, sizes.vertices)


def _subject(kind: str, vertices: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """A neutral face [V,3], and how far each vertex goes when the mouth is open [V,3]."""
    across = np.linspace(-0.4, 0.4, vertices) * np.cos(np.arange(vertices))
    up = np.linspace(-0.5, 0.5, vertices)
    depth = 0.3 - across**2 - up**2
    template = np.stack([across, up, depth], axis=1) * SPAN[kind] * rng.uniform(0.9, 1.1)
    down = np.clip(-up, 0, None)[:, None] * np.array([0.0, -0.2, -0.05])
    way = down * SPAN[kind] * rng.uniform(0.8, 1.2)
    return template.astype(np.float32), way.astype(np.float32)


def _sentence(
    kind: str, duration_s: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """A sound [N] of full scale 1 and the opening of the mouth [T], 0 to 1."""
    rate_hz, fps = RATES_HZ[kind], FPS[kind]
    knots = rng.uniform(0, 1, round(4 * duration_s) + 2) * (
        np.arange(round(4 * duration_s) + 2) % 2
    )
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    loudness = np.interp(time_s * 4, np.arange(len(knots)), knots)
    hum = np.sin(2 * np.pi * rng.uniform(110, 180) * time_s) + 0.3 * rng.standard_normal(
        len(time_s)
    )
    sound = 0.4 * loudness * hum + 0.002 * rng.standard_normal(len(time_s))
    frame_s = np.arange(round(duration_s * fps)) / fps
    return np.clip(sound, -1, 1), np.interp(frame_s * 4, np.arange(len(knots)), knots)


def _write_regions(folder: Path, vertices: int) -> None:
    for name, chosen in (("lips", range(vertices // 5)), ("upper", range(vertices // 2, vertices))):
        (folder / f"{name}.txt").write_text("\n".join(map(str, chosen)) + "\n", "utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = command.parser("tests.support.made_up_sets", __doc__)
    parser.add_argument("kind", choices=["vocaset", "biwi"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vertices", type=int, default=Sizes.vertices)
    parser.add_argument("--subjects", type=int, default=Sizes.subjects)
    parser.add_argument("--sentences", type=int, default=Sizes.sentences)
    parser.add_argument("--duration-s", type=float, default=Sizes.duration_s)
    given = parser.parse_args(arguments)
    sizes = Sizes(given.vertices, given.subjects, given.sentences, given.duration_s)
    {"vocaset": make_vocaset, "biwi": make_biwi}[given.kind](given.folder, sizes)
    log.info("%s: a made-up set in the format of %s", given.folder, given.kind)


if __name__ == "__main__":
    command.run(main)
