"""Who is seen in a clip, frame by frame: shots, one person, and where the face is of no use."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.devices import usable_cores
from mdth.errors import NoFaceFound
from mdth.face import geometry, worn
from mdth.face.people import Person, Sighting, sighting, told_apart
from mdth.face.portrait import MIN_FACE_PX, find_faces, is_face, is_new
from mdth.face.shots import LEAST_CHANGE, cuts, jumps
from mdth.face.track import as_found
from mdth.face.tracker import FaceTracker, Mesh, Seen, each
from mdth.parallel import in_threads

# Turned further, the mesh's far half is a guess.
PROFILE_DEG = 40.0
# A face with less than this share of the detail it usually shows is blurred.
BLURRED_SHARE = 0.4
# The mouth is looked at for what covers it in one frame of so many: it costs 5 ms.
COVER_EVERY = 4
# Who is not found is looked for closer up where they were, for this long; a frame without any face
# is searched for small ones as often.
SOUGHT_S = 1.0
# The square that is looked at closely, in eye distances.
CLOSE = 5.0
# Lips that move less than this from frame to frame, eye distances, are the tracker's noise; who
# moves them by less than this in all does not speak.
NOISE, SPEAKS = 0.01, 0.3
# Who is seen in fewer frames than this is not counted: a passer-by, or a detector's fancy.
LEAST_SHARE = 0.05
POINTS = 478
# Threads that note what is seen of each face.
NOTERS = 2


class Why(IntEnum):
    """Why a frame is left as it is; USABLE is not."""

    USABLE = 0
    NO_FACE = 1
    SMALL = 2
    PROFILE = 3
    COVERED = 4
    BLURRED = 5


@dataclass(frozen=True)
class Followed:
    """One person in a clip of T frames.

    mesh: float32 [T,478,3] px, NaN where the person is not seen; may lie on disk. shot: int32 [T],
    rising from 0. why: uint8 [T] of `Why`. people: how many are seen in the clip.
    """

    mesh: npt.NDArray[np.float32]
    shot: npt.NDArray[np.int32]
    why: npt.NDArray[np.uint8]
    people: int

    @property
    def found(self) -> npt.NDArray[np.bool_]:
        """In which frames [T] the person is seen."""
        return np.asarray(self.why != Why.NO_FACE)


def follow(
    frames: Iterable[Frame],
    *,
    fps: float,
    face: int | None = None,
    point: tuple[float, float] | None = None,
) -> Followed:
    """Follow one person through RGB frames uint8 [H,W,3], which are read once and not kept.

    face: who, 1 the leftmost in the first of the frames that show the most people. point: x, y px,
    who is nearest to it when first seen. Else it is who moves the lips most, and if nobody does,
    who is largest. Meshes lie in a temporary file. Raises NoFaceFound.
    """
    with tempfile.TemporaryFile(prefix="mdth-") as rows, FaceTracker() as tracker:
        seen: list[list[Sighting]] = []
        search = _Search(tracker, rows, fps=fps, all_of_them=face is not None)
        met = search.met(each(frames, patience=search.still))
        for number, noted in enumerate(in_threads(_noted, met, min(NOTERS, len(usable_cores())))):
            again = (one._replace(frame=number) for one in seen[-1]) if noted is None else noted
            seen.append(list(again))
        as_found([bool(some) for some in seen])
        shot = np.cumsum(cuts(np.array(search.changes))).astype(np.int32)
        people = told_apart(seen, shot.tolist(), fps)
        least = min(LEAST_SHARE * len(seen), fps / 2)
        people = [one for one in people if len(one.seen) >= least] or people
        person = _chosen(people, face, point)
        mesh = _meshes(person, rows, len(seen))
    shot += np.cumsum(jumps(mesh)).astype(np.int32)
    return Followed(mesh, shot, _why(person, len(seen)), len(people))


class _Met(NamedTuple):
    """A frame, and its meshes, which lie in a file from a row on; None: those of the one before."""

    number: int
    frame: Frame
    meshes: Sequence[Mesh] | None
    row: int


class _Search:
    """All faces of frame after frame. changes: how much the picture does, [T]."""

    def __init__(
        self, tracker: FaceTracker, rows: BinaryIO, *, fps: float, all_of_them: bool
    ) -> None:
        self.tracker, self.rows = tracker, rows
        self.all_of_them = all_of_them
        self.changes: list[float] = []
        self.patience = max(1, round(SOUGHT_S * fps))
        # Shown the same picture for longer it would find the same for ever.
        self.still = 2 * self.patience
        self.last: list[tuple[Mesh, int]] = []  # with how long it was not found
        self.waited = self.patience

    def met(self, frames: Iterable[Seen]) -> Iterator[_Met]:
        """The frames, whose meshes are added to the file."""
        before: FloatArray | None = None
        for number, (frame, small, found, same_for) in enumerate(frames):
            self.changes.append(0.0 if before is None else float(np.abs(small - before).mean()))
            before = small
            meshes, row = None, self.rows.tell() // (POINTS * 3 * 4)
            if same_for <= self.still:
                meshes = self.faces(frame, found, again=self.changes[-1] > LEAST_CHANGE)
                self.rows.writelines(np.asarray(mesh, np.float32).tobytes() for mesh in meshes)
            yield _Met(number, frame, meshes, row)

    def faces(self, frame: Frame, faces: list[Mesh], *, again: bool) -> list[Mesh]:
        """Meshes [478,3] px from left to right, of which some are given.

        again: nothing of the frame before counts.
        """
        if again or (not self.last and self.waited >= self.patience):
            self.waited = 0
            searched = find_faces(frame, self.tracker, all_of_them=self.all_of_them)
            self.last = [(mesh, 0) for mesh in searched]
        found = [mesh for mesh in faces if is_face(mesh)]
        self.waited += 1
        lost = [(mesh, age + 1) for mesh, age in self.last if is_new(mesh, found)]
        for mesh, _ in lost:
            part, corner = around(frame, mesh)
            for closer in (found_here + corner for found_here in self.tracker.faces(part)):
                if is_face(closer) and is_new(closer, found):
                    found.append(closer)
        still = [(mesh, age) for mesh, age in lost if age < self.patience and is_new(mesh, found)]
        self.last = [(mesh, 0) for mesh in found] + still
        return sorted(found, key=lambda mesh: float(mesh[:, 0].mean()))


def around(frame: Frame, mesh: FloatArray) -> tuple[Frame, Mesh]:
    """The part of a frame around a face, and its left upper corner [3] px; z is 0."""
    middle, reach = mesh[:, :2].mean(0), CLOSE * float(geometry.eye_distance(mesh)) / 2
    left, top = np.maximum(middle - reach, 0).astype(int)
    right, bottom = (int(end) for end in middle + reach + 1)
    left, top = min(left, frame.shape[1] - 2), min(top, frame.shape[0] - 2)
    return frame[top : max(bottom, top + 2), left : max(right, left + 2)], np.array(
        [left, top, 0], np.float32
    )


def _noted(met: _Met) -> list[Sighting] | None:
    """The sightings in a frame."""
    number, frame, meshes, first = met
    if meshes is None:
        return None
    found = []
    for row, mesh in enumerate(meshes, first):
        part, corner = around(frame, mesh)
        near = mesh - corner
        cover = worn.COVERED.likelihood(part, near) if number % COVER_EVERY == 0 else np.nan
        noted = sighting(part, near, number=number, row=row, cover=cover)
        found.append(noted._replace(place=noted.place + corner[:2]))
    return found


def _chosen(
    people: Sequence[Person], face: int | None, point: tuple[float, float] | None
) -> Person:
    """The person that is asked for. Raises NoFaceFound where there are fewer."""
    if point is not None:
        return min(people, key=lambda one: float(np.linalg.norm(one.seen[0].place - point)))
    if face is not None:
        if face > len(people):
            raise NoFaceFound(
                f"face {face} was asked for, the clip shows {len(people)}; "
                f"choose 1 to {len(people)}, counted from the left"
            )
        return _from_left(people)[face - 1]
    best = max(people, key=_lips_way)
    if _lips_way(best) > SPEAKS:
        return best
    return max(people, key=lambda one: sum(sighting.height for sighting in one.seen))


def _from_left(people: Sequence[Person]) -> list[Person]:
    """People as they stand in the first frame that shows the most; then the others."""
    there: dict[int, list[tuple[float, int]]] = {}
    for number, person in enumerate(people):
        for one in person.seen:
            there.setdefault(one.frame, []).append((float(one.place[0]), number))
    most = max(len(some) for some in there.values())
    first = min(frame for frame, some in there.items() if len(some) == most)
    order = [number for _, number in sorted(there[first])]
    return [people[number] for number in dict.fromkeys([*order, *range(len(people))])]


def _lips_way(person: Person) -> float:
    """How far the lips go to and fro in all, eye distances; the tracker's noise is left out."""
    steps = [
        abs(now.opening - before.opening)
        for before, now in zip(person.seen, person.seen[1:], strict=False)
        if now.frame == before.frame + 1
    ]
    return float(np.clip(np.array(steps or [0.0]) - NOISE, 0, None).sum())


