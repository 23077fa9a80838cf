"""The jobs of a server that runs `mdth serve`, as calls that wait. Needs the extra `serve`."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, cast
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

LOOK_S, LONGEST_LOOK_S, TRIES, TRY_AGAIN_S = 0.2, 2.0, 6, 1.0
_LATER = frozenset({429, 502, 503, 504})  # of a server that is busy or being started again
# The fields of a form that are no options.
_FIELDS = frozenset({"avatar", "text", "seconds", "webhook_url", "name", "person"})


class Client(AbstractContextManager["Client"]):
    """A server's jobs; use it in a `with`, or `close` it.

    server: its address. key: yours, where it wants one. What a server refuses is the MdthError that
    it names. A server that is started again meanwhile is waited for, and no job is made twice.
    """

    def __init__(self, server: str, *, key: str | None = None, timeout_s: float = 60.0) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if not server.startswith(("http://", "https://")):
            raise InputError(f"{server}: no address of a server; give http://its.name:8000")
        self._http = httpx.Client(base_url=server, headers=headers, timeout=timeout_s)
        self.close = self._http.close

    def __exit__(self, *raised: object) -> None:
        self.close()

    def prepare(self, source: Path | str, progress: Progress | None = None, **choices: Any) -> Job:
        """The avatar of a picture or a clip, ready; its `id` is for `talk` and `dub`."""
        return self.wait(self.start("avatar", source=source, **choices), progress)

    def talk(
        self, portrait: Path | str, speech: Path | str | None, output: Path | str, **choices: Any
    ) -> Job:
        """Write a talking video, as `mdth.talk` does; portrait: also the id of an avatar.

        choices: of the table, `text`, `progress`, `seconds` (only the first), `webhook_url`.
        """
        return self._film("talk", portrait, output, speech=speech, **choices)

    def dub(
        self, clip: Path | str, speech: Path | str | None, output: Path | str, **choices: Any
    ) -> Job:
        """Write a clip with another mouth, as `mdth.dub` does; else as `talk`."""
        return self._film("dub", clip, output, speech=speech, **choices)

    def start(self, kind: str, **given: Any) -> Job:
        """A new job that waits: `avatar`, `talk` or `dub` of files, texts and choices."""
        given = {name: value for name, value in given.items() if value is not None}
        paths = {name: Path(given.pop(name)) for name in ("source", "speech") if name in given}
        fields = {name: str(given.pop(name)) for name in _FIELDS & set(given)}
        # Also without files it is a form of several parts.
        parts: dict[str, Any] = {"options": (None, json.dumps(given))}
        with ExitStack() as opened:
            try:
                for name, path in paths.items():
                    parts[name] = opened.enter_context(path.open("rb"))
            except OSError as error:
                raise InputError(f"{error.filename}: {error.strerror}") from error
            sent = {"data": fields, "files": parts, "headers": {"Idempotency-Key": uuid4().hex}}
            return self._ask("POST", f"/v1/{kind}s", **sent)

    def jobs(self, kind: str = "talk") -> Iterator[Job]:
        """Your jobs of a kind, the newest first."""
        page: Job = {"has_more": True}
        while page["has_more"]:
            after = {"after": page["last_id"]} if "last_id" in page else {}
            page = self._ask("GET", f"/v1/{kind}s", params={"limit": 100, **after})
            yield from page["data"]

    def delete(self, job: Job) -> None:
        """Cancel a job, or delete one that has ended."""
        self._answer("DELETE", f"/v1/{job['object']}s/{job['id']}")

    def wait(self, job: Job, progress: Progress | None = None) -> Job:
        """A job once it is done. Raises what it failed with, InputError where it was cancelled."""
        pause_s = LOOK_S
        while job["status"] in ("queued", "in_progress"):
            time.sleep(pause_s)
            pause_s = min(1.2 * pause_s, LONGEST_LOOK_S)
            job = self._ask("GET", f"/v1/{job['object']}s/{job['id']}")
            if progress:
                progress(job["progress"], 100)
        if job["status"] != "completed":
            raise _error(job["error"] or {"detail": f"{job['name']}: was cancelled"})
        return job

    def download(self, job: Job, output: Path | str) -> None:
        """Write the video of a job that is done; it appears whole or not at all."""
        with replacing(Path(output)) as part:
            self._answer("GET", job["content_url"], into=part)

    def _film(self, kind: str, who: Path | str, output: Path | str, **given: Any) -> Job:
        progress = given.pop("progress", None)
        prepared = isinstance(who, str) and who.startswith("av_") and not Path(who).exists()
        given["avatar" if prepared else "source"] = who
        job = self.wait(self.start(kind, **given), progress)
        self.download(job, output)
        return job

    def _ask(self, method: str, path: str, **more: Any) -> Job:
        return cast(Job, self._answer(method, path, **more).json())

    def _answer(self, method: str, path: str, **more: Any) -> httpx.Response:
        into: Path | None = more.pop("into", None)
        for left in reversed(range(TRIES)):
            try:
                with self._http.stream(method, path, **more) as answer:
                    if into and answer.is_success:
                        with into.open("wb") as file:
                            file.writelines(answer.iter_bytes())
                    else:
                        answer.read()
                if answer.is_success:
                    return answer
                if not left or answer.status_code not in _LATER:
                    known = "problem" in answer.headers.get("content-type", "")
                    words = f"{answer.url}: {answer.status_code} {answer.reason_phrase}"
                    raise _error(answer.json() if known else {"detail": words})
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if not left or not isinstance(error, httpx.TransportError):
                    raise StorageError(f"{self._http.base_url}: {error}; is it there?") from error
            for file in more.get("files", {}).values():
                _ = file.seek(0) if hasattr(file, "seek") else None
            time.sleep(TRY_AGAIN_S * (TRIES - left))
        raise AssertionError  # the last try returns or raises


def _error(problem: Job) -> MdthError:
    kind = getattr(errors, problem.get("type", "").rpartition(":")[2], None)
    known = isinstance(kind, type) and issubclass(kind, MdthError)
    return kind(problem["detail"]) if known and kind else InputError(problem["detail"])
