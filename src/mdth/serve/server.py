"""What all requests of a server share, and whose a request is."""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from mdth.serve.crew import Crew
from mdth.serve.problems import Refused
from mdth.serve.queue import Queue
from mdth.serve.settings import LOCAL, Settings, is_loopback

COOKIE = "mdth_key"


class Server:
    """Settings, queue, worker processes, and the folder that has each job's own."""

    crew: Crew  # while it runs

    def __init__(self, settings: Settings) -> None:
        self.settings, self.queue = settings, Queue(settings.data)
        self.stopping = False
        self.folder, self.incoming = settings.data / "jobs", settings.data / "incoming"
        for folder in (self.folder, self.incoming):
            folder.mkdir(parents=True, exist_ok=True)

    def owner(self, connection: HTTPConnection) -> str:
        """Whose a request is. Raises Refused: 401 without a key, 403 from another site's page."""
        headers = connection.headers
        origin, host = headers.get("origin"), headers.get("host", "")
        harmless = connection.scope.get("method") in ("GET", "HEAD")
        if origin and not harmless and urlsplit(origin).netloc != host:
            raise Refused(403, "pages of other sites may not use this server")
        if not self.settings.keys:
            if not (self.settings.insecure or is_loopback(_name(host))):
                raise Refused(403, "without keys only localhost is served; see MDTH_API_KEYS")
            return LOCAL
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            key = connection.cookies.get(COOKIE, "")
        if owner := self.settings.owner(key.strip()):
            return owner
        raise Refused(401, "give a key: Authorization: Bearer KEY", www_authenticate="Bearer")


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
