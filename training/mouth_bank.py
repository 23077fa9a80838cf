"""Training samples for the mouth network: pictures seen as the renderer will see them.

A sample is a source S, warped to some mesh by the renderer's own code with its mouth cut out, and
the mouth that belongs there: a true picture T with that mesh. T is another picture of the same
person, S itself with its inside hidden, or, for meshes that no sharp still shows, a frame of
somebody else whose mouth is brought to S's face (the set `crossed`).
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
from mdth.embedded.render import conditions
from mdth.embedded.render.cavity import OWN_TEETH_GAP, Cavity, View
from mdth.embedded.render.light import measure_light
from mdth.embedded.render.motion import rigid_motion
from mdth.embedded.render.tone import Tone
from mdth.embedded.render.warp import Warp
from mdth.face import geometry, topology
from training.measures import MIRROR

SIZE = conditions.SIZES[0]
# Lips nearer than this in T, eye distances, leave nothing to learn from.
MIN_OPENING = 0.02
# A clip's frame with lips nearer than this serves as a source.
NEAR = 0.1
# Sets in which every true picture is two frames that follow each other, and the stills that lend
# their faces to others' mouths, with this share of the one man's mouths.
PAIRED = ("talk", "s1", "crossed")
LENDING, S1_SHARE = ("london", "generated", "flux"), 0.15
# This share of the pictures is shrunk, at random down to a size, to no smaller an eye distance, px.
SHRINK, SHRUNK_SHARE, MIN_EYE = 0.4, 0.5, 55.0
# This share of the stills is softened by up to so much, px, as a lens or a codec would.
SOFTENED_SHARE, SOFT_PX = 0.4, (0.3, 1.5)
CHUNK = 16
# Meshes are packed in steps of this part of a pixel.
MESH_STEPS = 32


class Pair(NamedTuple):
    """Indices of a true picture and its source, and the set they are of.

    In the sets of PAIRED the picture after `true` is the clip's next frame.
    """

    true: int
    source: int
    part: str


class Samples(NamedTuple):
    """Samples float16 [N,17,h,w]; of each the number of whose mouth it is (`Pictures.people`).

    around [N]: whether what is around the lips is true too: S is another picture of T's person.
    """

    planes: npt.NDArray[np.float16]
    person: npt.NDArray[np.int64]
    around: npt.NDArray[np.bool_]


class Pictures:
    """What `training.mouth_data` packed."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "pictures.npz", allow_pickle=False) as arrays:
            self._offsets = arrays["offsets"]
            self.meshes = arrays["meshes"] / MESH_STEPS
            self.person = arrays["person"]
            self.part = arrays["part"]
            follows = arrays["follows"]
        self._blob = np.memmap(folder / "pictures.bin", np.uint8, "r")
        self.openings = geometry.lip_opening(self.meshes) / geometry.eye_distance(self.meshes)
        # The first of two frames, the second, neither.
        self.first = np.append(follows[1:], False)
        self._single = ~self.first & ~follows
        # Clips of one person are one person's.
        names = ["/".join(person.split("/")[:2]) for person in self.person]
        self.people, self.number = np.unique(names, return_inverse=True)

    def portrait(self, index: int) -> Portrait:
        """One picture with its mesh."""
        start, stop = self._offsets[index : index + 2]
        with PillowImage.open(io.BytesIO(self._blob[start:stop].tobytes())) as file:
            return Portrait(np.asarray(file.convert("RGB")), self.meshes[index])

    def pairs(self) -> Iterator[Pair]:
        """Every picture with parted lips, from those of its person without; stills from themselves.

        Of clips every moment, from each of the frames kept for their near lips.
        """
        for true in np.flatnonzero(self.openings > MIN_OPENING):
            part = str(self.part[true])
            clip = part.removesuffix("_test") in PAIRED
            if clip and not self.first[true]:
                continue
            mine = (self.person == self.person[true]) & (self.part == part) & self._single
            for source in np.flatnonzero(mine):
                near = self.openings[source] < (NEAR if clip else OWN_TEETH_GAP)
                if source == true or near:
                    yield Pair(int(true), int(source), part)

    def crossed(self, random: np.random.Generator, count: int) -> list[Pair]:
        """Moments of clips, everybody's as often, on the faces of stills with shut lips."""
        moments = self.first & (self.openings > MIN_OPENING)
        talk, s1 = (np.flatnonzero(moments & (self.part == part)) for part in ("talk", "s1"))
        shut = np.flatnonzero(np.isin(self.part, LENDING) & (self.openings < OWN_TEETH_GAP))
        people = np.unique(self.number[talk])
        pairs = []
        for source in random.choice(shut, count):
            mine = s1 if random.random() < S1_SHARE else talk
            if mine is talk or not len(s1):
                mine = talk[self.number[talk] == random.choice(people)]
            pairs.append(Pair(int(random.choice(mine)), int(source), "crossed"))
        return pairs


