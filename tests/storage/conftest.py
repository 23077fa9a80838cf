"""S3 servers behind the proxy that breaks requests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_proxy import FaultProxy, Proxied, fault_proxy

from mdth.storage.settings import S3Settings
from mdth.storage.store import Store
from s3_servers import moto_server, s3_client


@pytest.fixture(scope="session")
def _rclone_proxy(s3_server: tuple[str, Path]) -> Iterator[FaultProxy]:
    endpoint, root = s3_server
    (root / "bucket").mkdir(exist_ok=True)
    with fault_proxy(endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def _moto_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    log = tmp_path_factory.mktemp("moto") / "moto.log"
    with moto_server(log) as url, fault_proxy(url) as proxy:
        s3_client(url).create_bucket(Bucket="bucket")
        yield proxy


@pytest.fixture
def rclone_proxy(
    _rclone_proxy: FaultProxy, s3_keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Proxied:
    """The proxy before rclone's server, and an empty prefix of a bucket, to be opened now."""
    return _reached(_rclone_proxy, tmp_path, monkeypatch)


@pytest.fixture
def moto_proxy(
    _moto_proxy: FaultProxy, s3_keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Proxied:
    return _reached(_moto_proxy, tmp_path, monkeypatch)


@pytest.fixture(params=["rclone", "moto"])
def proxied(request: pytest.FixtureRequest) -> Proxied:
    """The proxy before each server in turn, and the URL of an empty store."""
    return request.getfixturevalue(f"{request.param}_proxy")


@pytest.fixture(params=["path", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    quick = S3Settings(first_wait_s=0.01)
    if request.param == "s3":
        return Store(request.getfixturevalue("s3_url"), settings=quick)
    (tmp_path / "store").mkdir()
    return Store(str(tmp_path / "store"), settings=quick)


def _reached(proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proxied:
    proxy.clear()
    monkeypatch.setenv("MDTH_S3_ENDPOINT", proxy.url)
    return proxy, f"s3://bucket/{tmp_path.name}"
