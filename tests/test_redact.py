import logging
import string
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdth.log.redact import Redacting, guard_logs, hide, redacted

# What keys, passwords and tokens are made of; long enough not to be part of ordinary words.
ALPHABET = string.ascii_letters + string.digits + "/+=_-.~"
SECRETS = st.text(ALPHABET, min_size=12, max_size=60).filter(lambda text: text.strip("/+=_-.~"))

PLACES = [
    "could not reach http://user:p{plain}@host:9000/bucket/key",
    "could not reach http://user:{quoted}@host:9000/bucket/key",
    "s3://{quoted}@bucket/x is no bucket",
    "GET https://host/b/k?X-Amz-Signature={quoted}&X-Amz-Expires=60 failed",
    "GET https://host/b/k?x=1&X-Amz-Security-Token={quoted} failed",
    "GET https://host/b/k?sig={quoted}",
    "Authorization: AWS4-HMAC-SHA256 Credential={plain}/20260101/us-east-1/s3/aws4_request",
    "Authorization: Bearer {plain}",
    "{{'Authorization': b'AWS4-HMAC-SHA256 Credential=x, SignedHeaders=h, Signature={plain}'}}",
    "{{'X-Amz-Security-Token': '{plain}', 'Host': 'h'}}", "x-amz-security-token:{plain}\nhost:h",
    "<Error><AWSAccessKeyId>{plain}</AWSAccessKeyId></Error>",
    "<StringToSign>{plain}</StringToSign>", "aws_secret_access_key = {plain}", 'password="{plain}"',
    "AWS_SESSION_TOKEN={plain} is old",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@settings(deadline=None, derandomize=True)
@given(secret=SECRETS)
def test_a_secret_is_known_by_its_place(place: str, secret: str) -> None:
    shown = redacted(place.format(plain=secret, quoted=quote(secret, safe="")))
    # Pieces of what was written around it may remain, the secret and its long pieces may not.
    pieces = {secret, quote(secret, safe="")}
    assert not any(piece in shown for piece in pieces)


@settings(deadline=None, derandomize=True)
@given(secret=SECRETS, before=st.text(), after=st.text())
def test_a_known_secret_is_hidden_anywhere(secret: str, before: str, after: str) -> None:
    hide([secret])
    assert secret not in redacted(f"{before}{secret}{after}")
    assert quote(secret, safe="") not in redacted(f"{before}{quote(secret, safe='')}{after}")


@pytest.mark.parametrize("text", [
    "s3://bucket/raw/t/audio/a@b.wav: not there", "http://127.0.0.1:9000/bucket/a@b.wav",
    "check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE)",
    "The provided token has expired. (ExpiredToken); renew the credentials",
    "raw/t/audio/9.wav: attempt 2 of 5 in 0.4 s",
])  # fmt: skip
def test_ordinary_words_stay(text: str) -> None:
    assert redacted(text) == text


def test_log_records_lose_secrets_also_in_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    guard_logs("some.library")
    log = logging.getLogger("some.library")
    try:
        raise ValueError("http://me:hunter2hunter2@host/x")
    except ValueError:
        log.exception("token=%s", "0123456789abcdef")
    log.warning("broken %d", "format")
    assert "hunter2hunter2" not in caplog.text and "0123456789abcdef" not in caplog.text
    assert "ValueError: http://host/x" in caplog.text and "broken %d" in caplog.text
    assert Redacting().filter(logging.LogRecord("a", 10, "", 1, "%s", ("x",), None))


@pytest.mark.parametrize("word", ["a.", "a-", "/a", "://a", "<a", "x:"])
def test_a_long_word_takes_no_longer_than_it_is(word: str) -> None:
    """Who sends one would hold up a server."""
    begun = time.process_time()
    redacted(word * 10_000)
    assert time.process_time() - begun < 1
