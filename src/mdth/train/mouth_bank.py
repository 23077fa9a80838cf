"""Training samples for the mouth network: real pictures seen as the renderer will see them.

A sample is a true picture T and a source S of the same person (another frame, the neutral still, or
T itself with its inside hidden): S is warped to T's mesh by the renderer's own code, the mouth cut
out, and T's own mouth is what the network has to paint.
"""

import io
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from mdth.artefacts import Portrait
from mdth.bfv2v.cavity import Cavity, View
from mdth.bfv2v.motion import rigid_motion
from mdth.bfv2v.warp import Warp
from mdth.face import geometry, topology
from mdth.retarget.drive import Driver
from mdth.retarget.head import REST
from mdth.train import mouth_conditions as conditions

FloatArray = npt.NDArray[np.floating]
SIZE = conditions.SIZES[0]
# Lips nearer than this in T, eye distances, leave nothing to learn from.
MIN_OPENING = 0.02
# This share of the pictures is shrunk, at random down to a size, to no smaller an eye distance, px.
SHRINK, SHRUNK_SHARE, MIN_EYE = 0.4, 0.5, 55.0
# Lips at least this far apart, eye distances, no still shows; see `Pictures.opened`.
WIDE = 0.07
CHUNK = 16
# Meshes are packed in steps of this part of a pixel.
MESH_STEPS = 32


class Pair(NamedTuple):
    """Indices of a true picture and its source, and the set they are of.

    In the set `opened` there is no true picture: S is opened as far as T's lips are, relative to
    the picture `rest` of T's person, and the drawn inside is what to paint.
    """

    true: int
    source: int
    part: str
    rest: int = -1


class Pictures:
    """What `mdth.train.mouth_data` packed."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "pictures.npz", allow_pickle=False) as arrays:
            self._offsets = arrays["offsets"]
            self.meshes = arrays["meshes"] / MESH_STEPS
            self.person = arrays["person"]
            self.part = arrays["part"]
        self._blob = np.memmap(folder / "pictures.bin", np.uint8, "r")

    def portrait(self, index: int) -> Portrait:
        """One picture with its mesh."""
        start, stop = self._offsets[index : index + 2]
        with PillowImage.open(io.BytesIO(self._blob[start:stop].tobytes())) as file:
            return Portrait(np.asarray(file.convert("RGB")), self.meshes[index])

    def pairs(self) -> Iterator[Pair]:
        """Every picture with parted lips, from each picture of its person (itself included)."""
        opening = geometry.lip_opening(self.meshes) / geometry.eye_distance(self.meshes)
        for true in np.flatnonzero(opening > MIN_OPENING):
            for source in np.flatnonzero(self.person == self.person[true]):
                yield Pair(int(true), int(source), str(self.part[true]))

    def opened(self, random: np.random.Generator, count: int) -> list[Pair]:
        """Stills, each opened like a random wide open frame of the clips."""
        opening = geometry.lip_opening(self.meshes) / geometry.eye_distance(self.meshes)
        wide = np.flatnonzero((self.part == "s1") & (opening > WIDE))
        stills = np.flatnonzero((self.part == "london") | (self.part == "generated"))
        pairs = []
        for true, source in zip(
            random.choice(wide, count), random.choice(stills, count), strict=True
        ):
            same = np.flatnonzero(self.person == self.person[true])
            rest = same[opening[same].argmin()]
            pairs.append(Pair(int(true), int(source), "opened", int(rest)))
        return pairs


def scaled(portrait: Portrait, eye_distance: float) -> Portrait:
    """The portrait resized so that its outer eye corners are `eye_distance` px apart."""
    ratio = eye_distance / float(geometry.eye_distance(portrait.mesh))
    height, width = portrait.image.shape[:2]
    size = (max(2, round(width * ratio)), max(2, round(height * ratio)))
    kind = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(portrait.image, size, interpolation=kind), np.uint8)
    factor = np.array([size[0] / width, size[1] / height, size[0] / width])
    moved = (portrait.mesh + [0.5, 0.5, 0]) * factor - [0.5, 0.5, 0]
    return Portrait(image, moved)


def bring(true: Portrait, source: Portrait) -> tuple[FloatArray, FloatArray]:
    """T's mesh in S's picture [478,3] px, by a plane similarity, and that similarity [2,3]."""
    rigid = topology.RIGID
    flat = np.array([1.0, 1.0, 0.0])
    pose = geometry.fit_similarity(source.mesh[None, rigid] * flat, true.mesh[rigid] * flat)
    turn = pose.scale[0] * pose.rotation[0][:2, :2]
    matrix = np.concatenate([turn, pose.translation[0][:2, None]], 1)
    mesh = np.asarray(true.mesh, np.float64).copy()
    mesh[:, :2] = mesh[:, :2] @ turn.T + matrix[:, 2]
    mesh[:, 2] = mesh[:, 2] * pose.scale[0]
    return mesh, matrix


def make(true: Portrait, source: Portrait, *, same: bool, size: tuple[int, int]) -> FloatArray:
    """Conditions [15,h,w], then the true colours [3,h,w], -1..1, float16 [18,h,w].

    same: the source is the true picture itself, whose inside must not be seen.
    """
    cavity = Cavity(source)
    if same:
        cavity.own_teeth = False
    mesh, matrix = bring(true, source)
    rigid = rigid_motion(np.asarray(source.mesh, np.float64), mesh)
    bones = cavity.bones(mesh, rigid)
    seen = conditions.look(cavity, bones, mesh, size)
    warp = Warp(source)
    warped = warp.apply(warp.field(mesh, rigid), mesh)
    around = conditions.cut_out(warped, seen.view)
    planes = conditions.conditions(cavity, bones, seen, around)
    target = conditions.cut_out(true.image, View(seen.view.of(matrix), size))
    return np.concatenate([planes, target.transpose(2, 0, 1) / 127.5 - 1]).astype(np.float16)


def make_opened(
    source: Portrait, true: Portrait, rest: Portrait, *, size: tuple[int, int]
) -> FloatArray:
    """The same for a still opened like T: what to paint is the drawing."""
    faces = []
    for portrait in (true, rest):
        meshes = portrait.mesh[None]
        face = geometry.to_face(meshes, geometry.head_pose(meshes))[0]
        faces.append(face / geometry.eye_distance(face))
    mesh = Driver(source).mesh(faces[0] - faces[1], REST).astype(np.float64)
    cavity = Cavity(source)
    rigid = rigid_motion(np.asarray(source.mesh, np.float64), mesh)
    bones = cavity.bones(mesh, rigid)
    seen = conditions.look(cavity, bones, mesh, size)
    warp = Warp(source)
    around = conditions.cut_out(warp.apply(warp.field(mesh, rigid), mesh), seen.view)
    planes = conditions.conditions(cavity, bones, seen, around)
    return np.concatenate([planes, planes[4:7]]).astype(np.float16)


def mirrored(portrait: Portrait) -> Portrait:
    """The portrait as in a mirror; the mesh's vertices change sides."""
    width = portrait.image.shape[1]
    mesh = portrait.mesh[topology.MIRROR] * np.array([-1, 1, 1]) + np.array([width - 1, 0, 0])
    return Portrait(np.ascontiguousarray(portrait.image[:, ::-1]), mesh)


