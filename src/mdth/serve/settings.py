"""How a server runs: where its data is, who may come in, and how much each may take."""

import hashlib
import hmac
import ipaddress
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mdth.errors import InputError

LOCAL = "local"  # who comes without a key, where none is needed
SHORTEST_KEY, SHORTEST_SECRET = 16, 24
_HASHED = "sha256:"


@dataclass(frozen=True)
class Settings:
    """What the flags of `mdth serve` say.

    workers: None for as many as the cluster has CPUs or GPUs. cluster: of Ray, as `mdth batch`
    has it; None for processes of this machine.
    keys: SHA-256 of each key by its owner's name. upload_bytes: of one request. bytes, jobs,
    seconds, calls: what an owner may have stored, under way, of speech under way, and of live calls
    (None: half of them). keep_s: how long a result stays. grace_s: what running jobs get when the
    server stops. insecure: anybody may come.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int | None = 1
    cluster: str | None = None
    keys: Mapping[str, bytes] = field(default_factory=dict)
    upload_bytes: int = 200_000_000
    bytes: int = 20_000_000_000
    jobs: int = 50
    calls: int | None = None
    seconds: float = 3600.0
    keep_s: float = 72 * 3600.0
    grace_s: float = 30.0
    insecure: bool = False
    twins: bool = False
    webrtc: bool = False
    webhook_hosts: frozenset[str] = frozenset()

    def owner(self, key: str) -> str | None:
        """Whose key it is, None for nobody's; takes as long for any."""
        digest, found = hashlib.sha256(key.encode()).digest(), None
        for name, known in self.keys.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def webhook_secret(self, owner: str) -> str:
        """What signs the messages to an owner: "whsec_", 32 bytes in base64. Raises InputError."""
        own = hmac.digest(_master(self.data), owner.encode(), "sha256")
        return f"whsec_{b64encode(own).decode()}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_keys(given: str) -> dict[str, bytes]:
    """The keys of `name:key,name:key`, or of a file that has one a line, by their owners' names.

    A key may be written as `sha256:` and its hash in hex. Raises InputError.
    """
    path = Path(given)
    lines = path.read_text("utf-8").splitlines() if given and path.is_file() else given.split(",")
    found: dict[str, bytes] = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in lines)):
        name, _, key = line.partition(":")
        try:
            hashed = bytes.fromhex(key.removeprefix(_HASHED)) if key.startswith(_HASHED) else None
        except ValueError:
            hashed = b""
        if not name or name in found or (len(hashed) != 32 if hashed is not None else not key):
            raise InputError(f"MDTH_API_KEYS: {name or 'a line'}: give each name once, name:key")
        if hashed is None and len(key) < SHORTEST_KEY:
            raise InputError(f"MDTH_API_KEYS: {name}: a key has at least {SHORTEST_KEY} letters")
        found[name] = hashed or hashlib.sha256(key.encode()).digest()
    if given and not found:
        raise InputError("MDTH_API_KEYS: no key in it; give name:key, or a file with one a line")
    return found


def _master(data: Path) -> bytes:
    """What all webhooks' secrets are made from: MDTH_WEBHOOK_SECRET, else made once and kept."""
    if given := os.environ.get("MDTH_WEBHOOK_SECRET"):
        try:
            key = b64decode(given.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if len(key) < SHORTEST_SECRET:
            words = f"give whsec_ and {SHORTEST_SECRET} bytes or more in base64"
            raise InputError(f"MDTH_WEBHOOK_SECRET: {words}")
        return key
    path = data / "webhook.secret"
    if not path.exists() or not path.stat().st_size:  # one that a full disk left, say
        with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()
