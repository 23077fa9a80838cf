"""A job as its owner sees it."""

import json
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from mdth.serve.problems import in_user_words, problem, status_of
from mdth.serve.queue import DONE, Job


class Answer(Response):
    """JSON in plain ASCII: what came in as half a letter goes out as one."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes."""
        return json.dumps(content).encode()


def shown(job: Job) -> Job:
    """The members of an avatar, a talk, a dub or a twin's task."""
    result, error = job["result"] or {}, job["error"]
    where, done = f"/v1/{job['object']}s/{job['id']}", job["status"] == DONE
    about = {
        **{name: job[name] for name in ("id", "object", "status", "progress", "name")},
        "seconds_left": job["seconds_left"],
        "created_at": time_of(job["created"]),
        "completed_at": time_of(job["completed"]),
        "expires_at": time_of(job["expires"]),
        "error": error and _problem(job),
    }
    if job["object"] == "avatar":
        kind = result.get("kind") or job["request"]["kind"]
        preview = f"{where}/preview" if done else None
        return {**about, "kind": kind, "faces": result.get("faces"), "preview_url": preview}
    video = done and "file" in result
    return {
        **about,
        "avatar": job["avatar"],
        "preview": "seconds" in job["request"],
        "duration_s": result.get("duration_s"),
        "content_url": f"{where}/content" if video else None,
        "thumbnail_url": f"{where}/thumbnail" if video else None,
    }


def _problem(job: Job) -> Job:
    kind, detail = job["error"]["type"], job["error"]["detail"]
    return problem(status_of(kind), in_user_words(detail, job), kind=kind)


def time_of(seconds: float | None) -> str | None:
    """As RFC 3339 has it, UTC."""
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
