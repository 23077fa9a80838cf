from pathlib import Path

import pytest
from fault_proxy import CUT, RESET, FaultProxy, Proxied, Refusal

from mdth.storage.settings import S3Settings
from mdth.storage.store import Store
from s3_servers import KEY, SECRET
from tests.support.commands import Command

BUSY = Refusal(503, "SlowDown", "Please reduce your request rate.")


@pytest.fixture
def s3_twin(
    rclone_proxy: Proxied,
    twin_home: Path,
    portrait_path: Path,
    short_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> FaultProxy:
    proxy, url = rclone_proxy
    store = Store(url)
    store.upload(portrait_path, "raw/ada/image/portrait.jpg")
    store.upload(short_path, "raw/ada/audio/speech.wav")
    proxy.clear()
    monkeypatch.setenv("MDTH_STORE", url)
    return proxy


def test_a_twin_over_a_bad_line(
    s3_twin: FaultProxy, twin_home: Path, mdth: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(S3Settings, "pause_s", lambda settings, failures: 0.0)
    for passed in range(2, 20, 3):
        s3_twin.break_next(BUSY, times=1, passed=passed)
    s3_twin.break_next(RESET, method="PUT", times=1, passed=1)
    s3_twin.break_next(CUT, method="GET", pattern=r"\.(jpg|wav)", times=2)
    ended = mdth("preprocess", "ada", "-v", "--log", "json")
    assert ended.code == 0, ended.err
    assert "attempt 2 of 5" in ended.err
    assert sum(bool(seen.fault) for seen in s3_twin.seen) > 5
    local = [path for path in (twin_home / "home").rglob("*") if path.is_file()]
    written = [path.read_bytes() for path in local if "common" not in str(path)]
    assert len(written) > 5
    for text in [*written, ended.out.encode(), ended.err.encode()]:
        assert KEY.encode() not in text and SECRET.encode() not in text


def test_a_refused_twin_ends_in_one_line_without_secrets(
    s3_twin: FaultProxy, mdth: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"wrong{SECRET}")
    ended = mdth("preprocess", "ada", "-v")
    assert ended.code != 0
    last = ended.err.strip().splitlines()[-1]
    assert last.startswith("mdth: error: s3://bucket/") and "check the credentials" in last
    assert SECRET not in ended.err + ended.out and KEY not in ended.err + ended.out
