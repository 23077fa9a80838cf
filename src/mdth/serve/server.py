"""What all requests of a server share, and whose a request is."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from mdth.serve.crew import Crew
from mdth.serve.problems import Refused
from mdth.serve.queue import Queue
from mdth.serve.settings import LOCAL, Settings, is_loopback

COOKIE = "mdth_key"


@dataclass
class Place:
    """Whose a live call is; of one by WebRTC its task, and whether nobody came to its answer."""

    owner: str
    task: asyncio.Task[None] | None = None
    unreached: bool = False


class Server:
    """Settings, queue, worker processes, and the folder that has each job's own."""

    def __init__(self, settings: Settings) -> None:
        """Raises InputError where there is no such cluster."""
        self.settings, self.queue = settings, Queue(settings.data, settings.keep_s)
        self.crew = Crew(settings, self.queue)
        self.stopping = False
        self.arriving = Counter[str]()  # requests with files, by owner
        # Live calls, and those whose first message is awaited.
        self.calls, self.starting = dict[object, Place](), dict[object, Place]()
        self.folder, self.incoming = settings.data / "jobs", settings.data / "incoming"
        for folder in (self.folder, self.incoming):
            folder.mkdir(parents=True, exist_ok=True)

    def owner(self, connection: HTTPConnection) -> str:
        """Whose a request is. Raises Refused: 401 without a key, 403 from another site's page."""
        check_site(connection)
        own, host = self.settings, connection.headers.get("host", "")
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            key = connection.cookies.get(COOKIE, "")
        if not (own.keys or own.insecure or is_loopback(_name(host))):
            raise Refused(403, "without keys only localhost is served; see MDTH_API_KEYS")
        owner = own.owner(key.strip()) if own.keys else LOCAL
        if not owner:
            raise Refused(401, "give a key: Authorization: Bearer KEY", www_authenticate="Bearer")
        connection.scope["owner"] = owner  # whose connection need not hurry
        return owner


def check_site(connection: HTTPConnection) -> None:
    """Raises Refused where another site's page asks for more than to read."""
    origin, host = connection.headers.get("origin"), connection.headers.get("host", "")
    harmless = connection.scope.get("method") in ("GET", "HEAD")
    if origin and not harmless and origin.partition("://")[2] != host:
        raise Refused(403, "pages of other sites may not use this server")


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
