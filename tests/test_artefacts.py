"""What one stage saves the next loads as it was; damage is an ArtefactError."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdth.artefacts import Motion, Portrait, loading, original_name
from mdth.errors import ArtefactError
from mdth.face.geometry import rotation_from_euler_deg
from tests.support.raising import raises


def portrait() -> Portrait:
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (64, 48, 3), np.uint8)
    person = np.round(random.uniform(0, 1, (64, 48)) * 255) / 255
    mesh = random.uniform(0, 48, (478, 3)).astype(np.float32)
    return Portrait(image, mesh, person.astype(np.float32))


def motion() -> Motion:
    random = np.random.default_rng(1)
    return Motion(
        29.97,
        np.array([True, False, True]),
        np.stack([rotation_from_euler_deg(5.0 * k, k, -k) for k in range(3)]).astype(np.float32),
        random.normal(size=(3, 3)).astype(np.float32),
        random.normal(size=(3, 126, 3)).astype(np.float32),
    )


def test_a_portrait_comes_back(tmp_path: Path) -> None:
    portrait().save(tmp_path)
    loaded = Portrait.load(tmp_path)
    assert np.array_equal(loaded.image, portrait().image)
    assert np.array_equal(loaded.mesh, portrait().mesh)
    assert np.allclose(loaded.person, portrait().person, atol=1e-6)


def test_a_motion_comes_back(tmp_path: Path) -> None:
    motion().save(tmp_path)
    loaded = Motion.load(tmp_path)
    assert loaded.fps == 29.97
    for name in ("found", "rotation", "translation", "upper"):
        assert np.array_equal(getattr(loaded, name), getattr(motion(), name))


@pytest.mark.parametrize(("name", "kept"), [
    ("a.WAV", "original.wav"), ("a.mp3", "original.mp3"), ("a", "original"),
    ("a.wav copy\u202f2", "original"), ("a.\x1b[2J", "original"), ("a.größe", "original"),
    ("a." + "x" * 200, "original"),
])  # fmt: skip
def test_the_original_keeps_a_plain_suffix_only(name: str, kept: str) -> None:
    assert original_name(Path(name)) == kept


@pytest.mark.parametrize("kind", [Portrait, Motion])
def test_nothing_there_is_an_artefact_error(tmp_path: Path, kind: type) -> None:
    raises(ArtefactError, None, kind.load, tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_cut_off_file_is_an_artefact_error(tmp_path: Path, keep: int) -> None:
    motion().save(tmp_path)
    file = tmp_path / "motion.npz"
    file.write_bytes(file.read_bytes()[:keep])
    raises(ArtefactError, None, Motion.load, tmp_path)


@pytest.mark.parametrize("changed", [
    {"fps": 0.0}, {"fps": 1e9}, {"rotation": np.ones((3, 3, 3))},
    {"rotation": -np.stack([np.eye(3)] * 3)}, {"translation": np.full((3, 3), 1e5)},
    {"upper": np.full((3, 126, 3), np.nan)}, {"upper": np.zeros((3, 125, 3))},
    {"found": np.ones(2, bool)},
], ids=str)  # fmt: skip
def test_a_motion_that_nobody_makes(tmp_path: Path, changed: dict[str, object]) -> None:
    replace(motion(), **changed).save(tmp_path)
    raises(ArtefactError, None, Motion.load, tmp_path)


@pytest.mark.parametrize("mesh", [
    np.full((478, 3), 20.0), np.repeat(np.linspace(0, 48, 478)[:, None], 3, 1),
    portrait().mesh + [60, 0, 0], portrait().mesh * 100, np.full((478, 3), np.inf),
    np.zeros((477, 3)),
], ids=["one point", "a line", "outside", "far", "endless", "477"])  # fmt: skip
def test_a_portrait_without_a_face_in_it(tmp_path: Path, mesh: np.ndarray) -> None:
    replace(portrait(), mesh=mesh).save(tmp_path)
    raises(ArtefactError, None, Portrait.load, tmp_path)


def test_what_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"^/twin/portrait\.npz: Permission denied; let it"):
        with loading(tmp_path, "not a prepared portrait"):
            raise PermissionError(errno.EACCES, "Permission denied", "/twin/portrait.npz")
