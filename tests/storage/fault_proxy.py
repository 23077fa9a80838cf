"""An HTTP proxy in front of an S3 server that breaks requests by rule and counts what passes."""

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ALWAYS = 1_000_000
BLOCK = 1 << 16
HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}
WRONG_ETAG = '"00000000000000000000000000000000"'

RESET, CUT, STALL, STALL_INSIDE = "reset", "cut", "stall", "stall inside"
LOST_ANSWER, ETAG, SLOW, NO_RANGE = "lost answer", "wrong ETag", "slow", "range ignored"
DRIP = "drip"  # a byte every `slow_s`
TOGETHER = "together"  # no answer before another request comes
TOGETHER_S = 60.0


@dataclass(frozen=True)
class Refusal:
    """An S3 error answer; without a code the answer has no body, as from a gateway."""

    status: int
    code: str = ""
    message: str = ""

    def body(self) -> bytes:
        if not self.code:
            return b""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>"
        ).encode()


@dataclass
class Rule:
    """Breaks the first `times` requests of a method whose path and query match `pattern`.

    fault: one of the names above or a Refusal. `passed` requests that match go through before.
    """

    fault: str | Refusal
    method: str = ""
    pattern: str = ""
    times: int = ALWAYS
    passed: int = 0

    def applies(self, method: str, path: str) -> bool:
        """Whether this request is to be broken; counts it."""
        if (self.method and self.method != method) or not re.search(self.pattern, path):
            return False
        if self.passed:
            self.passed -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass
class Seen:
    """A request that came, the fault it met ("" for none) and the bytes of body sent so far."""

    method: str
    path: str
    fault: str
    headers: dict[str, str]
    sent: int = 0
    answered: bool = False

    @property
    def range(self) -> str:
        return self.headers.get("Range", "")


@dataclass(repr=False)
class FaultProxy:
    """The proxy's URL, its rules and what it saw; may be changed while it runs."""

    url: str = ""
    stall_s: float = 30.0
    slow_s: float = 0.2
    rules: list[Rule] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    most_active: int = 0
    # Called before and after each request that goes through: method, path, "before" or "after".
    passing: Callable[[str, str, str], None] = lambda method, path, when: None
    lock: threading.Condition = field(default_factory=threading.Condition)
    closing: threading.Event = field(default_factory=threading.Event)

    def break_next(self, fault: str | Refusal, **where: str | int) -> None:
        """Have one more rule; see Rule for `method`, `pattern`, `times` and `passed`."""
        self.rules.append(Rule(fault, **where))

    def fault_for(self, method: str, path: str) -> str | Refusal:
        with self.lock:
            return next((rule.fault for rule in self.rules if rule.applies(method, path)), "")

    def begin(self, seen: Seen) -> None:
        """Counts a request as one that waits for its answer."""
        with self.lock:
            self.seen.append(seen)
            waiting = sum(not each.answered for each in self.seen)
            self.most_active = max(self.most_active, waiting)
            self.lock.notify_all()

    def clear(self) -> None:
        self.stall_s, self.slow_s = 30.0, 0.2
        self.rules.clear()
        self.seen.clear()
        self.most_active = 0

    def count(self, method: str = "", pattern: str = "") -> int:
        return len(self.requests(method, pattern))

    def requests(self, method: str = "", pattern: str = "") -> list[Seen]:
        return [
            seen
            for seen in self.seen
            if method in ("", seen.method) and re.search(pattern, seen.path)
        ]


Proxied = tuple[FaultProxy, str]  # and the URL of an empty store


@contextmanager
def fault_proxy(upstream: str, *, stall_s: float = 30.0) -> Iterator[FaultProxy]:
    """A proxy in front of the server at the URL `upstream`."""
    proxy = FaultProxy(stall_s=stall_s)
    host = urlsplit(upstream).netloc

    class Handler(_Handler):
        state, upstream_host = proxy, host

    class Server(ThreadingHTTPServer):
        daemon_threads, request_queue_size = True, 128

        def get_request(self) -> tuple[socket.socket, object]:
            proxy.connections += 1
            return super().get_request()

        def handle_error(self, *_: object) -> None:
            """A client that went away is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: FaultProxy
    upstream_host: str
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPConnection(self.upstream_host, timeout=60)

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def _serve(self) -> None:
        fault = self.state.fault_for(self.command, self.path)
        name = fault if isinstance(fault, str) else fault.code or str(fault.status)
        self._seen = Seen(self.command, self.path, name, self._named())
        self.state.begin(self._seen)
        try:
            self._answer(fault)
        finally:
            self._seen.answered = True

    def _named(self) -> dict[str, str]:
        return {name.title(): value for name, value in self.headers.items()}

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _answer(self, fault: str | Refusal) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if isinstance(fault, Refusal):
            self._refuse(fault)
        elif fault in (RESET, STALL):
            if fault == STALL:
                self.state.closing.wait(self.state.stall_s)
            self._reset()
        else:
            self._pass_on(body, fault)

    def _refuse(self, refusal: Refusal) -> None:
        body = b"" if self.command == "HEAD" else refusal.body()
        self._seen.answered = True
        self.send_response(refusal.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Close so that the client sees a reset, not an end."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _pass_on(self, body: bytes, fault: str) -> None:
        dropped = HOP | {"range"} if fault == NO_RANGE else HOP
        headers = {n: value for n, value in self.headers.items() if n.lower() not in dropped}
        if fault == SLOW:
            self.state.closing.wait(self.state.slow_s)
        if fault == TOGETHER:
            with self.state.lock:
                self.state.lock.wait_for(lambda: self.state.most_active > 1, TOGETHER_S)
        self.state.passing(self.command, self.path, "before")
        self._upstream.request(self.command, self.path, body=body, headers=headers)
        answer = self._upstream.getresponse()
        self.state.passing(self.command, self.path, "after")
        self._seen.answered = True  # the client, who may ask again now, is not ahead of this
        if fault == LOST_ANSWER:
            answer.read()
            self._reset()
            return
        # rclone's server sends ranges with the status 200, which is against the rules of HTTP.
        partial = answer.getheader("Content-Range") and answer.status == 200
        self.send_response_only(206 if partial else answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                changed = fault == ETAG and name.lower() == "etag"
                self.send_header(name, WRONG_ETAG if changed else value)
        self._send_body(answer, fault)

    def _send_body(self, answer: http.client.HTTPResponse, fault: str) -> None:
        has_body = self.command != "HEAD" and answer.status not in (204, 304)
        if answer.length is None and has_body:
            whole = answer.read()
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self._write(whole)
            return
        self.end_headers()
        left = (answer.length or 0) // (2 if fault in (CUT, STALL_INSIDE) else 1)
        step = 1 if fault == DRIP else BLOCK
        while left and (block := answer.read(min(step, left))):
            self._write(block)
            left -= len(block)
            if fault == DRIP and self.state.closing.wait(self.state.slow_s):
                return
        if fault in (CUT, STALL_INSIDE):
            if fault == STALL_INSIDE:
                self.wfile.flush()
                self.state.closing.wait(self.state.stall_s)
            self._upstream.close()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_WR)
        else:
            answer.read()

    def _write(self, block: bytes) -> None:
        self.wfile.write(block)
        self._seen.sent += len(block)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""
