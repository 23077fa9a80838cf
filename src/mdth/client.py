"""The jobs of a server that runs `mdth serve`, as calls that wait. Needs the extra `serve`."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from mdth import errors
from mdth.errors import InputError, MdthError, MissingDependency, StorageError
from mdth.files.write import replacing

try:
    import httpx
except ModuleNotFoundError as error:
    raise MissingDependency("httpx is not installed; run: pip install 'mdth[serve]'") from error

Job = dict[str, Any]
Progress = Callable[[int, int | None], None]

LOOK_S, LONGEST_LOOK_S = 0.2, 2.0
TRIES, TRY_AGAIN_S = 6, 1.0
# Those of a server that is busy or being started again.
_LATER = frozenset({429, 502, 503, 504})
# The fields of a form that are no options.
_FIELDS = frozenset({"avatar", "text", "seconds", "webhook_url", "name", "person"})


class Client:
    """A server's jobs; use it in a `with`, or `close` it.

    server: its address. key: yours, where it wants one. What a server refuses is the MdthError that
    it names. A server that is started again meanwhile is waited for, and no job is made twice.
    """

    def __init__(self, server: str, *, key: str | None = None, timeout_s: float = 60.0) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if not server.startswith(("http://", "https://")):
            raise InputError(f"{server}: no address of a server; give http://its.name:8000")
        self._http = httpx.Client(base_url=server, headers=headers, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def prepare(
        self, source: Path | str, *, progress: Progress | None = None, **choices: Any
    ) -> Job:
        """The avatar of a picture or a clip, ready; its `id` is for `talk` and `dub`."""
        return self.wait(self.start("avatar", source=source, **choices), progress)

    def talk(
        self, portrait: Path | str, speech: Path | str | None, output: Path | str, **choices: Any
    ) -> Job:
        """Write a talking video, as `mdth.talk` does; portrait: also the id of an avatar.

        choices: of the table, `text`, `progress`, `seconds` (only the first), `webhook_url`.
        """
        return self._film("talk", portrait, speech, output, **choices)

    def dub(
        self, clip: Path | str, speech: Path | str | None, output: Path | str, **choices: Any
    ) -> Job:
        """Write a clip with another mouth, as `mdth.dub` does; else as `talk`."""
        return self._film("dub", clip, speech, output, **choices)

    def start(self, kind: str, **given: Any) -> Job:
        """A new job that waits: `avatar`, `talk` or `dub` of files, texts and choices."""
        given = {name: value for name, value in given.items() if value is not None}
        files = {name: Path(given.pop(name)) for name in ("source", "speech") if name in given}
        fields = {name: str(given.pop(name)) for name in _FIELDS & set(given)}
        fields["options"] = json.dumps(given)
        headers = {"Idempotency-Key": uuid4().hex}
        with ExitStack() as opened:
            try:
                sent = {name: opened.enter_context(path.open("rb")) for name, path in files.items()}
            except OSError as error:
                raise InputError(f"{error.filename}: {error.strerror}") from error
            # Also without files it is a form of several parts.
            parts: Any = sent or {"options": (None, fields.pop("options"))}
            return self._json("POST", f"/v1/{kind}s", data=fields, files=parts, headers=headers)

    def get(self, job: Job) -> Job:
        """A job as it is now."""
        return self._json("GET", _where(job))

    def jobs(self, kind: str = "talk") -> Iterator[Job]:
        """Your jobs of a kind, the newest first."""
        last: dict[str, Any] = {}
        while True:
            page = self._json("GET", f"/v1/{kind}s", params={"limit": 100, **last})
            yield from page["data"]
            if not page["has_more"]:
                return
            last = {"after": page["last_id"]}

    def delete(self, job: Job) -> None:
        """Cancel a job, or delete one that has ended."""
        self._answer("DELETE", _where(job))

    def wait(self, job: Job, progress: Progress | None = None) -> Job:
        """A job once it is done. Raises what it failed with, InputError where it was cancelled."""
        pause_s = LOOK_S
        while job["status"] in ("queued", "in_progress"):
            time.sleep(pause_s)
            pause_s = min(1.2 * pause_s, LONGEST_LOOK_S)
            job = self.get(job)
            if progress:
                progress(job["progress"], 100)
        if job["status"] != "completed":
            raise _error(job["error"] or {"detail": f"{job['name']}: was cancelled"})
        return job

    def download(self, job: Job, output: Path | str) -> None:
        """Write the video of a job that is done; it appears whole or not at all."""
        with replacing(Path(output)) as part:
            part.write_bytes(self._answer("GET", job["content_url"]).content)

    def _film(
        self, kind: str, who: Path | str, speech: Path | str | None, output: Path | str,
        *, progress: Progress | None = None, **choices: Any,
    ) -> Job:  # fmt: skip
        prepared = isinstance(who, str) and who.startswith("av_") and not Path(who).exists()
        given = {"avatar" if prepared else "source": who, "speech": speech, **choices}
        job = self.wait(self.start(kind, **given), progress)
        self.download(job, output)
        return job

    def _json(self, method: str, path: str, **more: Any) -> Job:
        found: Job = self._answer(method, path, **more).json()
        return found

    def _answer(self, method: str, path: str, **more: Any) -> httpx.Response:
        for left in reversed(range(TRIES)):
            try:
                for file in more.get("files", {}).values():
                    file.seek(0) if hasattr(file, "seek") else None
                answer = self._http.request(method, path, **more)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if not left or not isinstance(error, httpx.TransportError):
                    raise StorageError(f"{self._http.base_url}: {error}; is it there?") from error
            else:
                if answer.is_success:
                    return answer
                if not left or answer.status_code not in _LATER:
                    raise _error(_problem(answer))
            time.sleep(TRY_AGAIN_S * (TRIES - left))
        raise AssertionError  # the last try returns or raises


def _where(job: Job) -> str:
    return f"/v1/{job['object']}s/{job['id']}"


def _problem(answer: httpx.Response) -> Job:
    try:
        found = answer.json()
    except ValueError:
        found = None
    said = f"{answer.request.url}: {answer.status_code} {answer.reason_phrase}"
    return found if isinstance(found, dict) and "detail" in found else {"detail": said}


def _error(problem: Job) -> MdthError:
    kind = getattr(errors, str(problem.get("type")).rpartition(":")[2], InputError)
    known = isinstance(kind, type) and issubclass(kind, MdthError)
    return (kind if known else InputError)(str(problem["detail"]))
