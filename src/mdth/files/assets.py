"""The outside files: what they are, where they may come from, and that they are the right ones."""

import contextlib
import hashlib
import http.client
import logging
import tomllib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from mdth.config import config
from mdth.errors import CheckpointError, StorageError
from mdth.files.index import Indexes
from mdth.files.reading import known_sha256
from mdth.files.write import alone, replacing
from mdth.log.console import watching

# That something is fetched is said with and without -v.
log = logging.getLogger("mdth.assets")
log.setLevel(logging.INFO)

FOLDER = Path("warping-common", "th", "checkpoints")
PIECE_BYTES = 1 << 18
LIST = Path(__file__).parents[1] / "weights" / "assets.toml"


@dataclass(frozen=True)
class Source:
    """Where an asset may come from: a wheel by its file's name, or a member of it, or a URL.

    parts: such sources of what follows each other in it.
    """

    wheel: str = ""
    member: str = ""
    url: str = ""
    parts: Sequence[Mapping[str, Any]] = ()

    def __str__(self) -> str:
        whole = self.wheel or self.url or "; ".join(part["wheel"] for part in self.parts)
        return f"{self.member} in {whole}" if self.member else whole


@dataclass(frozen=True)
class Asset:
    """One outside file; size in bytes. extra: that of the package which alone needs it."""

    name: str
    what: str
    size: int
    sha256: str
    licence: str
    sources: tuple[Source, ...]
    extra: str = ""

    @property
    def file(self) -> Path:
        """Where it is or will be: in the twins' tree if it lies there, else in the user's cache."""
        own = config().home / FOLDER / self.name
        return config().models / self.name if self._problem(own) else own

    @property
    def problem(self) -> str:
        """What is wrong with the file in place, empty if nothing is."""
        return self._problem(self.file)

    def _problem(self, file: Path) -> str:
        try:
            return self.mismatch(known_sha256(file))
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"

    def mismatch(self, digest: str) -> str:
        """What to say of a content with this SHA-256, empty if it is the right one."""
        if digest == self.sha256:
            return ""
        return f"wrong content: SHA-256 {self.sha256} expected, {digest} found"


@cache
def entries() -> tuple[Asset, ...]:
    """All assets of `assets.toml`."""
    return tuple(
        Asset(**{**entry, "sources": tuple(Source(**source) for source in entry["sources"])})
        for entry in tomllib.loads(LIST.read_text("utf-8"))["asset"]
    )


def path(name: str) -> Path:
    """The local file of an asset, its content verified; fetched where it is not there yet.

    Raises CheckpointError, StorageError.
    """
    return fetch([name])[0]


def verify(names: Iterable[str] | None = None) -> list[Path]:
    """The files of the named assets, as `named`. Raises CheckpointError naming every bad one."""
    found = named(names)
    problems = [f"{asset.file}: {asset.problem}" for asset in found if asset.problem]
    if problems:
        extra = f" {found[0].extra}".rstrip()
        raise CheckpointError("; ".join(problems) + f"; run: mdth assets fetch{extra}")
    return [asset.file for asset in found]


def fetch(names: Iterable[str] | None = None) -> list[Path]:
    """Put the named assets, as `named`, in place; those already right are left alone.

    Raises CheckpointError when no source has the right content, StorageError when the disk is full
    or may not be written.
    """
    found = named(names)
    if any(asset.problem for asset in found):
        with alone(config().models, "MDTH_MODELS"):  # who comes second finds all in place
            for asset in found:
                if asset.problem:
                    _fetch(asset)
    return [asset.file for asset in found]


def of_extra(extra: str = "") -> list[str]:
    """The names of the assets of an extra, or of those that need none."""
    return [asset.name for asset in entries() if asset.extra == extra]


def named(names: Iterable[str] | None = None) -> list[Asset]:
    """The assets of these names (default: that need no extra). Raises CheckpointError."""
    known = {asset.name: asset for asset in entries()}
    chosen = of_extra() if names is None else list(names)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise CheckpointError(f"no asset called {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in chosen]


def _fetch(asset: Asset) -> None:
    """Put the asset in place from the first source that has it."""
    indexes, failures = Indexes(), []
    if asset.problem != "missing":
        log.info("%s: %s", asset.file, asset.problem)
    log.info("fetching %s, %.1f MB, into %s", asset.name, asset.size / 1e6, asset.file.parent)
    for source in asset.sources:
        try:
            content = b"".join(
                _read(part, asset, indexes)
                for part in [Source(**part) for part in source.parts] or [source]
            )
        except _UNUSABLE as error:
            failure = str(error).strip("<>") or type(error).__name__
        else:
            failure = asset.mismatch(hashlib.sha256(content).hexdigest())
            if not failure:
                return _place(content, asset.file)
        failures.append(f"{source}: {failure}")
    raise CheckpointError(
        f"{asset.name} is not in {asset.file.parent} and cannot be fetched: {'; '.join(failures)}. "
        "Check the network or pip's settings, or copy the file from a machine that has it (SHA-256 "
        f"{asset.sha256})"
    )


# No answer, none that has the file, or a wheel that is damaged in one of many ways.
_UNUSABLE = (
    *(OSError, http.client.HTTPException, LookupError, ValueError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


@contextlib.contextmanager
def _opened(source: Source, indexes: Indexes) -> Iterator[BinaryIO]:
    with indexes.wheel(source.wheel) if source.wheel else indexes.open(source.url) as file:
        if not source.member:
            yield file
            return
        with zipfile.ZipFile(file) as wheel, wheel.open(source.member) as member:
            yield member  # type: ignore[misc]


def _read(source: Source, asset: Asset, indexes: Indexes) -> bytes:
    """All of a file, but not much more than the asset has."""
    content, progress = bytearray(), watching()
    try:
        with _opened(source, indexes) as file:
            while len(content) <= asset.size and (piece := file.read(PIECE_BYTES)):
                content += piece
                progress(len(content), asset.size, "bytes")
    finally:
        progress.clear()
    return bytes(content)


def _place(content: bytes, file: Path) -> None:
    try:
        with replacing(file) as part:
            part.write_bytes(content)
    except OSError as error:
        raise StorageError(
            f"{file}: cannot be written ({error.strerror}); free some space or set MDTH_MODELS "
            "to a folder that can be written"
        ) from error
