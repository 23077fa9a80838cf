"""Links in a store or in the local tree are never followed; what they point to stays untouched."""

import os
from pathlib import Path
from shutil import copyfile, copytree, rmtree

import pytest

from mdth.errors import ArtefactError, StorageError
from mdth.storage import manifest
from mdth.storage.store import Store
from tests.support.commands import Command, fails


@pytest.fixture
def anna(twin_home: Path, portrait_path: Path, short_path: Path) -> Path:
    """A twin's raw folder in the local store, with a sound and a picture."""
    raw = twin_home / "store/raw/anna"
    for kind, path in (("audio", short_path), ("image", portrait_path)):
        (raw / kind).mkdir(parents=True)
        copyfile(path, raw / kind / f"m{path.suffix}")
    return raw


@pytest.fixture
def outside(tmp_path: Path, short_path: Path) -> Path:
    """A folder that is nobody's business, with a sound that could be used."""
    folder = tmp_path / "outside"
    folder.mkdir()
    copyfile(short_path, folder / "private.wav")
    return folder


def test_a_link_among_the_raw_files_is_skipped(mdth: Command, anna: Path, outside: Path) -> None:
    (anna / "audio/a.wav").symlink_to(outside / "private.wav")
    (anna / "audio/b.wav").symlink_to("/etc/passwd")
    (anna / "audio/c.wav").symlink_to("../image/m.jpg")
    (anna / "audio/d.wav").symlink_to("/dev/zero")
    (anna / "audio/e.wav").symlink_to("nowhere")
    os.mkfifo(anna / "audio/f.wav")
    ended = mdth("preprocess", "anna", "--dry-run", "-v")
    assert ended.code == 0, ended.err
    for name in "abcd":
        assert f"skipped {name}.wav: a link" in ended.err
    assert "using m.wav" in ended.err


@pytest.mark.parametrize("where", ["raw/anna/audio", "raw/anna", "raw"])
def test_a_folder_of_the_store_that_is_a_link(
    mdth: Command, twin_home: Path, anna: Path, outside: Path, where: str
) -> None:
    folder = twin_home / "store" / where
    moved = outside / "moved"
    folder.rename(moved)
    folder.symlink_to(moved)
    fails(mdth("preprocess", "anna"), "is a link, which is not followed")


@pytest.mark.parametrize("where", [
    *("store/processed/anna", "store/processed", "store/processed/anna/preprocessed/th"),
    *("home/warping-data/anna", "home/warping-data/anna/audio", "home/warping-processed/anna"),
    *("home/warping-processed/anna/processed/th", "home/warping-serving/anna"),
])  # fmt: skip
def test_nothing_is_written_through_a_link(
    mdth: Command, twin_home: Path, anna: Path, outside: Path, where: str
) -> None:
    link = twin_home / where
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    fails(mdth("preprocess", "anna"), "a link, which is not followed")
    assert [path.name for path in outside.rglob("*")] == ["private.wav"]


def test_the_owners_own_links(mdth: Command, twin_home: Path, anna: Path, tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (twin_home / "home/warping-data").symlink_to(tmp_path / "large disk")
    (twin_home / "linked store").symlink_to(twin_home / "store")
    assert mdth("preprocess", "anna", "--dry-run").code == 0
    assert Store(str(twin_home / "linked store")).files("raw/anna/audio")


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    folder = tmp_path / "prepared"
    for kind in ("audio", "image"):
        (folder / kind).mkdir(parents=True)
        (folder / kind / "a.npy").write_bytes(kind.encode())
    source = {"chosen": {"name": "a", "bytes": 1, "sha256": "0" * 64}, "skipped": []}
    made = {"format": manifest.FORMAT, "twin": "anna", "settings": {}, "models": {}, "versions": {}}
    sources = dict.fromkeys(("audio", "image", "video"), source)
    manifest.seal(folder, {**made, "sources": sources})
    manifest.read(folder, twin="anna")
    return folder


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_in_prepared_data_is_not_used(prepared: Path, outside: Path, what: str) -> None:
    """Not even when what it points to has the right content."""
    folder = prepared / "audio"
    (file,) = folder.iterdir()
    if what == "file":
        file.rename(outside / "same")
        file.symlink_to(outside / "same")
    else:
        copytree(folder, outside / "audio")
        rmtree(folder)
        folder.symlink_to(outside / "audio")
    with pytest.raises(ArtefactError, match="changed"):
        manifest.read(prepared, twin="anna")


def test_folders_that_lead_to_themselves(tmp_path: Path) -> None:
    folder = tmp_path / "store/processed/anna"
    folder.mkdir(parents=True)
    for name in "ab":
        (folder / name).symlink_to(folder)
    (folder / "file").write_bytes(b"1")
    assert list(Store(str(tmp_path / "store")).below("processed/anna")) == ["file"]


def test_a_file_is_replaced_and_not_what_a_link_points_to(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "store/raw").mkdir(parents=True)
    (tmp_path / "store/raw/a.wav").symlink_to(outside / "private.wav")
    store = Store(str(tmp_path / "store"))
    before = (outside / "private.wav").read_bytes()
    (tmp_path / "new").write_bytes(b"new")
    for call in (
        lambda: store.upload(tmp_path / "new", "raw/a.wav"),
        lambda: store.download("raw/a.wav", tmp_path / "into"),
        lambda: store.remove("raw/a.wav"),
    ):
        with pytest.raises(StorageError, match="link"):
            call()
    assert (outside / "private.wav").read_bytes() == before
    assert not (tmp_path / "into").exists()