def _meshes(person: Person, rows: BinaryIO, count: int) -> npt.NDArray[np.float32]:
    """The person's meshes [T,478,3], in a file that goes when nothing uses it any more."""
    rows.flush()
    kept = np.memmap(rows, np.float32, "r").reshape(-1, POINTS, 3)
    row = {one.frame: one.row for one in person.seen}
    blank = np.full((POINTS, 3), np.nan, np.float32)
    with tempfile.TemporaryFile(prefix="mdth-") as file:
        # Written, not mapped: of a full disk a map says so by killing the process.
        file.writelines((kept[row[n]] if n in row else blank).tobytes() for n in range(count))
        file.flush()
        return np.memmap(file, np.float32, "r+", shape=(count, POINTS, 3))


def _why(person: Person, count: int) -> npt.NDArray[np.uint8]:
    why = np.full(count, Why.NO_FACE, np.uint8)
    frames = np.array([one.frame for one in person.seen])
    sharp = np.array([one.sharp for one in person.seen])
    looked = [one for one in person.seen if not np.isnan(one.cover)]
    sure = np.array([one.cover > worn.SURELY_COVERED for one in looked], float)
    # Two of three looks: a single one may be a fancy.
    steady = np.convolve(np.pad(sure, 1, "edge"), np.ones(3), "valid") >= 2 if len(sure) else sure
    near = np.searchsorted([one.frame for one in looked[:-1]], frames)
    faults = [
        (Why.BLURRED, sharp < BLURRED_SHARE * np.median(sharp)),
        (Why.COVERED, steady[near] if len(looked) else np.zeros(len(frames), bool)),
        (Why.PROFILE, np.array([abs(one.yaw) > PROFILE_DEG for one in person.seen])),
        (Why.SMALL, np.array([one.height < MIN_FACE_PX for one in person.seen])),
    ]
    why[frames] = Why.USABLE
    for reason, where in faults:
        why[frames[where]] = reason
    return why
