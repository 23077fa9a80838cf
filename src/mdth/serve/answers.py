"""A job as its owner sees it."""

from datetime import UTC, datetime

from mdth.serve.problems import problem, status_of
from mdth.serve.queue import DONE, Job


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
        "error": error and problem(status_of(error["type"]), error["detail"], kind=error["type"]),
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


def time_of(seconds: float | None) -> str | None:
    """As RFC 3339 has it, UTC."""
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
