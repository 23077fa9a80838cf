"""One person through a clip, against where the pictures were put."""

import errno
import io
import os
import tempfile
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from test_covered import masked

from mdth.engine import Source
from mdth.errors import NoFaceFound
from mdth.face.find import find_portrait
from mdth.face.follow import Followed, Why, follow
from mdth.face.people import Person, Sighting
from mdth.face.shots import cuts, jumps, thumb
from mdth.face.tracker import FaceTracker, each
from mdth.media.writer import VideoWriter
from mdth.options import PortraitOptions
from tests.support.raising import raises

pytestmark = pytest.mark.usefixtures("checkpoints")

SIZE = 270, 230  # px of a person, height and width
ROOM = np.full((300, 760, 3), (120, 140, 150), np.uint8)
ROOM[::20] = 90


@pytest.fixture(scope="module")
def people(portrait) -> list[np.ndarray]:
    """Two who look unlike: the demo portrait, and its mirror image in other colours."""
    small = cv2.resize(portrait.image, SIZE[::-1], interpolation=cv2.INTER_AREA)
    return [small, np.ascontiguousarray(small[:, ::-1, [1, 2, 0]])]


def show(*placed: tuple[np.ndarray, float]) -> np.ndarray:
    """People in a room, each with its left side at x px; who comes later stands in front."""
    frame = ROOM.copy()
    for person, x in placed:
        frame[30 : 30 + SIZE[0], round(x) : round(x) + SIZE[1]] = person
    return frame


def middles(person: Followed) -> np.ndarray:
    """Where the eyes are, x px [T]."""
    return np.asarray(person.mesh[:, [33, 263], 0].mean(1))


def crossing(people) -> Iterator[np.ndarray]:
    """One goes from left to right before the other, who goes the other way."""
    for k in range(46):
        yield show((people[1], 505 - 10 * k), (people[0], 15 + 10 * k))


@pytest.mark.parametrize(("who", "slope"), [(1, 10), (2, -10)])
def test_people_who_cross_keep_who_they_are(people, who: int, slope: int) -> None:
    found = follow(crossing(people), fps=25, face=who)
    assert found.people == 2 and not found.shot.any()
    assert found.mesh.shape == (46, 478, 3) and found.mesh.dtype == np.float32
    there = np.flatnonzero(found.found)
    at = middles(found)
    assert np.isnan(at[~found.found]).all()
    straight = at[0] + slope * np.arange(46)
    assert np.median(np.abs(at - straight)[there]) < 1 and np.abs(at - straight)[there].max() < 8
    # Who goes behind is hidden for about half of the way.
    assert len(there) == 46 if who == 1 else 20 < len(there) < 42


def test_a_point_says_who_and_cuts_do_not_mix_people_up(people) -> None:
    one, other = people
    frames = [show((one, 40 + k)) for k in range(12)]
    frames += [255 - show((255 - other, 60 + k)) for k in range(12)]
    frames += [show((one, 240 - k), (other, 500)) for k in range(12)]
    found = follow(iter(frames), fps=25, point=(150, 100))
    assert found.shot.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert found.found.tolist() == [True] * 12 + [False] * 12 + [True] * 12
    assert middles(found)[35] - middles(found)[11] == pytest.approx(229 - 51, abs=4)
    assert found.people == 2
    raises(NoFaceFound, "face 3", follow, iter(frames), fps=25, face=3)


def test_a_picture_held_for_long_is_not_searched_for_ever(people, monkeypatch) -> None:
    calls: list[int] = []
    search = FaceTracker.faces
    monkeypatch.setattr(FaceTracker, "faces", lambda *of: calls.append(1) or search(*of))
    pictures = [show((people[0], 100)), show((people[0], 130))]
    found = follow((one for one in pictures for _ in range(80)), fps=5)
    assert len(calls) < 60  # and 160 with the others
    afresh = follow((one.copy() for one in pictures for _ in range(80)), fps=5)
    assert np.array_equal(found.mesh, afresh.mesh)


def test_a_full_disk_for_temporary_files_is_an_error(monkeypatch) -> None:
    from mdth.face import follow as module

    class Full(io.FileIO):
        def write(self, content: bytes) -> int:
            self.room = getattr(self, "room", 10_000) - len(content)
            if self.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(content)

    person = Person(sighting(0, 100.0, 0.0, 90.0))
    with tempfile.TemporaryFile() as rows:
        np.ones((1, 478, 3), np.float32).tofile(rows)
        meshes = module._meshes(person, rows, 3)
        assert np.array_equal(np.isnan(meshes[:, 0, 0]), [False, True, True])
        file = Full(os.dup(rows.fileno()), "r+")
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: file)
        with pytest.raises(OSError, match="No space left"):
            module._meshes(person, rows, 3)


@pytest.mark.parametrize(("face", "x"), [(1, 155), (2, 595)])
def test_the_portrait_is_of_who_is_followed(people, tmp_path, face: int, x: int) -> None:
    frames = [show((people[0], 40), (people[1], 480)) for k in range(6)]
    path = tmp_path / "a.mp4"
    with VideoWriter(path, width=760, height=300, fps=25, sound=None) as video:
        for frame in frames:
            video.write(frame)
    person = follow(iter(frames), fps=25, face=face)
    portrait = find_portrait(Source(None, path), PortraitOptions(), person=person)
    assert portrait.mesh[:, 0].mean() == pytest.approx(x, abs=25)


