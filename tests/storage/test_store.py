import errno
import os
import shutil
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from mdth.errors import ArtefactError, MissingDependency, StorageError
from mdth.storage.faults import Damaged
from mdth.storage.settings import S3Settings
from mdth.storage.store import Store
from tests.support.raising import raises
from tests.support.web import Handler, serving

QUICK = S3Settings(first_wait_s=0.01)


def _folder(parent: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (parent / name).parent.mkdir(parents=True, exist_ok=True)
        (parent / name).write_text(text)
    return parent


def test_files_come_with_sizes(store: Store, tmp_path: Path) -> None:
    source = _folder(tmp_path / "in", {"a10.wav": "12345", "a2.wav": "12", "B1.wav": "1"})
    for file in source.iterdir():
        store.upload(file, f"raw/t/audio/{file.name}")
    store.upload(source / "a2.wav", "raw/t/audio/below/deeper.wav")
    found = {(entry.name, entry.size) for entry in store.files("raw/t/audio")}
    assert found == {("a2.wav", 2), ("a10.wav", 5), ("B1.wav", 1)}


def test_a_missing_folder_has_no_files(store: Store) -> None:
    assert (store.files("raw/nobody/audio"), store.below("raw/nobody")) == ([], {})


def test_download_is_atomic(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.upload(_folder(tmp_path / "in", {"a.bin": "x" * 1000}) / "a.bin", "raw/t/a.bin")
    target = tmp_path / "out" / "a.bin"
    assert store.download("raw/t/a.bin", target).read_text() == "x" * 1000
    target.write_text("older")

    def cut(path: str, file: BinaryIO, **_: object) -> None:
        file.write(b"x" * 500)
        raise Damaged("500 of 1000 bytes arrived")

    monkeypatch.setattr(store._files, "fetch", cut)
    raises(StorageError, "500 of 1000", store.download, "raw/t/a.bin", target)
    assert [file.read_text() for file in target.parent.iterdir()] == ["older"]


def test_a_missing_file_is_a_storage_error(store: Store, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(exist_ok=True)
    with pytest.raises(StorageError, match=r"raw/t/none\.wav"):
        store.download("raw/t/none.wav", tmp_path / "none.wav")
    assert not (tmp_path / "none.wav").exists()


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_json_that_is_none(tmp_path: Path, content: str) -> None:
    store = Store(str(tmp_path / "store"))
    store.upload(_folder(tmp_path / "in", {"m.json": content}) / "m.json", "m.json")
    raises(ArtefactError, "JSON", store.find_json, "m.json")


def test_a_local_store_that_is_not_there(tmp_path: Path) -> None:
    raises(StorageError, "MDTH_STORE", Store(str(tmp_path / "nowhere")).files, "raw/t/audio")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path / "store"))
    source = _folder(tmp_path / "in", {"a.txt": "a"}) / "a.txt"

    def full(source: Path, target: Path) -> None:
        Path(target).write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    raises(StorageError, "No space left on device", store.upload, source, "raw/t/a.txt")
    assert list((tmp_path / "store" / "raw" / "t").iterdir()) == []


def test_an_unreachable_server_is_soon_left(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDTH_S3_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="5 attempts.*MDTH_S3_ENDPOINT"):
        Store(s3_url, settings=QUICK).files("raw/t/audio")


@pytest.mark.parametrize(("status", "said"), [(404, "Not Found"), (301, "MDTH_S3_ENDPOINT")])
def test_a_server_that_is_no_store_or_redirects_without_end(
    status: int, said: str, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer(Handler):
        def do_GET(self) -> None:
            self.answer(status, Location=self.path)

    with serving(Answer) as address:
        monkeypatch.setenv("MDTH_S3_ENDPOINT", address)
        raises(StorageError, said, Store(s3_url, settings=QUICK).files, "raw/t/audio")


def test_a_folder_may_be_a_file_url(tmp_path: Path) -> None:
    """With what a URL has to escape."""
    source = _folder(tmp_path / "a b%", {"raw/t/ä.txt": "1"})
    store = Store(source.as_uri())
    store.upload(source / "raw/t/ä.txt", "raw/t/b.txt")
    assert {entry.name for entry in store.files("raw/t")} == {"ä.txt", "b.txt"}
    assert store.download("raw/t/b.txt", tmp_path / "b.txt").read_text() == "1"


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "gs://bucket/prefix", "az://box/x"])
def test_buckets_without_package_name_the_extra(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "mdth.storage.objects", raising=False)
    raises(MissingDependency, r"mdth\[s3\]", Store, url)


@pytest.mark.parametrize(
    ("url", "kind"), [("gs://bucket/a/b", "GCSStore"), ("az://container/a", "AzureStore")]
)
def test_other_clouds_are_opened(url: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    store = Store(url)
    assert (type(store._files.client()).__name__, store.url) == (kind, url)


def test_azure_without_an_account_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StorageError, match="Account must be specified") as caught:
        Store("az://container/a")
    assert "Debug" not in str(caught.value)


def test_an_unknown_protocol() -> None:
    raises(StorageError, "nosuch", Store, "nosuch://place")
