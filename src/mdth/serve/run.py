"""A server from its start to its end."""

import asyncio
import importlib
import logging
import signal
import socket
import tempfile
from contextlib import nullcontext
from types import FrameType
from typing import Any

import uvicorn

from mdth.errors import InputError
from mdth.serve import credentials
from mdth.serve.app import app
from mdth.serve.connections import Connection
from mdth.serve.server import Server
from mdth.serve.settings import LOCAL, Settings, is_loopback

CONNECTIONS, BACKLOG = 500, 256
STREAMS_S = 5


def opened(settings: Settings) -> socket.socket:
    """The socket that a server listens at. Raises InputError for a place it may not listen at."""
    if not (settings.keys or settings.insecure or is_loopback(settings.host)):
        raise InputError(
            f"{settings.host}: others could use this server without a key; set MDTH_API_KEYS, or "
            "say --insecure where something before it asks who they are"
        )
    credentials.signer()
    if settings.webrtc:
        importlib.import_module("mdth.integrations.webrtc")  # or what it lacks is told
    settings.data.mkdir(parents=True, exist_ok=True)  # before the address is told
    try:
        return socket.create_server((settings.host, settings.port), backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise InputError(f"{settings.host}:{settings.port}: {error}; choose another") from error


def run(settings: Settings, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, then let running jobs end or hand them back."""
    served = Server(settings)
    if settings.webhook_hosts:
        settings.webhook_secret(LOCAL)  # or say now what is wrong with it
    # Uploads are spooled where the data is: the system's folder for that may be memory.
    tempfile.tempdir = str(served.incoming)
    config = uvicorn.Config(
        app(served),
        http=Connection,
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="websockets-sansio",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=STREAMS_S,
        server_header=False,
        h11_max_incomplete_event_size=32 << 10,
    )
    server = _Server(config)
    # It takes the refusal of a WebSocket for a fault; who has no key would fill the log.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "handshake" not in record.msg)

    def stop(number: int, frame: FrameType | None) -> None:
        served.stopping = True
        server.handle_exit(number, frame)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        asyncio.run(server.serve(sockets=[listening]))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    """Leaves the signals to `run`: it would send them again after a good end."""

    def capture_signals(self) -> Any:
        """Nothing."""
        return nullcontext()
