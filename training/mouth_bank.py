"""Training samples for the mouth network: pictures seen as the renderer will see them.

A sample is a source S, warped to some mesh by the renderer's own code with its mouth cut out, and
the mouth that belongs there. That is either a true picture T of the same person with that mesh
(another frame or still, or S itself with its inside hidden: `make`), or, for meshes that no still
shows, the person's own upper teeth from a still, moved with the skull, in a drawn cavity
(`make_opened`).
"""

import io
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.motion.drive import Driver
from mdth.embedded.render import conditions
from mdth.embedded.render.cavity import OWN_TEETH_GAP, Cavity, View
from mdth.embedded.render.motion import rigid_motion
from mdth.embedded.render.tone import Tone
from mdth.embedded.render.warp import Warp
from mdth.face import geometry, topology
from mdth.motion.head import REST
from training.mouth_shapes import Opening, teeth_shown

SIZE = conditions.SIZES[0]
# Lips nearer than this in T, eye distances, leave nothing to learn from.
MIN_OPENING = 0.02
# Stills whose lips are further apart than this show the teeth of the set `opened`.
TEETH_GAP = 0.065
# This share of the pictures is shrunk, at random down to a size, to no smaller an eye distance, px.
SHRINK, SHRUNK_SHARE, MIN_EYE = 0.4, 0.5, 55.0
# This share of the stills is softened by up to so much, px, as a lens or a codec would.
SOFTENED_SHARE, SOFT_PX = 0.4, (0.3, 1.5)
CHUNK = 16
# Meshes are packed in steps of this part of a pixel.
MESH_STEPS = 32


class Pair(NamedTuple):
    """Indices of a true picture and its source, and the set they are of.

    In the set `opened`, `true` is a still that shows teeth, and its person's lips open by `opening`
    in `source`.
    """

    true: int
    source: int
    part: str
    opening: Opening | None = None


class Pictures:
    """What `training.mouth_data` packed."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "pictures.npz", allow_pickle=False) as arrays:
            self._offsets = arrays["offsets"]
            self.meshes = arrays["meshes"] / MESH_STEPS
            self.person = arrays["person"]
            self.part = arrays["part"]
        self._blob = np.memmap(folder / "pictures.bin", np.uint8, "r")
        self.openings = geometry.lip_opening(self.meshes) / geometry.eye_distance(self.meshes)

    def portrait(self, index: int) -> Portrait:
        """One picture with its mesh."""
        start, stop = self._offsets[index : index + 2]
        with PillowImage.open(io.BytesIO(self._blob[start:stop].tobytes())) as file:
            return Portrait(np.asarray(file.convert("RGB")), self.meshes[index])

    def pairs(self) -> Iterator[Pair]:
        """Every picture with parted lips, from itself and from those of its person without."""
        for true in np.flatnonzero(self.openings > MIN_OPENING):
            for source in np.flatnonzero(self.person == self.person[true]):
                if source == true or self.openings[source] < OWN_TEETH_GAP:
                    yield Pair(int(true), int(source), str(self.part[true]))

    def opened(self, random: np.random.Generator, count: int) -> list[Pair]:
        """People whose still shows teeth, each with lips opened at random."""
        still = (self.part == "london") | (self.part == "generated")
        showing = [
            int(i)
            for i in np.flatnonzero(still & (self.openings > TEETH_GAP))
            if teeth_shown(self.portrait(int(i)))
        ]
        clips = np.flatnonzero((self.part == "s1") & (self.openings > MIN_OPENING))
        pairs = []
        for true in random.choice(showing, count):
            source = int(random.choice(np.flatnonzero(self.person == self.person[true])))
            spoken = int(random.choice(clips))
            same = np.flatnonzero(self.person == self.person[spoken])
            rest = int(same[self.openings[same].argmin()])
            faces = self.meshes[[spoken, rest]]
            pairs.append(Pair(int(true), source, "opened", Opening.random(random, faces)))
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


class Seen(NamedTuple):
    """A source as the network sees it under a mesh: conditions [14,h,w] and what they come from."""

    planes: npt.NDArray[np.float32]
    view: conditions.MouthView
    around: FloatArray
    tone: Tone

    def sample(self, aim: FloatArray) -> FloatArray:
        """Conditions, then what to paint [h,w,3] RGB 0..255: float16 [17,h,w], -1..1."""
        colours = self.tone.relative(aim).transpose(2, 0, 1)
        return np.concatenate([self.planes, colours]).astype(np.float16)


class Source:
    """A portrait without teeth of its own, under any mesh."""

    def __init__(self, portrait: Portrait) -> None:
        self._cavity = Cavity(portrait, show_own=False)
        self._warp = Warp(portrait)
        self._mesh = np.asarray(portrait.mesh, np.float64)
        self._tone = Tone.of(self._cavity.light.skin)

    def under(self, mesh: FloatArray, size: tuple[int, int]) -> Seen:
        """What the network sees for a mesh [478,3] px in the portrait's picture."""
        rigid = rigid_motion(self._mesh, mesh)
        bones = self._cavity.bones(mesh, rigid)
        view = conditions.look(self._cavity, bones, mesh, size)
        warped = self._warp.apply(self._warp.field(mesh, rigid), mesh)
        around = conditions.cut_out(warped, view.view)
        planes = conditions.conditions(self._cavity, bones, view, around)
        return Seen(planes, view, around, self._tone)


