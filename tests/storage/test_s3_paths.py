from pathlib import Path

import pytest
from fault_proxy import Proxied, Refusal
from fault_table import QUICK
from test_publish import prepared

from mdth.errors import StorageError
from mdth.files.json import read_json
from mdth.storage import publish
from mdth.storage.faults import NotThere
from mdth.storage.store import Store
from s3_servers import s3_client
from tests.support.raising import raises

ODD_NAMES = [
    "a b.wav",
    "a+b.wav",
    "a%2Fb.wav",
    "a?b=c&d.wav",
    "a#b.wav",
    "a@b.wav",
    "ä\u202f日本.wav",  # a narrow space, as in the names of screenshots
    'it\'s "so".wav',
    "~a!$()*,;=:.wav",
]


def test_odd_names_come_back_as_they_are(proxied: Proxied, tmp_path: Path) -> None:
    store = Store(proxied[1], settings=QUICK)
    for number, name in enumerate(ODD_NAMES):
        (tmp_path / "sent").write_text(str(number))
        store.upload(tmp_path / "sent", f"raw/t/audio/{name}")
    assert {file.name for file in store.files("raw/t/audio")} == set(ODD_NAMES)
    assert set(store.below("raw/t")) == {f"audio/{name}" for name in ODD_NAMES}
    for number, name in enumerate(ODD_NAMES):
        path = f"raw/t/audio/{name}"
        assert store.download(path, tmp_path / "back").read_text() == str(number)
        store.remove(path)
    assert store.files("raw/t/audio") == []


def test_a_folder_is_not_taken_for_one_that_begins_alike(proxied: Proxied, tmp_path: Path) -> None:
    store = Store(proxied[1], settings=QUICK)
    (tmp_path / "a").write_text("a")
    store.upload(tmp_path / "a", "raw/t-2/audio/a.wav")
    store.upload(tmp_path / "a", "raw/t0/audio/a.wav")
    assert store.below("raw/t") == {}
    store.upload(tmp_path / "a", "raw/t/audio/a.wav")
    assert set(store.below("raw/t")) == {"audio/a.wav"}
    assert store.folders("raw") == ["t", "t-2", "t0"]


def test_markers_of_folders_are_no_files(moto_proxy: Proxied) -> None:
    proxy, url = moto_proxy
    prefix = url.removeprefix("s3://bucket/")
    client = s3_client(proxy.url)
    for key in ("raw/t/audio/", "raw/t/audio/below/"):
        client.put_object(Bucket="bucket", Key=f"{prefix}/{key}")
    store = Store(url, settings=QUICK)
    assert (store.files("raw/t/audio"), store.below("raw/t")) == ([], {})


@pytest.mark.parametrize(
    "key", ["raw/t/../../x", "raw/t//etc/passwd", "raw/t/./a", "raw/t/a\x7fb", "raw/t/.."]
)
def test_keys_that_are_no_plain_paths_are_nobodys(
    moto_proxy: Proxied, tmp_path: Path, key: str
) -> None:
    proxy, url = moto_proxy
    store = Store(url, settings=QUICK)
    raises(StorageError, "not a path inside the store", store.download, key, Path("never"))
    prefix = url.removeprefix("s3://bucket/")
    s3_client(proxy.url).put_object(Bucket="bucket", Key=f"{prefix}/{key}", Body=b"x")
    raises(StorageError, "not a plain file name; remove it", store.files, "raw/t")
    assert store.below("raw/t") == {}
    for text in ("one", "two", "two"):
        source = prepared(tmp_path / text, text)
        assert publish.publish_prepared(store, source, "raw/t")
        assert publish.is_published(store, read_json(source / "manifest.json"), "raw/t")


@pytest.mark.parametrize("server", ["rclone_proxy", "moto_proxy"])
def test_missing_is_told_apart(request: pytest.FixtureRequest, tmp_path: Path, server: str) -> None:
    _, url = request.getfixturevalue(server)
    with pytest.raises(NotThere, match="check MDTH_STORE and the name"):
        Store(url, settings=QUICK).download("raw/t/none.wav", tmp_path / "none")
    with pytest.raises(StorageError, match="create the bucket") as caught:
        Store("s3://no-such-bucket/x", settings=QUICK).download("a.wav", tmp_path / "none")
    assert not isinstance(caught.value, NotThere)
    assert not (tmp_path / "none").exists()


def test_a_refusal_for_the_time_names_the_clock(rclone_proxy: Proxied) -> None:
    proxy, url = rclone_proxy
    said = "The difference between the request time and the server's time is too large"
    proxy.break_next(Refusal(403, "AccessDenied", said))  # as rclone's server has it
    with pytest.raises(StorageError, match="server's time.*set this machine's clock"):
        Store(url, settings=QUICK).files("raw/t")
    assert proxy.count() == 1
