import json
from pathlib import Path

import pytest

from mdth import manifest
from mdth.errors import ArtefactError

ORIGIN = manifest.Origin("anna", {"audio": {"chosen": {"sha256": "1"}, "skipped": []}}, {"face": 1})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sealed folder."""
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/speech.npy").write_bytes(b"speech")
    manifest.seal(tmp_path, ORIGIN)
    return tmp_path


def test_a_sealed_folder_is_read_back(folder: Path) -> None:
    found = manifest.read(folder, twin="anna")
    assert found["format"] == manifest.FORMAT
    assert list(found["files"]) == ["audio/speech.npy"]
    assert found["versions"]["mdth"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "audio/speech.npy").write_bytes(b"other"),
        lambda folder: (folder / "audio/speech.npy").unlink(),
        lambda folder: (folder / "audio/more.npy").write_bytes(b"more"),
    ],
)
def test_changed_files_are_refused(folder: Path, change) -> None:
    change(folder)
    with pytest.raises(ArtefactError, match=r"changed since .* mdth preprocess anna"):
        manifest.read(folder, twin="anna")


def test_another_twins_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ArtefactError, match="prepared for the twin 'anna', not 'bert'"):
        manifest.read(folder, twin="bert")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 99, "twin": "anna", "files": {}}'])
def test_stale_or_damaged_manifests_are_refused(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ArtefactError, match="mdth preprocess anna"):
        manifest.read(folder, twin="anna")


def test_current_means_same_sources_settings_and_versions(folder: Path) -> None:
    assert manifest.is_current(folder, ORIGIN)
    assert not manifest.is_current(folder, ORIGIN._replace(settings={"face": 2}))
    assert not manifest.is_current(folder, ORIGIN._replace(sources={}))
    assert not manifest.is_current(folder / "nowhere", ORIGIN)
    sealed = json.loads((folder / "manifest.json").read_text())
    sealed["versions"]["mediapipe"] = "0"
    (folder / "manifest.json").write_text(json.dumps(sealed))
    assert not manifest.is_current(folder, ORIGIN)
