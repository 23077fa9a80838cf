"""Content credentials (C2PA) in a video, where the server's owner has a certificate for them."""

import json
import os
from pathlib import Path
from typing import Any

from mdth import __version__
from mdth.errors import InputError, MissingDependency
from mdth.files.write import replacing

CERTIFICATE, KEY = "MDTH_C2PA_CERTIFICATE", "MDTH_C2PA_KEY"
# By the length of an elliptic curve's key; RSA and Ed25519 have none.
_CURVES = {256: b"es256", 384: b"es384", 521: b"es512"}
# A picture or clip of a person, and generated motion of it (IPTC's digital source types).
_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def signer() -> Any:
    """What signs, None where no certificate is set. Raises MissingDependency, InputError."""
    files = [os.environ.get(name, "") for name in (CERTIFICATE, KEY)]
    if not any(files):
        return None
    try:
        import c2pa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificates
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"{CERTIFICATE} is set, but {error.name} is not installed; run: pip install "
            "'mdth[c2pa]'"
        ) from error
    try:
        chain, key = (Path(file).read_bytes() for file in files)
        kind: Any = load_pem_private_key(key, None)
        if load_pem_x509_certificates(chain)[0].public_key() != kind.public_key():
            raise ValueError("the key is not the certificate's")
        curve = getattr(kind, "curve", None)
        rest = b"ps256" if hasattr(kind, "key_size") else b"ed25519"
        algorithm = _CURVES[kind.key_size] if curve else rest
        return c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key, None))
    except (OSError, ValueError, TypeError, KeyError, c2pa.C2paError) as error:
        raise InputError(
            f"{CERTIFICATE}, {KEY}: {error}; give the PEM files of a chain and of its key"
        ) from error


def sign(video: Path, by: Any) -> None:
    """Write the credentials into an mp4: that it is synthetic, and made by what. by: `signer`'s."""
    import c2pa

    action = {"action": "c2pa.created", "digitalSourceType": _SOURCE}
    manifest = {
        "claim_generator_info": [{"name": "mdth", "version": __version__}],
        "title": video.name,
        "format": "video/mp4",
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
    }
    with replacing(video) as part:
        part.unlink()  # it wants to make the file
        c2pa.Builder(json.dumps(manifest)).sign_file(video, part, by)
