"""Samples for the networks of moving skin (`render.skin`): what the renderer makes, and the truth.

A picture is warped to the mesh of another of the same person; that other is what it should be.
"""

import math
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.embedded.render.cavity import View
from mdth.embedded.render.conditions import cut_out
from mdth.embedded.render.eyes import EyePainter
from mdth.embedded.render.light import measure_light
from mdth.embedded.render.motion import Rigid, rigid_motion
from mdth.embedded.render.skin import LIDS, LOWER, Area, Skin
from mdth.embedded.render.tone import Tone
from mdth.embedded.render.warp import Warp
from mdth.face import geometry
from training.mouth_bank import (
    MIN_EYE,
    SHRINK,
    SHRUNK_SHARE,
    Pictures,
    bring,
    lids_apart,
    mirrored,
    scaled,
)

AREAS: dict[str, tuple[Area, ...]] = {"lower_face": (LOWER,), "lids": LIDS}
# Pairs of each set, and its share of a batch.
PAIRS = {
    "lower_face": {"talk": 7000, "london": 3000, "s1": 1000, "generated": 400, "flux": 100},
    "lids": {"blink": 4000, "s1_blink": 1500, "generated": 300},
}
SHARES = {"talk": 0.55, "london": 0.27, "s1": 0.1, "generated": 0.06, "flux": 0.02}
SHARES |= {"blink": 0.75, "s1_blink": 0.2}
TESTS = {
    "lower_face": {"s1_test": 100, "london_test": 20},
    "lids": {"s1_blink_test": 60},
}
CHUNK = 16
# Pictures of heads turned further than this are not compared, degrees; width of an edge, px.
MOST_TURNED, EDGE = 12.0, 6


class Bank(NamedTuple):
    """Samples float16 [N,8,h,w] (planes, then the true skin), ways [N,K], and how often each."""

    planes: npt.NDArray[np.float16]
    ways: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float64]


def pairs(pictures: Pictures, part: str, count: int, random: np.random.Generator) -> FloatArray:
    """Numbers of true pictures and sources [count,2], every clip and person as often."""
    found = np.flatnonzero(pictures.part == part)
    by_person: dict[str, list[int]] = {}
    for index in found:
        by_person.setdefault(str(pictures.person[index]), []).append(int(index))
    clips = sorted(by_person)
    chosen = []
    for _ in range(count if clips else 0):
        mine = by_person[clips[random.integers(len(clips))]]
        true, source = random.choice(mine, 2, replace=len(mine) < 2)
        chosen.append((int(true), int(source)))
    return np.array(chosen, int).reshape(-1, 2)


def worker(job: tuple[Path, FloatArray, str, int, bool]) -> tuple[FloatArray, FloatArray]:
    """Samples and ways of some pairs."""
    folder, numbers, name, random_seed, tested = job
    cv2.setNumThreads(1)
    random = np.random.default_rng(random_seed)
    pictures = Pictures(folder)
    planes, ways = [], []
    for index, from_index in numbers.tolist():
        true, source = (pictures.portrait(i) for i in (index, from_index))
        if name == "lids" and lids_apart(source.mesh) < lids_apart(true.mesh):
            true, source = source, true
        if random.random() < 0.5:
            true, source = mirrored(true), mirrored(source)
        unit = min(float(geometry.eye_distance(p.mesh)) for p in (true, source))
        if not tested and random.random() < SHRUNK_SHARE:
            unit *= random.uniform(SHRINK, 1)
        true, source = (scaled(p, max(unit, MIN_EYE)) for p in (true, source))
        mesh, matrix = bring(true, source)
        rest = np.asarray(source.mesh, float)
        rigid = rigid_motion(rest, mesh)
        if turned_deg(rigid) > MOST_TURNED:
            # A face so far turned is another picture.
            true, mesh, matrix = source, rest, np.eye(2, 3)
            rigid = rigid_motion(rest, mesh)
        warp = Warp(source)
        frame = warp.apply(warp.field(mesh, rigid), mesh)
        if name == "lids":
            EyePainter(source.image, rest).paint(frame, mesh, rigid)
        tone = Tone.of(measure_light(source.image, rest).skin)
        for area in AREAS[name]:
            skin = Skin(area, rest, tone)
            seen = skin.look(mesh, rigid)
            skin.fill(seen, frame)
            aim = cut_out(true.image, View(seen.view.of(matrix), area.size))
            aim = relit(aim, cut_out(frame, seen.view)).transpose(2, 0, 1)
            planes.append(np.concatenate([seen.planes, tone.relative(aim)]))
            ways.append(seen.ways)
    return np.stack(planes).astype(np.float16), np.stack(ways)


def turned_deg(rigid: Rigid) -> float:
    """How far a head has turned."""
    scale = np.cbrt(np.linalg.det(rigid.matrix))
    return math.degrees(math.acos(np.clip((np.trace(rigid.matrix) / scale - 1) / 2, -1, 1)))


def relit(picture: FloatArray, like: FloatArray) -> FloatArray:
    """A picture [h,w,3] in the light of another, judged by their edges: nothing changes there."""
    edge = np.ones(picture.shape[:2], bool)
    edge[EDGE:-EDGE, EDGE:-EDGE] = False
    gain = (like[edge].mean(0) + 5) / (picture[edge].mean(0) + 5)
    return np.asarray(np.clip(picture * np.clip(gain, 0.75, 1.33), 0, 255))


def bank(folder: Path, name: str, counts: dict[str, int], *, workers: int, seed: int) -> Bank:
    """Samples of the sets of one network."""
    pictures = Pictures(folder)
    random = np.random.default_rng(seed)
    jobs: list[tuple[Path, FloatArray, str, int, bool]] = []
    weights = []
    for part, count in counts.items():
        chosen = pairs(pictures, part, count, random)
        if not len(chosen):
            continue
        for at in range(0, len(chosen), CHUNK):
            tested = part.endswith("_test")
            jobs.append((folder, chosen[at : at + CHUNK], name, seed + len(jobs), tested))
        each = len(AREAS[name])
        weights.append(np.full(each * len(chosen), SHARES.get(part, 1) / len(chosen)))
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        planes, ways = zip(*pool.map(worker, jobs), strict=True)
    return Bank(np.concatenate(planes), np.concatenate(ways), np.concatenate(weights))


def banks(
    folder: Path, name: str, *, workers: int, share: float = 1.0, seed: int = 0
) -> tuple[Bank, Bank]:
    """Samples to train on, and to test."""
    counts = {part: max(1, int(share * count)) for part, count in PAIRS[name].items()}
    return (
        bank(folder, name, counts, workers=workers, seed=seed),
        bank(folder, name, TESTS[name], workers=workers, seed=1),
    )
