"""Content credentials in what a server makes, read by the library of those who wrote C2PA."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from serving import OPTIONS, Served, ended

from mdth.errors import InputError
from mdth.media.video import probe_video
from mdth.serve import credentials

c2pa = pytest.importorskip("c2pa")


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, by: str, signing: ec.EllipticCurvePrivateKey
) -> bytes:
    """In PEM; one that signs itself is an authority."""
    usages = "digital_signature content_commitment key_encipherment data_encipherment "
    usages += "key_agreement key_cert_sign crl_sign encipher_only decipher_only"
    root, now = name == by, datetime.datetime.now(datetime.UTC)
    wanted = {"key_cert_sign", "crl_sign"} if root else {"digital_signature"}
    own = {usage: usage in wanted for usage in usages.split()}
    subject, issuer = (
        x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, each),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "made up"),
            ]
        )
        for each in (name, by)
    )
    made = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.BasicConstraints(root, 0 if root else None), True)
        .add_extension(x509.KeyUsage(**own), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False
        )
    )
    if not root:
        made = made.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), True
        )
    return made.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("certificates")
    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    chain = certificate("signer", leaf, "root", root) + certificate("root", root, "root", root)
    (folder / "chain.pem").write_bytes(chain)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (folder / "key.pem").write_bytes(leaf.private_bytes(*form, serialization.NoEncryption()))
    return {
        credentials.CERTIFICATE: str(folder / "chain.pem"),
        credentials.KEY: str(folder / "key.pem"),
    }


def test_a_video_says_who_made_it_and_that_it_is_synthetic(
    serve: Callable[..., Served], paths: dict[str, str], portrait: bytes, speech: bytes,
    tmp_path: Path,
) -> None:  # fmt: skip
    with serve("--workers", "1", **paths).client() as anna:
        files = {"source": portrait, "speech": speech}
        made = anna.post("/v1/talks", data={"options": OPTIONS}, files=files).json()
        job = ended(anna, f"/v1/talks/{made['id']}")
        film = tmp_path / "film.mp4"
        film.write_bytes(anna.get(job["content_url"]).content)
    assert probe_video(film).fps == 10
    with film.open("rb") as file:
        read = json.loads(c2pa.Reader("video/mp4", file).json())
    assert read["validation_state"] == "Valid"
    said = read["manifests"][read["active_manifest"]]["assertions"]
    (actions,) = (each["data"]["actions"] for each in said if "c2pa.actions" in each["label"])
    (action,) = actions
    assert action["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    changed = film.read_bytes()
    at = changed.index(b"mdat") + 100
    film.write_bytes(changed[:at] + bytes([changed[at] ^ 1]) + changed[at + 1 :])
    with film.open("rb") as file:
        assert json.loads(c2pa.Reader("video/mp4", file).json())["validation_state"] == "Invalid"


def test_what_cannot_sign_is_told_at_the_start(
    paths: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert credentials.signer() is None
    monkeypatch.setenv(credentials.KEY, paths[credentials.KEY])
    for chain in ("", "/none.pem", paths[credentials.KEY]):
        monkeypatch.setenv(credentials.CERTIFICATE, chain)
        with pytest.raises(InputError, match="MDTH_C2PA_CERTIFICATE"):
            credentials.signer()
