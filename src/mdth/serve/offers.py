"""What a server can do, for pages that show it."""

import time
from importlib.util import find_spec

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mdth import __version__
from mdth.files import assets
from mdth.options import schema
from mdth.serve.requests import LONGEST_START_S, LONGEST_TEXT, OPTIONS_OF
from mdth.serve.server import Server
from mdth.speak.voice import voices

# Each with what its label is called.
COUNTERS = {"jobs": "status", "seconds": "stage", "frames": "of"}
LANGUAGES = {"a": "en-US", "b": "en-GB"}


async def options(server: Server, request: Request, owner: str) -> Response:
    """The options of each kind of job as JSON schema, the voices, limits and the version."""
    own, whole = server.settings, schema()
    schemas = {
        kind: {**whole, "properties": {name: whole["properties"][name] for name in names}}
        for kind, names in OPTIONS_OF.items()
    }
    why_not = text_unavailable()
    said = [] if why_not else list(voices().items())
    limits = {
        **{"upload_bytes": own.upload_bytes, "seconds": own.seconds, "jobs": own.jobs},
        **{"bytes": own.bytes, "bytes_used": server.queue.stored(owner)},
        **{"text_letters": LONGEST_TEXT, "preview_seconds": LONGEST_START_S},
        "keep_seconds": own.keep_s,
    }
    about = {
        "voices": [{"id": v, "name": who, "language": LANGUAGES[v[0]]} for v, who in said],
        "text_unavailable": why_not,
        "live": True,
        "webrtc": own.webrtc,
        "limits": limits,
        "version": __version__,
        "owner": owner,
        "webhook_secret": own.webhook_secret(owner) if own.webhook_hosts else None,
    }
    return JSONResponse({**schemas, **about})


async def metrics(server: Server, request: Request, owner: str) -> Response:
    """How much there is to do and was done, as Prometheus reads it (text format 0.0.4)."""
    read, labels = server.queue.read, "object, status"
    jobs = read(f"SELECT {labels}, count(*) n FROM jobs GROUP BY {labels} ORDER BY {labels}")
    (oldest,) = read("SELECT min(created) at FROM jobs WHERE status = 'queued'")
    counted = read("SELECT name, label, value FROM counters ORDER BY name, label")
    waited_s = time.time() - oldest["at"] if oldest["at"] else 0.0
    lines = ["# TYPE mdth_jobs gauge"]
    lines += [f'mdth_jobs{{object="{j["object"]}",status="{j["status"]}"}} {j["n"]}' for j in jobs]
    lines += ["# TYPE mdth_queue_oldest_seconds gauge", f"mdth_queue_oldest_seconds {waited_s:.1f}"]
    lines += ["# TYPE mdth_workers gauge", f"mdth_workers {len(server.crew.workers)}"]
    for name, label in COUNTERS.items():
        lines.append(f"# TYPE mdth_{name}_total counter")
        own = [row for row in counted if row["name"] == name]
        lines += [f'mdth_{name}_total{{{label}="{o["label"]}"}} {o["value"]:g}' for o in own]
    made = {(row["name"], row["label"]): row["value"] for row in counted}
    frames = sum(value for (name, _), value in made.items() if name == "frames")
    rate = frames / made.get(("seconds", "total"), 1.0)
    lines += ["# TYPE mdth_frames_per_second gauge", f"mdth_frames_per_second {rate:.2f}", ""]
    return Response("\n".join(lines), media_type="text/plain; version=0.0.4")


def text_unavailable() -> str | None:
    """Why texts cannot be said here, None where they can."""
    if find_spec("damga") is None:
        return "this server lacks the extra speak"
    missing = [asset for asset in assets.named(assets.of_extra("speak")) if not asset.file.exists()]
    return "this server lacks the models of voices" if missing else None
