"""`mdth serve`: a page and an API, until it is stopped."""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mdth.errors import MissingDependency
from mdth.log.console import Progress

NOW = "(default: %(default)s)"


def add_arguments(
    add: Callable[..., Any], *, positive: Callable[[str], int], seconds: Callable[[str], float]
) -> None:
    """Where it listens, what it keeps, how much each may take."""
    add("--host", default="127.0.0.1", metavar="ADDRESS", help=f"0.0.0.0 for others too {NOW}")
    add("--port", type=int, default=8000, metavar="N", help=f"0 for any that is free {NOW}")
    words = "jobs and their files (default: MDTH_DATA, else `serve` among the user's data)"
    add("--data", type=Path, metavar="FOLDER", help=words)
    words = "processes that do jobs, 0.6 GB each (default: one for two cores; all of a cluster)"
    add("--workers", type=positive, metavar="N", help=words)
    words = "do jobs on a Ray cluster that sees the data folder: auto, local, or its host:port"
    add("--cluster", metavar="ADDRESS", help=words)
    add("--insecure", action="store_true", help="others may come without a key")
    add("--twins", action="store_true", help="keys may work on the store's twins, on any of them")
    words = "live calls by WebRTC too, over UDP; needs the extra webrtc"
    add("--webrtc", action="store_true", help=words)
    words = f"of one request {NOW}"
    add("--max-upload-mb", type=positive, default=200, metavar="MB", help=words)
    words = f"of one key under way, waiting ones too {NOW}"
    add("--max-jobs", type=positive, default=50, metavar="N", help=words)
    words = f"of speech of one key under way {NOW}"
    add("--max-seconds", type=seconds, default=3600, metavar="S", help=words)
    words = "live calls of one key at once (default: half of all, of which one takes two cores)"
    add("--max-live", type=positive, metavar="N", help=words)
    words = f"of files of one key {NOW}"
    add("--max-stored-gb", type=positive, default=20, metavar="GB", help=words)
    add("--keep-hours", type=positive, default=72, metavar="H", help=f"results are kept {NOW}")
    words = f"for running jobs when it is stopped; then they are handed back {NOW}"
    add("--grace", type=seconds, default=30, metavar="S", help=words)
    words = "that webhooks may go to, a,b:8443 (default: MDTH_WEBHOOK_HOSTS, else none)"
    add("--webhook-hosts", metavar="HOSTS", help=words)


def serve(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """A page and an API; prints the address once it can be asked."""
    try:
        from mdth.serve import run
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"{error.name} is not installed; run: pip install 'mdth[serve]'"
        ) from error

    settings = _settings(parsed)
    listening = run.opened(settings)
    host, port = listening.getsockname()[:2]
    yield f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    run.run(settings, listening)


def _settings(parsed: argparse.Namespace) -> Any:
    import platformdirs

    from mdth import devices
    from mdth.serve.settings import Settings, read_keys

    here = max(1, len(devices.usable_cores()) // 2)
    own = parsed.data or os.environ.get("MDTH_DATA")
    hosts = parsed.webhook_hosts or os.environ.get("MDTH_WEBHOOK_HOSTS", "")
    return Settings(
        data=Path(own or platformdirs.user_data_path("mdth", False) / "serve").absolute(),
        host=parsed.host,
        port=parsed.port,
        workers=parsed.workers or (None if parsed.cluster else here),
        cluster=parsed.cluster,
        keys=read_keys(os.environ.get("MDTH_API_KEYS", "")),
        upload_bytes=parsed.max_upload_mb * 1_000_000,
        bytes=parsed.max_stored_gb * 1_000_000_000,
        jobs=parsed.max_jobs,
        calls=parsed.max_live,
        seconds=parsed.max_seconds,
        keep_s=parsed.keep_hours * 3600.0,
        grace_s=parsed.grace,
        insecure=parsed.insecure,
        twins=parsed.twins,
        webrtc=parsed.webrtc,
        webhook_hosts=frozenset(filter(None, hosts.replace(" ", "").split(","))),
    )
