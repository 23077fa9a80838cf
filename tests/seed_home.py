"""Fixtures: a home with made-up checkpoints, and a twin whose clip hides its face for a moment."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from made_media import clicks, make_clip, make_wav

from mdth.artefacts import Portrait
from mdth.face.portrait import prepare_portrait
from mdth.media.image import read_image
from mdth.seed.files import SeedFiles

CLIP_FPS, CLIP_FRAMES, HIDDEN = 25, 20, range(8, 11)
SPEECH_S, CLICKS_S = 0.5, [0.05, 0.35]


@pytest.fixture(scope="session")
def seed_common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `warping-common/th` with small random checkpoints."""
    for package in ("torch", "eos", "scipy"):
        pytest.importorskip(package)
    from tests.support import seed_made_up

    common = tmp_path_factory.mktemp("common") / "th"
    seed_made_up.write(common, small=True)
    return common


@pytest.fixture(scope="session")
def made_files(seed_common: Path) -> SeedFiles:
    return SeedFiles(seed_common)


@pytest.fixture(scope="session")
def seed_portrait(portrait_path: Path, checkpoints: Path) -> Portrait:
    return prepare_portrait(read_image(portrait_path))


@pytest.fixture
def seed_home(seed_common: Path, checkpoints: Path, twin_home: Path) -> Iterator[Path]:
    torch = pytest.importorskip("torch")
    common = twin_home / "home/warping-common/th"
    (common / "checkpoints").unlink()
    shutil.copytree(seed_common, common, dirs_exist_ok=True, copy_function=_link)
    for model in checkpoints.iterdir():
        if model.is_file():
            (common / "checkpoints" / model.name).symlink_to(model)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield twin_home
    torch.set_num_threads(threads)


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(source)


@pytest.fixture(scope="session")
def moving_clip(portrait_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portrait, moved to the right px by px; in three frames nobody is there."""
    picture = cv2.resize(read_image(portrait_path), (256, 300), interpolation=cv2.INTER_AREA)
    frames = [np.roll(picture, 2 * index, axis=1) for index in range(CLIP_FRAMES)]
    for index in HIDDEN:
        frames[index] = np.full_like(picture, 90)
    path = tmp_path_factory.mktemp("clip") / "moving.mp4"
    return make_clip(path, frames, [index / CLIP_FPS for index in range(CLIP_FRAMES)])


@pytest.fixture
def seed_twin(seed_home: Path, portrait_path: Path, moving_clip: Path) -> Callable[[str], Any]:
    """Puts raw sound, picture and clip of a twin into the store."""

    def put(name: str) -> Path:
        raw = seed_home / f"store/raw/{name}"
        for kind in ("audio", "image", "video"):
            (raw / kind).mkdir(parents=True)
        make_wav(raw / "audio/speech.wav", clicks(CLICKS_S, rate_hz=16_000, length_s=SPEECH_S))
        shutil.copyfile(portrait_path, raw / "image/portrait.jpg")
        shutil.copyfile(moving_clip, raw / "video/clip.mp4")
        return seed_home

    return put
