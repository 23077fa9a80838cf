"""Wheels read from the package indexes that pip or uv are set to; no pip is run or needed.

The simple repository API as HTML (PEP 503), which every index speaks.
"""

import configparser
import contextlib
import html
import io
import netrc
import os
import re
import shutil
import ssl
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import platformdirs

TIMEOUT_S = 30
PYPI = "https://pypi.org/simple"
_LINK = re.compile(r"""href\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
# What a request costs is hidden in a piece of this size, and 50 MB of wheel around it stay away.
PIECE_BYTES = 1 << 20


class Indexes:
    """Where packages come from, by pip's configuration files and the variables of pip and uv."""

    def __init__(self) -> None:
        self._set = _pip_configuration()
        self._logins = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        self._known: dict[str, tuple[str, str, str]] = {}
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            self._known = netrc.netrc().hosts

    @contextlib.contextmanager
    def wheel(self, name: str) -> Iterator[BinaryIO]:
        """A wheel by its file's name, open for reading in pieces. Raises OSError, LookupError."""
        asked = []
        for place in self._places(re.sub("[-_.]+", "-", name.split("-")[0]).lower()):
            try:
                found = self._found(place, name)
            except OSError as error:
                asked.append(f"{_bare(place)} ({error})")
                continue
            if found:
                with self.open(found) as file:
                    yield file
                return
            asked.append(_bare(place))
        raise LookupError(f"not on {', '.join(asked) or 'any index: none is set'}")

    @contextlib.contextmanager
    def open(self, address: str) -> Iterator[BinaryIO]:
        """What lies at an address, to read and to seek in. Raises OSError."""
        with self._request(address, first=0, last=0) as answer:
            span = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range", ""))
            if not span:  # the server gives whole files only
                with tempfile.TemporaryFile() as copy:
                    shutil.copyfileobj(answer, copy)
                    copy.seek(0)
                    yield copy
                return

        def read(first: int, last: int) -> bytes:
            with self._request(address, first, last) as answer:
                return bytes(answer.read(last - first + 1))

        yield io.BufferedReader(_Remote(read, int(span[1])), PIECE_BYTES)

    def _places(self, project: str) -> Iterator[str]:
        """Pages and folders where a project's files may be named."""
        yield from self._list("find-links", "UV_FIND_LINKS")
        if self._set.get("no-index", "").lower() in ("1", "true", "yes", "on"):
            return
        main = self._list("index-url", "UV_DEFAULT_INDEX", "UV_INDEX_URL")[:1] or [PYPI]
        for index in (*main, *self._list("extra-index-url", "UV_INDEX", "UV_EXTRA_INDEX_URL")):
            # uv's may have a name before them.
            yield f"{re.sub('^[A-Za-z0-9_.-]+=(?=[a-z]+:)', '', index).rstrip('/')}/{project}/"

    def _list(self, option: str, *variables: str) -> list[str]:
        """All that is set, pip's first."""
        said = [self._set.get(option, ""), *(os.environ.get(name, "") for name in variables)]
        return [word for words in said for word in re.split(r"[\s,]+", words) if word]

    def _found(self, place: str, name: str) -> str | None:
        """The address of a file that a page links to, or a folder has."""
        folder = Path(urllib.request.url2pathname(urlsplit(place).path or place))
        if urlsplit(place).scheme not in ("http", "https"):
            if (folder / name).is_file():
                return (folder / name).absolute().as_uri()
            folder = folder / "index.html" if folder.is_dir() else folder
            if not folder.is_file():
                return None
            place = folder.absolute().as_uri()
        try:
            with self._request(place) as answer:
                page, base = answer.read().decode("utf-8", "replace"), answer.geturl()
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                return None
            raise
        for link in _LINK.findall(page):
            address = urljoin(base, html.unescape(link)).partition("#")[0]
            if unquote(urlsplit(address).path).rpartition("/")[2] == name:
                return str(address)
        return None

    def _request(self, address: str, first: int | None = None, last: int | None = None) -> Any:
        parts, bare = urlsplit(address), _bare(address)
        user, _, password = self._known.get(parts.hostname or "", ("", "", ""))
        if parts.username:
            user, password = unquote(parts.username), unquote(parts.password or "")
        if user:  # also for the files of this place, which it may name without the login
            self._logins.add_password(None, f"{parts.scheme}://{_host(bare)}", user, password)
        headers = {"Accept": "text/html, */*;q=0.1", "User-Agent": "mdth"}
        if first is not None:
            headers["Range"] = f"bytes={first}-{last}"
        proxy = self._set.get("proxy")
        trusted = {name.partition(":")[0] for name in self._list("trusted-host")}
        context = _trust(self._set.get("cert"), check=parts.hostname not in trusted)
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPBasicAuthHandler(self._logins),
            urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else None),
        )
        return opener.open(urllib.request.Request(bare, headers=headers), timeout=TIMEOUT_S)


@cache
def _trust(more: str | None, *, check: bool) -> ssl.SSLContext:
    """Whom to believe: the system, certifi, and whom pip is told to."""
    import certifi

    context = ssl.create_default_context()
    for file in filter(None, (certifi.where(), more)):
        context.load_verify_locations(file)
    if not check:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class _Remote(io.RawIOBase):
    """A file of which a server gives any part. read: its bytes from the first to the last."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read, self._size, self._at = read, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        last = min(self._at + len(buffer), self._size) - 1
        got = self._read(self._at, last) if last >= self._at else b""
        buffer[: len(got)] = got
        self._at += len(got)
        return len(got)


def _bare(address: str) -> str:
    """Without name and password."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=_host(address)))


def _host(address: str) -> str:
    return urlsplit(address).netloc.rpartition("@")[2]


def _pip_configuration() -> dict[str, str]:
    """Options of pip: of its files, the later over the earlier, then of its variables."""
    own = os.environ.get("PIP_CONFIG_FILE", "")
    name = "pip.ini" if os.name == "nt" else "pip.conf"
    shared = platformdirs.site_config_dir("pip", appauthor=False, multipath=True)
    folders = [
        *(Path(folder) for folder in shared.split(os.pathsep)),
        *(Path("/etc"), Path.home() / ".pip"),
        *(platformdirs.user_config_path("pip", appauthor=False, roaming=True), Path(sys.prefix)),
    ]
    files = [] if own == os.devnull else [*(folder / name for folder in folders), Path(own)]
    parser = configparser.RawConfigParser(strict=False)
    with contextlib.suppress(configparser.Error, UnicodeDecodeError):
        parser.read([file for file in files if file.is_file()], "utf-8")
    found = {
        option.replace("_", "-"): value
        for section in ("global", "install", "download")
        if parser.has_section(section)
        for option, value in parser.items(section)
    }
    variables = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return found | {
        name.removeprefix("PIP_").replace("_", "-").lower(): value
        for name, value in variables.items()
        if value
    }
