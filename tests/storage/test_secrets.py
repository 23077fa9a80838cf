import io
import logging
import os
import re
import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import obstore
import pytest
from fault_proxy import Proxied, Refusal
from fault_table import QUICK, operations, put_sources
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdth.errors import MdthError, StorageError
from mdth.log.redact import redacted
from mdth.storage.store import Store

KEY = "AKIA" + "QWERTYUIOPASDFGH"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEBYaDF2Yq9examplesessiontokenthatislong=="
PASSWORD = "correct-horse-battery"
SECRETS = (KEY, SECRET, TOKEN, PASSWORD)
SIGNED = f"https://h/b/k?X-Amz-Credential={KEY}%2Fs3&X-Amz-Security-Token={quote(TOKEN, safe='')}"

# What servers and gateways have been seen to put into an error's text, and worse.
SAYINGS = [
    "The AWS Access Key Id you provided ({key}) does not exist in our records.",
    "Request signed with {secret} refused",
    "GET {signed}&X-Amz-Signature=0123456789abcdef0123456789abcdef failed",
    "upstream http://admin:{password}@10.0.0.1:9000/bucket did not answer",
    "Authorization: AWS4-HMAC-SHA256 Credential={key}/20260101, Signature=0123456789abcdef01",
    "token {token} expired, {quoted}",
]
REFUSALS = [
    (403, "SignatureDoesNotMatch"), (403, "InvalidAccessKeyId"), (400, "ExpiredToken"),
    (403, "AccessDenied"), (404, "NoSuchBucket"), (400, "NeverHeardOf"), (500, "InternalError"),
    (503, "SlowDown"),
]  # fmt: skip


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that any logger says, down to DEBUG."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("mdth").setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
    logging.getLogger("mdth").setLevel(logging.NOTSET)


def shown(error: BaseException) -> str:
    """All that a program can print of an exception."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error.__dict__)


def check_nothing_in(text: str) -> None:
    """None of the secrets, as they are or in a URL, and no signature."""
    for secret in SECRETS:
        assert secret not in text and quote(secret, safe="") not in text
    assert not re.search(r"(?i)signature['\"]?[=:]\s*['\"]?[0-9a-f]{16}", text)


@settings(
    max_examples=30, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    saying=st.sampled_from(SAYINGS),
    refusal=st.sampled_from(REFUSALS),
    operation=st.sampled_from(["list", "get", "put", "delete"]),
    around=st.text(
        st.characters(codec="ascii", exclude_characters="<>&", exclude_categories=["C"])
    ),
)
def test_no_refusal_shows_a_secret(
    rclone_proxy: Proxied,
    tmp_path: Path,
    said: io.StringIO,
    saying: str,
    refusal: tuple[int, str],
    operation: str,
    around: str,
) -> None:
    proxy, url = rclone_proxy
    proxy.clear()
    (tmp_path / "a.bin").write_bytes(b"a")
    words = saying.format(
        key=KEY, secret=SECRET, token=TOKEN, quoted=quote(TOKEN, safe=""), password=PASSWORD,
        signed=SIGNED.replace("&", "&amp;"),
    ).replace("&X-", "&amp;X-")  # fmt: skip
    proxy.break_next(Refusal(*refusal, f"{around} {words} {around}"))
    credentials = {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as environment:
        for name, value in credentials.items():
            environment.setenv(name, value)
        store = Store(url, settings=QUICK)
        with pytest.raises(StorageError) as caught:
            operations(store, tmp_path)[operation]()
    check_nothing_in(shown(caught.value) + said.getvalue())
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    said.truncate(0)


def test_debug_logs_of_the_libraries_hold_no_secret(
    rclone_proxy: Proxied, tmp_path: Path, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With credentials from a file, which the store never sees itself."""
    proxy, url = rclone_proxy
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        value = os.environ[name]
        (tmp_path / "credentials").open("a").write(
            f"{'' if (tmp_path / 'credentials').stat().st_size else '[default]' + chr(10)}"
            f"{name.lower()} = {value}\n"
        )
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    put_sources(tmp_path)
    store = Store(url, settings=QUICK)
    store.upload(tmp_path / "large.bin", "raw/t/large.bin")
    store.download("raw/t/large.bin", tmp_path / "back")
    said.flush()
    logged = said.getvalue()
    signatures = re.findall(
        r"Signature=([0-9a-f]+)", " ".join(seen.headers["Authorization"] for seen in proxy.seen)
    )
    assert len(signatures) > 5
    assert not [signature for signature in signatures if signature in logged]
    assert "testsecret" not in logged


def test_profiles_of_awss_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of the chosen one, its region from either file; the environment comes first."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id=other\n[work]\naws_access_key_id={KEY}\n"
        f"aws_secret_access_key={SECRET}\naws_session_token={TOKEN}\n"
    )
    (tmp_path / "config").write_text(
        "[profile work]\nregion = eu-north-1\noutput = json\n[profile sso]\nsso_region = x\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    signed = obstore.sign(Store("s3://bucket/x")._files.client(), "GET", "a", timedelta(minutes=1))
    assert f"X-Amz-Credential={KEY}" in signed and "eu-north-1" in signed
    assert quote(TOKEN, safe="") in signed
    assert KEY not in redacted(signed)
    monkeypatch.setenv("AWS_PROFILE", "sso")
    with pytest.raises(StorageError, match="'sso' has no keys.*export-credentials --profile sso"):
        Store("s3://bucket/x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    signed = obstore.sign(Store("s3://bucket/x")._files.client(), "GET", "a", timedelta(minutes=1))
    assert "X-Amz-Credential=from-the-environment" in signed


@pytest.mark.parametrize("url", [
    f"s3://{KEY}:{quote(SECRET, safe='')}@bucket/x", f"s3://user:{PASSWORD}@bucket/x",
    f"nosuch://user:{PASSWORD}@host/x", f"http://user:{PASSWORD}@127.0.0.1:9/x",
    f"s3://bucket/x?X-Amz-Security-Token={quote(TOKEN, safe='')}",
])  # fmt: skip
def test_credentials_in_a_store_url_are_not_repeated(
    url: str, s3_keys: None, monkeypatch: pytest.MonkeyPatch, said: io.StringIO
) -> None:
    monkeypatch.setenv("MDTH_S3_ENDPOINT", f"http://user:{PASSWORD}@127.0.0.1:9")
    with pytest.raises(MdthError) as caught:
        Store(url, settings=QUICK).files("raw/t/audio")
    check_nothing_in(shown(caught.value) + said.getvalue())