def test_why_a_frame_is_left(people) -> None:
    sharp, nobody = show((people[0], 200)), ROOM
    smeared = cv2.blur(sharp, (21, 5))
    tiny = cv2.resize(sharp, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
    tiny = cv2.copyMakeBorder(tiny, 0, 165, 0, 418, cv2.BORDER_REPLICATE)
    frames = [*[sharp] * 8, *[smeared] * 4, *[nobody] * 4, *[tiny] * 4, *[sharp] * 6]
    found = follow(iter(frames), fps=25)
    expected = [Why.USABLE] * 8 + [Why.BLURRED] * 4 + [Why.NO_FACE] * 4 + [Why.SMALL] * 4
    assert found.why.tolist() == [*expected, *[Why.USABLE] * 6]
    raises(NoFaceFound, "4 frames", follow, iter([nobody] * 4), fps=25)


def test_a_covered_mouth_is_left(portrait, people) -> None:
    bare, mask = (
        show((cv2.resize(picture, SIZE[::-1], interpolation=cv2.INTER_AREA), 200))
        for picture in (portrait.image, masked(portrait))
    )
    why = follow(iter([*[bare] * 8, *[mask] * 14, *[bare] * 8]), fps=25).why
    assert (why[10:20] == Why.COVERED).all() and not why[[*range(4), *range(26, 30)]].any()


def test_small_faces_are_found_and_kept(people) -> None:
    """In a wide picture the detector sees faces under a tenth of it only closer up."""
    wide = np.full((1080, 1920, 3), 130, np.uint8)
    face = cv2.resize(people[0], (160, 188), interpolation=cv2.INTER_AREA)
    frames = []
    for k in range(6):
        frames.append(wide.copy())
        frames[-1][500:688, 900 + 4 * k : 1060 + 4 * k] = face
    found = follow(iter(frames), fps=25)
    assert found.found.all()
    np.testing.assert_allclose(np.diff(middles(found)), 4, atol=0.8)


def sighting(frame: int, x: float, opening: float, height: float) -> Sighting:
    look = np.zeros((8, 10, 3), np.float16)
    return Sighting(frame, 0, np.array([x, 50.0]), 50, height, look, opening, 0, 10, 0)


@pytest.mark.parametrize(("swing", "chosen"), [((0.1, 0.0), 0), ((0.0, 0.1), 1), ((0.0, 0.0), 1)])
def test_who_moves_the_lips_most_else_who_is_largest(swing: tuple, chosen: int) -> None:
    from mdth.face.follow import _chosen

    people = []
    for number in (0, 1):
        seen = [sighting(k, 100.0, swing[number] * (k % 2), 90 + 9 * number) for k in range(30)]
        people.append(Person(seen[0]))
        people[-1].seen = seen
    assert _chosen(people, None, None) is people[chosen]


def scenes(people) -> dict[str, list[np.ndarray]]:
    """What a clip does in 40 frames; it is cut, if at all, before frame 20."""
    first = [show((people[0], 100 + k)) for k in range(40)]
    second = [255 - show((people[1], 300 + 2 * k)) for k in range(40)]
    shares = np.clip((np.arange(40) - 14) / 12, 0, 1)
    mixed = [
        cv2.addWeighted(a, 1 - w, b, w, 0) for a, b, w in zip(first, second, shares, strict=True)
    ]
    wide = np.hstack([ROOM, second[0], first[0], ROOM])
    bright = [
        cv2.convertScaleAbs(f, alpha=1.6) if k in (19, 20) else f for k, f in enumerate(first)
    ]
    return {
        "cut": first[:20] + second[20:], "still": first, "dissolve": mixed,
        "black": [(f * abs(k - 20) / 20).astype(np.uint8) for k, f in enumerate(first)],
        "pan": [wide[:, 40 * k : 40 * k + 760] for k in range(40)], "flash": bright,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["cut", "still", "dissolve", "black", "pan", "flash"])
def test_cuts_are_found_and_nothing_else(people, kind: str) -> None:
    small = np.array([thumb(frame) for frame in scenes(people)[kind]])
    changes = np.abs(np.diff(small, axis=0, prepend=small[:1])).mean((1, 2, 3))
    assert np.flatnonzero(cuts(changes)).tolist() == ([20] if kind == "cut" else [])


def test_a_head_that_jumps_is_a_cut_and_one_that_hurries_is_not(portrait) -> None:
    eyes = float(np.linalg.norm(portrait.mesh[33] - portrait.mesh[263]))
    way = np.concatenate([np.arange(20), 19 + np.arange(20) + 40]) * eyes / 100
    hurry = 50 * np.sin(np.arange(40) / 3) * eyes / 100
    for places, expected in ((way, [20]), (hurry, [])):
        meshes = np.repeat(portrait.mesh[None], 40, axis=0)
        meshes[..., 0] += places[:, None]
        meshes[5:7] = np.nan
        assert np.flatnonzero(jumps(meshes)).tolist() == expected


def test_threads_find_in_each_frame_what_one_does(people) -> None:
    frames = [show((people[k % 2], 15 + 40 * k)) for k in range(12)]
    with FaceTracker() as tracker:
        alone = [tracker.faces(frame) for frame in frames]
    together = list(each((one for frame in frames for one in (frame,) * 3), patience=1))
    assert [seen.same_for for seen in together] == [0, 1, 2] * 12
    assert not any(seen.faces for seen in together[2::3])
    for frame, faces, again in zip(frames, alone, together[1::3], strict=True):
        assert again.frame is frame
        np.testing.assert_array_equal(again.faces, faces)


def test_a_clip_that_breaks_off_is_told_where_it_is_read(people) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from [show((people[0], 15))] * 9
        raise OSError("no more")

    seen = each(broken(), patience=9)
    with pytest.raises(OSError, match="no more"):
        for _ in seen:
            pass
