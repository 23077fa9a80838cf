from pathlib import Path

import numpy as np
import pytest
from made_media import make_clip
from PIL import Image

from mdth.artefacts import Frame
from mdth.engine import Source
from mdth.errors import NoFaceFound
from mdth.face import geometry, topology
from mdth.face.find import find_portrait
from mdth.face.portrait import face_height_px, find_faces, portrait_score, prepare_portrait
from mdth.face.tracker import FaceTracker
from mdth.options import PortraitOptions

pytestmark = pytest.mark.usefixtures("checkpoints")


@pytest.fixture(scope="module")
def picture(portrait_path: Path) -> Image.Image:
    """The demo portrait, 512x600, its face 202 px high."""
    with Image.open(portrait_path) as file:
        return file.convert("RGB")


def wall(picture: Image.Image, *places: tuple[int, int, float]) -> Frame:
    """A grey wall, 1280x1000, with the picture at (left, top, scale)."""
    canvas = Image.new("RGB", (1280, 1000), (90, 90, 90))
    for left, top, scale in places:
        size = round(picture.width * scale), round(picture.height * scale)
        canvas.paste(picture.resize(size), (left, top))
    return np.asarray(canvas)


def test_the_face_of_a_portrait(picture: Image.Image) -> None:
    portrait = prepare_portrait(np.asarray(picture))
    assert face_height_px(portrait.mesh) == pytest.approx(202, abs=8)
    assert portrait.mesh[topology.RIGID, :2].mean(axis=0) == pytest.approx([256, 190], abs=25)


def test_a_face_too_small_for_the_detector_is_found(picture: Image.Image) -> None:
    whole = prepare_portrait(np.asarray(picture))
    portrait = prepare_portrait(wall(picture, (900, 600, 0.36)))
    expected = whole.mesh * 0.36 + np.array([900, 600, 0])
    assert np.abs(portrait.mesh - expected)[:, :2].mean() < 2


def test_faces_count_from_the_left_the_largest_is_taken(picture: Image.Image) -> None:
    group = wall(picture, (60, 300, 0.5), (600, 100, 0.9))
    largest = prepare_portrait(group)
    first = prepare_portrait(group, face=1)
    second = prepare_portrait(group, face=2)
    assert first.mesh[:, 0].mean() < 400 < second.mesh[:, 0].mean()
    assert np.array_equal(largest.mesh, second.mesh)
    with pytest.raises(NoFaceFound, match="face 3 was asked for, the picture shows 2"):
        prepare_portrait(group, face=3)


def test_a_small_face_is_refused_with_its_size(picture: Image.Image) -> None:
    with pytest.raises(NoFaceFound, match=r"the face is 4\d px high .* at least 64"):
        prepare_portrait(wall(picture, (500, 500, 0.22)))


def test_no_face() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (400, 600, 3), dtype=np.uint8)
    for empty in (noise, np.full((64, 64, 3), 200, np.uint8)):
        with pytest.raises(NoFaceFound, match="no face in the picture"):
            prepare_portrait(empty)


def test_the_best_frame_is_the_frontal_one(picture: Image.Image, tmp_path: Path) -> None:
    rolled = [np.asarray(picture.rotate(angle)) for angle in (25, 12)]
    clip = [np.zeros_like(rolled[0]), *rolled, np.asarray(picture), rolled[1]]
    for frames in (clip, clip[:1]):
        path = make_clip(tmp_path / f"{len(frames)}.mp4", frames, np.arange(5) / 25)
    portrait = find_portrait(Source(None, tmp_path / "5.mp4"), PortraitOptions())
    off = [np.abs(portrait.image.astype(int) - frame).mean() for frame in clip]
    assert np.argmin(off) == 3 and off[3] < 8
    with pytest.raises(NoFaceFound, match="no face in the clip"):
        find_portrait(Source(None, path), PortraitOptions())


@pytest.mark.parametrize(("size", "place", "most", "shape", "height"), [
    ((512, 600), (0, 0, 1.0), 600, (600, 512), 202),
    ((512, 600), (0, 0, 1.0), 301, (300, 256), 101),
    ((4000, 3000), (2600, 2000, 0.6), 1280, (960, 1280), 121),  # 39 px where all is shrunk
    ((4000, 3000), (2600, 2000, 0.9), 1280, (960, 1280), 128),
    ((2400, 500), (9, 9, 0.8), 640, (134, 640), 128),
    ((1080, 4000), (10, 900, 2.0), 1280, (1280, 346), 129),
    ((600, 3000), (90, 99, 0.8), 600, (600, 120), 128),
])  # fmt: skip
def test_the_face_is_found_before_the_picture_is_shrunk(
    picture: Image.Image, size: tuple[int, int], place: tuple[int, int, float],
    most: int, shape: tuple[int, int], height: int,
) -> None:  # fmt: skip
    left, top, scale = place
    canvas = Image.new("RGB", size, (90, 90, 90))
    canvas.paste(picture.resize([round(side * scale) for side in picture.size]), (left, top))
    portrait = prepare_portrait(np.asarray(canvas), max_size=most)
    assert portrait.image.shape[:2] == shape
    assert face_height_px(portrait.mesh) == pytest.approx(height, rel=0.06)
    found = prepare_portrait(portrait.image)
    assert np.abs(portrait.mesh - found.mesh)[:, :2].mean() < 1.5


def test_a_fancy_is_no_face() -> None:
    """Blobs of colour in which the detector sees faces, once they are cut in tiles."""
    random = np.random.default_rng(0)
    blobs = Image.fromarray(random.integers(60, 140, (75, 100, 3), dtype=np.uint8))
    with FaceTracker() as tracker:
        assert not find_faces(np.asarray(blobs.resize((4000, 3000), 3)), tracker)


def test_an_open_mouth_a_closed_eye_and_a_turn_cost_points() -> None:
    irises = np.repeat(topology.CANONICAL[[159, 386]], 5, axis=0)
    face = np.concatenate([topology.CANONICAL, irises]).astype(np.float64) * 100
    rest = portrait_score(face)
    opened = face.copy()
    opened[topology.LIP_PAIRS[:, 1], 1] += 20
    shut = face.copy()
    pairs = topology.LID_PAIRS_LEFT
    shut[pairs[:, 0]] = shut[pairs[:, 1]]
    turned = face @ geometry.rotation_from_euler_deg(20, 0, 0).T
    for worse in (opened, shut, turned):
        assert portrait_score(worse) < rest - 0.5
