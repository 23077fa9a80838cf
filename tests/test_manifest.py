import hashlib
import json
from pathlib import Path

import pytest

from mdth.errors import ArtefactError
from mdth.storage import manifest

NOTHING = {"chosen": None, "skipped": []}
SOUND = {"chosen": {"name": "a.wav", "bytes": 1, "sha256": "1"}, "skipped": []}
WANTED = {
    "format": manifest.FORMAT, "twin": "anna",
    "sources": {"audio": SOUND, "image": NOTHING, "video": NOTHING}, "settings": {"face": 1},
    "models": {"net.onnx": "12"}, "versions": {"mdth": "1", "mediapipe": "0.10"},
}  # fmt: skip
SPEECH = f"audio/speech-{hashlib.sha256(b'speech').hexdigest()[:12]}.npy"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/speech.npy").write_bytes(b"speech")
    manifest.seal(tmp_path, WANTED)
    return tmp_path


def test_a_sealed_folder_is_read_back(folder: Path) -> None:
    found = manifest.read(folder, twin="anna")
    assert found["format"] == manifest.FORMAT
    assert list(found["files"]) == ["audio/speech.npy"]
    assert found["files"]["audio/speech.npy"]["path"] == SPEECH
    assert found["versions"]["mdth"]
    assert manifest.files_of(folder, found, "audio") == {"speech.npy": folder / SPEECH}
    assert (folder / SPEECH).read_bytes() == b"speech"
    assert manifest.sizes(found) == {
        name: (folder / name).stat().st_size for name in (SPEECH, "manifest.json")
    }


def test_files_that_nothing_points_to_do_not_count(folder: Path) -> None:
    """They are on their way to the next manifest, or left over from the one before."""
    (folder / "audio/speech-000000000000.npy").write_bytes(b"other")
    assert list(manifest.read(folder, twin="anna")["files"]) == ["audio/speech.npy"]


@pytest.mark.parametrize("change", [
    lambda folder: (folder / SPEECH).write_bytes(b"other!"),
    lambda folder: (folder / SPEECH).write_bytes(b"longer than it was"),
    lambda folder: (folder / SPEECH).unlink(),
])  # fmt: skip
def test_changed_files_are_refused(folder: Path, change) -> None:
    change(folder)
    with pytest.raises(ArtefactError, match=r"changed since .* mdth preprocess anna"):
        manifest.read(folder, twin="anna")


def entry(path: str, digest: str = "0" * 64) -> dict:
    return {"path": path, "bytes": 6, "sha256": digest}


@pytest.mark.parametrize("files", [
    {"audio/../../x.npy": entry("audio/../../x-000000000000.npy")},
    {"/etc/x.npy": entry("/etc/x-000000000000.npy")}, {"audio/x.npy": entry("../../x.npy")},
    {"audio/x.npy": entry("audio/other-000000000000.npy")},
    {"audio/.x.npy": entry("audio/.x-000000000000.npy")},
    {"audio/x\\y.npy": entry("audio/x\\y-000000000000.npy")},
    {"models/x.npy": entry("models/x-000000000000.npy")},
    {"audio/x.npy": entry("audio/x-../../../../.npy", "../../../../" + "0" * 52)},
    {"audio/x.npy": {"path": 1, "bytes": 6, "sha256": "0" * 64}},
    {"audio/x.npy": {"path": "audio/x.npy"}}, {"audio/x.npy": "audio/x.npy"}, ["audio/x.npy"], None,
])  # fmt: skip
def test_a_list_that_points_elsewhere_is_refused(folder: Path, files: object) -> None:
    sealed = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**sealed, "files": files}))
    with pytest.raises(ArtefactError, match="mdth preprocess anna"):
        manifest.read(folder, twin="anna")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 99, "twin": "anna", "files": {}}'])
def test_stale_or_damaged_manifests_are_refused(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ArtefactError, match="mdth preprocess anna"):
        manifest.read(folder, twin="anna")