def worker(job: tuple[Path, list[Pair], int, tuple[int, int]]) -> FloatArray:
    """Samples [N,18,h,w] of some pairs; the seed picks scale and mirroring."""
    folder, pairs, seed, size = job
    cv2.setNumThreads(1)
    random = np.random.default_rng(seed)
    pictures = Pictures(folder)
    samples = []
    for pair in pairs:
        chosen = [pictures.portrait(i) for i in (pair.true, pair.source, pair.rest) if i >= 0]
        if random.random() < 0.5:
            chosen = [mirrored(portrait) for portrait in chosen]
        of = chosen[1:2] if pair.part == "opened" else chosen
        own = min(float(geometry.eye_distance(portrait.mesh)) for portrait in of)
        shrink = size == SIZE and random.random() < SHRUNK_SHARE
        unit = max(own * (random.uniform(SHRINK, 1) if shrink else 1), MIN_EYE)
        if pair.part == "opened":
            samples.append(make_opened(scaled(chosen[1], unit), chosen[0], chosen[2], size=size))
        else:
            true, source = (scaled(portrait, unit) for portrait in chosen)
            samples.append(make(true, source, same=pair.true == pair.source, size=size))
    return np.stack(samples)


def bank(
    folder: Path, pairs: list[Pair], *, size: tuple[int, int], workers: int, seed: int = 0
) -> FloatArray:
    """Samples [N,18,h,w] of all pairs, float16, made by several processes, in the pairs' order."""
    jobs = [(folder, pairs[at : at + CHUNK], seed + at, size) for at in range(0, len(pairs), CHUNK)]
    with ProcessPoolExecutor(workers) as pool:
        return np.concatenate(list(pool.map(worker, jobs)))
