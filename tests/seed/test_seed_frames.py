"""The seed's frames: paste, devices, no clip, and the same for any number of workers."""

import dataclasses
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import av
import numpy as np
import pytest

from mdth.artefacts import Portrait
from mdth.errors import CheckpointError
from mdth.media.image import read_image
from mdth.motion.head import generated
from mdth.options import MotionOptions
from mdth.seed import moves
from mdth.seed.apart import Poses
from mdth.seed.artefacts import SeedStill
from mdth.seed.files import SeedFiles
from mdth.seed.moves import Driving, SeedDriver
from mdth.seed.networks import Networks
from mdth.seed.session import read_eye_pca, rendered
from tests.support.commands import Command
from tests.support.raising import raises

# Of the portrait, px.
FACE = slice(150, 350), slice(150, 350)


@pytest.fixture(scope="module")
def still(made_files: SeedFiles, seed_portrait: Portrait) -> SeedStill:
    from mdth.bfv2v.checkpoint import load_headpose
    from mdth.seed import landmarks
    from mdth.seed.fit import FaceReader, Fitter

    network = load_headpose(made_files.headpose, made_files.headpose_config)
    fitter = Fitter(made_files.landmark)
    poses = lambda pictures: network.poses(pictures)[:2]  # noqa: E731
    return FaceReader(landmarks.reader(), fitter, poses).still(seed_portrait)


def drawn(
    networks: Networks, files: SeedFiles, devices: list[str], still: SeedStill, faces: list[Driving]
) -> Iterator[np.ndarray]:
    with networks.renderers(files, devices) as ready:
        yield from rendered(still, faces, ready)


def driving(still: SeedStill, count: int) -> list[Driving]:
    driver = SeedDriver(still.faces)
    states = moves.generated(generated([0.8] * count, MotionOptions(random_seed=3)), still.faces)
    random = np.random.default_rng(0)
    spoken = (random.normal(0, 2e-3, (51, 3)) for _ in range(count))
    return list(map(driver.drive, spoken, states))


def test_the_still_is_fitted(still: SeedStill) -> None:
    assert still.picture.shape == (256, 256, 3)
    view = SeedDriver(still.faces).source.view
    places = np.column_stack([still.faces.landmarks[0], np.ones(68)]) @ view
    assert (places[:, :2] > 20).all() and (places[:, :2] < 250).all()
    assert abs(places[36:48, 1].mean() - places[3:5, 1].mean()) < 5, "irises lie in the eyes"
    assert places[3, 0] < places[4, 0]


def test_head_poses_come_from_a_process_as_from_this_one(
    made_files: SeedFiles, still: SeedStill, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    pictures = np.stack([still.picture, still.picture[:, ::-1], still.picture[::-1]])
    from mdth.bfv2v.checkpoint import load_headpose

    network = load_headpose(made_files.headpose, made_files.headpose_config)
    with Poses(made_files, 0) as poses:
        for found, expected in zip(poses.of(pictures), network.poses(pictures), strict=False):
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, atol=1e-5)
    other = SeedFiles(made_files.common)
    other.headpose = tmp_path / "headpose.tar"
    with Poses(other, 0) as poses:
        for _ in range(2):
            raises(CheckpointError, "headpose.tar: no such file", poses.of, pictures)
    torch.save({"he_estimator": network.state_dict() | {"more": torch.ones(1)}}, other.headpose)
    with Poses(other, 0) as poses:
        poses.of(pictures)
    assert "tensors left out: 1 (more)" in caplog.text


def test_any_number_of_workers_makes_the_same_frames(
    made_files: SeedFiles, still: SeedStill, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    faces = driving(still, 3)
    networks, two = Networks(), ["cpu", "cpu"]
    made = [
        np.stack(list(drawn(networks, made_files, some, still, faces)))
        for some in (["cpu"], two, two)
    ]
    assert {"SpawnProcess"} == {type(child).__name__ for child in active_children()}, "warm"
    begun = {child.pid for child in active_children()}
    with networks.renderers(made_files, two):
        assert {child.pid for child in active_children()} == begun, "the next clip's too"
    networks.close()
    assert not active_children()
    torch.set_num_threads(before)
    assert made[0].shape == (3, 256, 256, 3)
    for again in made[1:]:
        np.testing.assert_array_equal(made[0], again)
    assert len({frame.tobytes() for frame in made[0]}) == 3, "each frame is its own"


def test_talk_pastes_the_head_back_without_a_clip(
    mdth: Command, seed_home: Path, portrait_path: Path, short_path: Path
) -> None:
    out = seed_home / "out.mp4"
    # One second at 10 frames a second is enough to see what changes.
    ended = mdth("talk", portrait_path, short_path, "-o", out, "--paste", "--fps", 10, "--preview")
    assert ended.code == 0, ended.err
    assert "embedded one is made for it" in ended.err
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 10
    assert frames[0].shape == (600, 512, 3), "the whole picture"
    assert np.abs(frames[0].astype(int) - frames[9]).max(axis=2)[420:].max() < 30, "the coat stays"
    away = np.abs(frames[9].astype(int) - read_image(portrait_path)).mean(axis=2)
    # Measured: 1.4, what coding loses, and 51; the generator's weights are random.
    assert away[420:].mean() < 3, "the coat is the portrait's"
    assert away[FACE].mean() > 20, "the face is the generator's"


def test_eye_pca_of_another_shape_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "eye_pca.pt"
    raises(CheckpointError, "eye_pca", read_eye_pca, path)
    one, two = torch.ones(1), torch.tensor([2.0, 1])
    for singular, basis, why in (
        (two, torch.ones(70, 2), r"\(70, 2\)"),
        (torch.ones(3), torch.ones(72, 2), r"\(3,\)"),
        (two, (one / 0).expand(72, 2), "not numbers"),
        (two - 1, torch.ones(72, 2), "not above 0"),
        (one.expand(1 << 33), one.expand(72, 1 << 33), "not numbers"),
    ):
        torch.save((torch.zeros(3, 2), singular, basis), path)
        raises(CheckpointError, why, read_eye_pca, path)
    torch.save((torch.zeros(3, 2), two, torch.ones(72, 2)), path)
    np.testing.assert_array_equal(read_eye_pca(path).singular, [2, 1])


def test_networks_are_kept_from_video_to_video(made_files: SeedFiles, still: SeedStill) -> None:
    networks = Networks()
    faces = driving(still, 1)
    other = dataclasses.replace(still, picture=still.picture[:, ::-1])

    def film(shown: SeedStill) -> np.ndarray:
        return np.stack(list(drawn(networks, made_files, ["cpu"], shown, faces)))

    first = film(still)
    kept = networks._idle
    assert not np.array_equal(film(other), first)
    np.testing.assert_array_equal(film(still), first)
    assert networks._idle[1] is kept[1]
    broken = drawn(networks, made_files, ["cpu"], other, faces)
    next(broken)
    broken.close()
    assert networks._idle is None, "what was broken off is not used again"
    assert networks.speech(made_files, "cpu") is networks.speech(made_files, "cpu")
    networks.close()
    assert networks._speech is None
