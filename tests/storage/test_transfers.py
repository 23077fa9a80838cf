import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_proxy import (
    CUT,
    DRIP,
    ETAG,
    LOST_ANSWER,
    NO_RANGE,
    TOGETHER,
    FaultProxy,
    Proxied,
    Refusal,
)
from fault_table import IMPATIENT, QUICK

from mdth.errors import StorageError
from mdth.storage import objects
from mdth.storage.faults import NotThere
from mdth.storage.settings import MIB, S3Settings, s3_settings
from mdth.storage.store import Store
from s3_servers import s3_client
from tests.support.raising import raises

SIZE = 6_000_000
CONTENT = hashlib.shake_256(b"content").digest(SIZE)
OTHER = hashlib.shake_256(b"other").digest(SIZE)
SMALL_PARTS = S3Settings(first_wait_s=0.01, part_bytes=500_000)
GET_A = {"method": "GET", "pattern": r"/a\.bin"}
ERROR = Refusal(500, "InternalError", "again")


def key(url: str) -> str:
    return f"{url.removeprefix('s3://bucket/')}/a.bin"


def put(url: str, proxy: FaultProxy, content: bytes) -> None:
    s3_client(proxy.url).put_object(Bucket="bucket", Key=key(url), Body=content)


@pytest.fixture
def in_the_pause(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """`in_the_pause(call)` has it called between the first attempt and the second."""

    def patch(call: Callable[[], None]) -> None:
        calls = [call]
        monkeypatch.setattr("mdth.storage.faults.time.sleep", lambda _: calls and calls.pop()())

    return patch


def test_a_broken_download_goes_on_where_it_broke(proxied: Proxied, tmp_path: Path) -> None:
    proxy, url = proxied
    put(url, proxy, CONTENT)
    proxy.break_next(CUT, times=3, **GET_A)
    Store(url, settings=QUICK).download("a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    gets = proxy.requests("GET", r"/a\.bin")
    starts = [int(seen.range.removeprefix("bytes=").rstrip("-") or 0) for seen in gets]
    assert len(starts) == 4 and starts == sorted(set(starts)) and starts[1] > SIZE // 3
    # Of each break, what the HTTP library had read but not yet given is sent again.
    assert sum(seen.sent for seen in gets) < SIZE + 3 * 600_000


def test_a_file_replaced_meanwhile_is_read_from_its_start(
    request: pytest.FixtureRequest,
    proxied: Proxied,
    tmp_path: Path,
    in_the_pause: Callable[[Callable[[], None]], None],
) -> None:
    proxy, url = proxied
    put(url, proxy, CONTENT)
    proxy.break_next(CUT, times=1, **GET_A)
    in_the_pause(lambda: put(url, proxy, OTHER))
    Store(url, settings=QUICK).download("a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == OTHER
    going_on = proxy.requests("GET", r"/a\.bin")[1]
    assert going_on.range and going_on.headers["If-Match"]
    if "moto" in request.node.callspec.id:  # which heeds the condition
        assert going_on.sent < SIZE // 100


def test_a_server_without_ranges_sends_all_again(moto_proxy: Proxied, tmp_path: Path) -> None:
    proxy, url = moto_proxy
    put(url, proxy, CONTENT)
    proxy.break_next(CUT, times=1, **GET_A)
    proxy.break_next(NO_RANGE, **GET_A)
    Store(url, settings=QUICK).download("a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_attempts_count_anew_after_progress(rclone_proxy: Proxied, tmp_path: Path) -> None:
    proxy, url = rclone_proxy
    put(url, proxy, CONTENT)
    proxy.break_next(CUT, times=4, **GET_A)
    hasty = S3Settings(attempts=2, first_wait_s=0.01, part_bytes=SIZE // 40)
    Store(url, settings=hasty).download("a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_that_drips_is_given_up(rclone_proxy: Proxied, tmp_path: Path) -> None:
    proxy, url = rclone_proxy
    put(url, proxy, CONTENT)
    proxy.slow_s = 0.05
    proxy.break_next(DRIP, **GET_A)
    with pytest.raises(StorageError, match="no answer in time, 5 attempts"):
        Store(url, settings=IMPATIENT).download("a.bin", tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_shrinks_while_it_is_sent_is_not_stored(
    rclone_proxy: Proxied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = rclone_proxy
    source = tmp_path / "a.bin"
    source.write_bytes(CONTENT)

    def attributes(path: str) -> dict[str, str]:
        source.write_bytes(CONTENT[:-1])
        return {}

    monkeypatch.setattr(objects, "_attributes", attributes)
    with pytest.raises(StorageError, match="changed while it was sent"):
        Store(url, settings=SMALL_PARTS).upload(source, "a.bin")
    raises(NotThere, None, Store(url).download, "a.bin", tmp_path / "back")


def test_a_known_hash_counts_more_than_the_etag(rclone_proxy: Proxied, tmp_path: Path) -> None:
    proxy, url = rclone_proxy
    put(url, proxy, CONTENT)
    store, target = Store(url, settings=QUICK), tmp_path / "out/a.bin"
    proxy.break_next(ETAG, **GET_A)
    store.download("a.bin", target, sha256=hashlib.sha256(CONTENT).hexdigest())
    proxy.clear()
    target.unlink()
    with pytest.raises(StorageError, match="not what was stored, 5 attempts"):
        store.download("a.bin", target, sha256=hashlib.sha256(OTHER).hexdigest())
    assert list(target.parent.iterdir()) == []
    assert proxy.count("GET", r"/a\.bin") == 5


def test_a_local_file_is_checked_too(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"), settings=QUICK)
    (tmp_path / "a.bin").write_bytes(OTHER)
    store.upload(tmp_path / "a.bin", "a.bin")
    with pytest.raises(StorageError, match="not what was stored"):
        store.download("a.bin", tmp_path / "b", sha256=hashlib.sha256(CONTENT).hexdigest())
    assert not (tmp_path / "b").exists()


def test_parts_go_side_by_side_a_failed_one_again(rclone_proxy: Proxied, tmp_path: Path) -> None:
    proxy, url = rclone_proxy
    (tmp_path / "a.bin").write_bytes(CONTENT)
    proxy.break_next(ERROR, pattern="partNumber=3", times=1)
    proxy.break_next(TOGETHER, pattern="partNumber=")
    Store(url, settings=SMALL_PARTS).upload(tmp_path / "a.bin", "a.bin")
    sent = [proxy.count("PUT", rf"partNumber={number}(&|$)") for number in range(1, 13)]
    assert sent == [1, 1, 2, *[1] * 9]
    assert 1 < proxy.most_active <= SMALL_PARTS.parallel
    proxy.clear()
    Store(url).download("a.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == CONTENT


def test_a_failed_upload_is_aborted(moto_proxy: Proxied, tmp_path: Path) -> None:
    proxy, url = moto_proxy
    (tmp_path / "a.bin").write_bytes(CONTENT)
    proxy.break_next(ERROR, pattern="partNumber=3")
    with pytest.raises(StorageError, match="5 attempts"):
        Store(url, settings=SMALL_PARTS).upload(tmp_path / "a.bin", "a.bin")
    left = s3_client(proxy.url).list_multipart_uploads(Bucket="bucket", Prefix=key(url))
    assert left.get("Uploads", []) == []
    raises(NotThere, None, Store(url).download, "a.bin", tmp_path / "back")


@pytest.mark.parametrize("name", ["POST", "PUT"])
def test_a_lost_answer_is_no_failure(proxied: Proxied, tmp_path: Path, name: str) -> None:
    proxy, url = proxied
    (tmp_path / "a.bin").write_bytes(CONTENT)
    proxy.break_next(LOST_ANSWER, method=name, pattern="uploadId=", times=1)
    Store(url, settings=QUICK).upload(tmp_path / "a.bin", "a.bin")
    proxy.clear()
    Store(url).download("a.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == CONTENT


def test_a_server_that_restarts_is_sent_the_upload_again(
    moto_proxy: Proxied, tmp_path: Path
) -> None:
    proxy, url = moto_proxy
    (tmp_path / "a.bin").write_bytes(CONTENT)
    gone = Refusal(404, "NoSuchUpload", "The specified upload does not exist.")
    for method in ("PUT", "POST"):
        proxy.break_next(gone, method=method, pattern="uploadId=", times=2)
    Store(url, settings=QUICK).upload(tmp_path / "a.bin", "a.bin")
    proxy.clear()
    Store(url).download("a.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == CONTENT


def test_an_upload_damaged_on_the_way_is_sent_again(moto_proxy: Proxied, tmp_path: Path) -> None:
    proxy, url = moto_proxy
    (tmp_path / "a.bin").write_bytes(CONTENT[:1000])
    proxy.break_next(
        Refusal(400, "BadDigest", "The Content-MD5 you specified did not match"), times=1
    )
    Store(url, settings=QUICK).upload(tmp_path / "a.bin", "a.bin")
    assert proxy.count("PUT", r"/a\.bin") == 2


def test_the_size_of_parts_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDTH_S3_PART_MB", "32")
    assert s3_settings().part_bytes == 32 * MIB
    monkeypatch.setenv("MDTH_S3_PART_MB", "1")
    assert s3_settings().part_bytes == 5 * MIB
    assert S3Settings().part_size(1 << 40) * 10_000 >= 1 << 40