def make(true: Portrait, source: Portrait, *, size: tuple[int, int]) -> FloatArray:
    """Conditions [14,h,w], then the true colours [3,h,w], -1..1, float16 [17,h,w]."""
    mesh, matrix = bring(true, source)
    seen = Source(source).under(mesh, size)
    return seen.sample(conditions.cut_out(true.image, View(seen.view.view.of(matrix), size)))


def make_opened(
    source: Portrait, teeth: Portrait, opening: Opening, *, size: tuple[int, int]
) -> FloatArray:
    """The same for lips opened by rule, and a little further: float16 [2,17,h,w].

    What to paint is the cavity drawn around the upper teeth that the picture `teeth` shows.
    """
    mesh, matrix = bring(teeth, source)
    height, width = source.image.shape[:2]
    brought = cv2.warpAffine(teeth.image, matrix, (width, height), flags=cv2.INTER_CUBIC)
    cavity = Cavity(Portrait(np.asarray(brought, np.uint8), mesh))
    driver, shown = Driver(source), Source(source)
    samples = []
    for offsets in opening.pair():
        driving = driver.mesh(offsets, REST).astype(np.float64)
        seen = shown.under(driving, size)
        inside = seen.view.filled.inside
        bones = cavity.bones(driving, rigid_motion(mesh, driving))
        drawn = cavity.draw(bones, inside, seen.view.view)
        aim = seen.around + inside[..., None] * (drawn - seen.around)
        samples.append(seen.sample(aim))
    return np.stack(samples)


def mirrored(portrait: Portrait) -> Portrait:
    """The portrait as in a mirror; the mesh's vertices change sides."""
    width = portrait.image.shape[1]
    mesh = portrait.mesh[topology.MIRROR] * np.array([-1, 1, 1]) + np.array([width - 1, 0, 0])
    return Portrait(np.ascontiguousarray(portrait.image[:, ::-1]), mesh)


def softened(portrait: Portrait, sigma_px: float) -> Portrait:
    """The portrait through a softer lens."""
    blurred = cv2.GaussianBlur(portrait.image, (0, 0), sigma_px)
    return Portrait(np.asarray(blurred, np.uint8), portrait.mesh)


def worker(job: tuple[Path, list[Pair], int, tuple[int, int]]) -> FloatArray:
    """Samples [N,17,h,w] of some pairs, two for each opened one; random_seed picks what varies."""
    folder, pairs, random_seed, size = job
    cv2.setNumThreads(1)
    random = np.random.default_rng(random_seed)
    pictures = Pictures(folder)
    samples: list[FloatArray] = []
    for pair in pairs:
        chosen = [pictures.portrait(i) for i in (pair.true, pair.source)]
        if random.random() < 0.5:
            chosen = [mirrored(portrait) for portrait in chosen]
        own = min(float(geometry.eye_distance(portrait.mesh)) for portrait in chosen)
        tested = pair.part.endswith("_test")
        shrink = not tested and size == SIZE and random.random() < SHRUNK_SHARE
        unit = max(own * (random.uniform(SHRINK, 1) if shrink else 1), MIN_EYE)
        chosen = [scaled(portrait, unit) for portrait in chosen]
        still = not pair.part.startswith("s1") and not tested
        if still and random.random() < SOFTENED_SHARE:
            sigma = float(random.uniform(*SOFT_PX))
            chosen = [softened(portrait, sigma) for portrait in chosen]
        true, source = chosen
        if pair.opening is None:
            samples.append(make(true, source, size=size))
        else:
            samples.extend(make_opened(source, true, pair.opening, size=size))
    return np.stack(samples)


def bank(
    folder: Path, pairs: list[Pair], *, size: tuple[int, int], workers: int, random_seed: int = 0
) -> FloatArray:
    """Samples [N,17,h,w] of all pairs, float16, made by several processes, in the pairs' order."""
    jobs = [
        (folder, pairs[at : at + CHUNK], random_seed + at, size)
        for at in range(0, len(pairs), CHUNK)
    ]
    # Forked processes would wait for OpenCV's threads, which are not forked with them.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return np.concatenate(list(pool.map(worker, jobs)))