def lids_apart(mesh: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """How far the lids of meshes [...,478,3] px are apart, eye distances [...]."""
    pairs = np.concatenate([topology.LID_PAIRS_LEFT, topology.LID_PAIRS_RIGHT])
    lids = np.diff(mesh[..., pairs, :2], axis=-2)[..., 0, :]
    apart = np.linalg.norm(lids, axis=-1).mean(-1) / geometry.eye_distance(mesh)
    return np.asarray(apart, np.float32)


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
        colours = self.tone.relative(aim.transpose(2, 0, 1))
        return np.concatenate([self.planes, colours]).astype(np.float16)


class Source:
    """A portrait without teeth of its own, under any mesh."""

    def __init__(self, portrait: Portrait) -> None:
        self.portrait = portrait
        self._cavity = Cavity(portrait, show_own=False)
        self._warp = Warp(portrait)
        self._mesh = np.asarray(portrait.mesh, np.float64)
        self.light = self._cavity.light
        self._tone = Tone.of(self.light.skin)

    def under(self, mesh: FloatArray, size: tuple[int, int]) -> Seen:
        """What the network sees for a mesh [478,3] px in the portrait's picture."""
        rigid = rigid_motion(self._mesh, mesh)
        bones = self._cavity.bones(mesh, rigid)
        view = conditions.look(self._cavity, bones, mesh, size)
        warped = self._warp.apply(self._warp.field(mesh, rigid), mesh)
        around = conditions.cut_out(warped, view.view)
        planes = conditions.conditions(self._cavity, bones, view, around)
        return Seen(planes, view, around, self._tone)


def make(true: Portrait, source: Source, *, size: tuple[int, int], crossed: bool) -> FloatArray:
    """Conditions [14,h,w], then the true colours [3,h,w], -1..1, float16 [17,h,w].

    crossed: T is somebody else, whose mouth is as bright beside S's skin as beside their own, and
    whose teeth differ from S's by as much as both's eyes and skin say.
    """
    mesh, matrix = bring(true, source.portrait)
    seen = source.under(mesh, size)
    aim = conditions.cut_out(true.image, View(seen.view.view.of(matrix), size))
    if crossed:
        light, inside = measure_light(true.image, true.mesh), seen.view.inside[..., None]
        relative = Tone.of(light.skin).relative(aim.transpose(2, 0, 1))
        lent = seen.tone.absolute(relative).transpose(1, 2, 0)
        teeth = np.minimum(aim * (source.light.tooth / light.tooth), 255)
        lent += tooth_share(relative)[..., None] * (teeth - lent)
        return seen.sample(seen.around + inside * (lent - seen.around))
    return seen.sample(aim)


def tooth_share(relative: FloatArray) -> FloatArray:
    """How much of each pixel [3,h,w], relative to the skin, -1..1, is bright and not red, [h,w]."""
    red = (relative[0] + 1) / (relative[1] + 1.02)
    bright = np.clip((relative.mean(0) + 0.7) / 0.8, 0, 1)
    return np.asarray(bright * np.clip((1.25 - red) / 0.35, 0, 1))


def mirrored(portrait: Portrait) -> Portrait:
    """The portrait as in a mirror; the mesh's vertices change sides."""
    width = portrait.image.shape[1]
    mesh = portrait.mesh[MIRROR] * np.array([-1, 1, 1]) + np.array([width - 1, 0, 0])
    return Portrait(np.ascontiguousarray(portrait.image[:, ::-1]), mesh)


def softened(portrait: Portrait, sigma_px: float) -> Portrait:
    """The portrait through a softer lens."""
    blurred = cv2.GaussianBlur(portrait.image, (0, 0), sigma_px)
    return Portrait(np.asarray(blurred, np.uint8), portrait.mesh)


def worker(job: tuple[Path, list[Pair], int, tuple[int, int]]) -> FloatArray:
    """Samples [N,17,h,w] of some pairs, two for each of PAIRED; random_seed picks what varies."""
    folder, pairs, random_seed, size = job
    cv2.setNumThreads(1)
    random = np.random.default_rng(random_seed)
    pictures = Pictures(folder)
    samples: list[FloatArray] = []
    for pair in pairs:
        numbers = [pair.source, pair.true, pair.true + 1][: 3 if paired(pair.part) else 2]
        chosen = [pictures.portrait(i) for i in numbers]
        if random.random() < 0.5:
            chosen = [mirrored(portrait) for portrait in chosen]
        own = min(float(geometry.eye_distance(portrait.mesh)) for portrait in chosen)
        tested = pair.part.endswith("_test")
        shrink = not tested and size == SIZE and random.random() < SHRUNK_SHARE
        unit = max(own * (random.uniform(SHRINK, 1) if shrink else 1), MIN_EYE)
        chosen = [scaled(portrait, unit) for portrait in chosen]
        if not tested and not pair.part.startswith("s1") and random.random() < SOFTENED_SHARE:
            sigma = float(random.uniform(*SOFT_PX))
            chosen = [softened(portrait, sigma) for portrait in chosen]
        source = Source(chosen[0])
        crossed = pair.part == "crossed"
        samples.extend(make(true, source, size=size, crossed=crossed) for true in chosen[1:])
    return np.stack(samples)


def paired(part: str) -> bool:
    """Whether the samples of a set are pairs of frames that follow each other."""
    return part.removesuffix("_test") in PAIRED


def bank(
    folder: Path, pairs: list[Pair], *, size: tuple[int, int], workers: int, random_seed: int = 0
) -> Samples:
    """Samples of all pairs of one set, made by several processes, in the pairs' order."""
    jobs = [
        (folder, pairs[at : at + CHUNK], random_seed + at, size)
        for at in range(0, len(pairs), CHUNK)
    ]
    pictures = Pictures(folder)
    each = 2 if paired(pairs[0].part) else 1
    person = np.repeat([pictures.number[pair.true] for pair in pairs], each)
    around = np.repeat(
        [pair.part != "crossed" and pair.true != pair.source for pair in pairs], each
    )
    # Forked processes would wait for OpenCV's threads, which are not forked with them.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return Samples(np.concatenate(list(pool.map(worker, jobs))), person, around)
