"""Jobs in SQLite: kept through any end of server and workers, each finished once.

A job is claimed by one worker, which says again and again that it lives. A claim that is not
renewed lapses, and what its holder says later does not count.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from mdth.errors import InputError, MissingInput
from mdth.serve.settings import Settings

QUEUED, RUNNING, DONE, FAILED = "queued", "in_progress", "completed", "failed"
CANCELLED = "cancelled"
PREFIXES = {"avatar": "av_", "talk": "talk_", "dub": "dub_", "twin": "twin_"}
LEASE_S = 15.0
MOST_ATTEMPTS = 3
SENDING_S = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, object TEXT NOT NULL,
    owner TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'queued', created REAL NOT NULL,
    started REAL, completed REAL, expires REAL, progress INTEGER NOT NULL DEFAULT 0,
    seconds_left REAL, attempts INTEGER NOT NULL DEFAULT 0, claim TEXT, lease REAL,
    avatar TEXT, name TEXT NOT NULL, bytes INTEGER NOT NULL, speech_s REAL NOT NULL,
    request TEXT NOT NULL, result TEXT, error TEXT, idempotency TEXT, fingerprint TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS once ON jobs (owner, idempotency);
CREATE INDEX IF NOT EXISTS turn ON jobs (status, owner, n);
CREATE INDEX IF NOT EXISTS begun ON jobs (owner, started);
CREATE TABLE IF NOT EXISTS hooks (
    id TEXT PRIMARY KEY, job TEXT NOT NULL, owner TEXT NOT NULL, url TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counters (
    name TEXT, label TEXT, value REAL NOT NULL, PRIMARY KEY (name, label));
"""
# Ready: its avatar, if it names one, has ended one way or the other.
_READY = """status = 'queued' AND NOT EXISTS (SELECT 1 FROM jobs a
    WHERE a.id = j.avatar AND a.status IN ('queued', 'in_progress'))"""
# First who has the fewest running, of these who waited longest.
_TURN = f"""SELECT owner FROM (SELECT DISTINCT owner FROM jobs j WHERE {_READY}) o
    ORDER BY (SELECT count(*) FROM jobs r WHERE r.status = 'in_progress' AND r.owner = o.owner),
    (SELECT coalesce(max(started), 0) FROM jobs r WHERE r.owner = o.owner) LIMIT 1"""

Job = dict[str, Any]
Counts = Mapping[tuple[str, str], float]


class Conflict(InputError):
    """An idempotency key that was used for another request."""


class NotFound(MissingInput):
    """A job that is not there, or somebody else's."""


class TooMuch(InputError):
    """More than an owner may have."""


class Queue:
    """The jobs of a folder; any number of processes of a machine may open it."""

    def __init__(self, data: Path, keep_s: float = Settings.keep_s) -> None:
        """keep_s: how long jobs are listed whose workers always end."""
        self._keep_s = keep_s
        data.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(
            data / "serve.sqlite3", timeout=30, isolation_level=None, check_same_thread=False
        )
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def read(self, query: str, *values: Any) -> list[Job]:
        """The rows of a query."""
        with self._lock:
            return [_job(row) for row in self._db.execute(query, values)]

    def add(self, job: Mapping[str, Any], limits: Settings) -> Job:
        """The new job, or the one that this idempotency key made. Raises Conflict, TooMuch."""
        own, key = (job["owner"], job["id"]), job.get("idempotency")
        with self._writing() as db:
            if key and (before := self.same(job["owner"], key, job["fingerprint"])):
                return before
            active, speech_s = db.execute(
                "SELECT count(*), total(speech_s) FROM jobs "
                "WHERE owner = ? AND status IN ('queued', 'in_progress')",
                own[:1],
            ).fetchone()
            if active >= limits.jobs:
                raise TooMuch(f"{active} jobs are under way, no more are taken; wait for one")
            if speech_s + job["speech_s"] > limits.seconds:
                raise TooMuch(f"{speech_s:.0f} s of speech are under way, {limits.seconds:g} s may")
            if self.stored(own[0]) + job["bytes"] > limits.bytes:
                raise TooMuch(f"more than {limits.bytes / 1e9:g} GB would be stored; delete some")
            names = ", ".join(job)
            places = ", ".join("?" * len(job))
            db.execute(f"INSERT INTO jobs ({names}) VALUES ({places})", tuple(job.values()))
        return self.get(own[1], own[0])

    def same(self, owner: str, key: str, fingerprint: str) -> Job | None:
        """The job that an idempotency key made. Raises Conflict for another request."""
        found = self.read("SELECT * FROM jobs WHERE owner = ? AND idempotency = ?", owner, key)
        if found and found[0]["fingerprint"] != fingerprint:
            raise Conflict("the Idempotency-Key was used for another request; give another")
        return found[0] if found else None

    def stored(self, owner: str) -> int:
        """Bytes of an owner's jobs."""
        return int(self.read("SELECT total(bytes) b FROM jobs WHERE owner = ?", owner)[0]["b"])

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """A job of this owner, or of any. Raises NotFound."""
        found = self.read("SELECT * FROM jobs WHERE id = ?", job_id)
        if not found or owner not in (None, found[0]["owner"]):
            raise NotFound("there is no such job; it may have expired")
        return found[0]

    def page(self, kind: str, owner: str, limit: int, after: str | None) -> tuple[list[Job], bool]:
        """The newest jobs of a kind, or those that follow one, and whether there are more."""
        before = self.get(after, owner)["n"] if after else 2**62
        found = self.read(
            "SELECT * FROM jobs WHERE owner = ? AND object = ? AND n < ? ORDER BY n DESC LIMIT ?",
            *(owner, kind, before, limit + 1),
        )
        return found[:limit], len(found) > limit

    def claim(self) -> Job | None:
        """The next job, which is ours now for LEASE_S; None when nothing waits."""
        now = time.time()
        late = "SELECT id, claim FROM jobs WHERE status = 'in_progress' AND lease < ?"
        for job in self.read(late, now):
            self.hand_back(job["id"], job["claim"])
        if not self.read(f"SELECT 1 FROM jobs j WHERE {_READY} LIMIT 1"):
            return None
        with self._writing() as db:
            row = db.execute(
                "UPDATE jobs SET status = 'in_progress', claim = ?, lease = ?, started = ?, "
                "attempts = attempts + 1, progress = 0, seconds_left = NULL WHERE n = "
                f"(SELECT n FROM jobs j WHERE {_READY} AND owner = ({_TURN}) ORDER BY n LIMIT 1) "
                "RETURNING *",
                (token_hex(8), now + LEASE_S, now),
            ).fetchone()
        return row and _job(row)

    def beat(self, job_id: str, claim: str, progress: int, seconds_left: float | None) -> bool:
        """Renew a claim; whether it still holds."""
        return self._mine(
            job_id,
            claim,
            "lease = ?, progress = max(progress, ?), seconds_left = ?",
            *(time.time() + LEASE_S, progress, seconds_left),
        )

    def finish(
        self, job_id: str, claim: str, *, result: Job | None = None, error: Job | None = None,
        keep_s: float | None = None, size: int = 0,
    ) -> bool:  # fmt: skip
        """End a job well, or with a problem; whether the claim still held. size: bytes kept."""
        now = time.time()
        with self._writing() as db:
            held = self._mine(
                job_id,
                claim,
                "status = ?, completed = ?, expires = ?, progress = max(progress, ?), "
                "seconds_left = NULL, result = ?, error = ?, bytes = ?, claim = NULL",
                *(FAILED if error else DONE, now, now + keep_s if keep_s else None),
                *(0 if error else 100, _text(result), _text(error), size),
            )
            if held:
                made = result or {}
                counts = {("jobs", FAILED if error else DONE): 1.0}
                counts |= {("seconds", stage): s for stage, s in made.get("seconds", {}).items()}
                counts |= {("frames", "all"): made.get("frames", 0)}
                self._end(db, job_id, counts)
        return held

    def hand_back(
        self, job_id: str, claim: str, *, counted: bool = True, why: str = "its worker ended"
    ) -> bool:
        """Let another worker take the job, unless it was tried often enough; whether it was ours.

        counted: whether this try was one.
        """
        tried = self.read("SELECT attempts FROM jobs WHERE id = ? AND claim = ?", job_id, claim)
        if counted and tried and tried[0]["attempts"] >= MOST_ATTEMPTS:
            words = f"{why}, {MOST_ATTEMPTS} times; use smaller files"
            error = {"type": "MdthError", "detail": words}
            return self.finish(job_id, claim, error=error, keep_s=self._keep_s)
        less = "" if counted else ", attempts = attempts - 1"
        return self._mine(job_id, claim, f"status = 'queued', claim = NULL{less}")

    def cancel(self, job_id: str, keep_s: float) -> bool:
        """Cancel a job that has not ended; whether it had not. keep_s: how long it is listed."""
        now = time.time()
        with self._writing() as db:
            done = db.execute(
                "UPDATE jobs SET status = 'cancelled', completed = ?, expires = ?, claim = NULL, "
                "seconds_left = NULL WHERE id = ? AND status IN ('queued', 'in_progress')",
                (now, now + keep_s, job_id),
            )
            if done.rowcount:
                self._end(db, job_id, {("jobs", CANCELLED): 1})
            return bool(done.rowcount)

    def remove(self, job_id: str) -> None:
        """Forget a job."""
        with self._writing() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def _end(self, db: sqlite3.Connection, job_id: str, counts: Counts) -> None:
        """Count for the metrics, and note who wants to be told of this job's end."""
        db.executemany(
            "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
            "SET value = value + excluded.value",
            [(*name, value) for name, value in counts.items()],
        )
        job = self.get(job_id)
        if url := job["request"].get("webhook_url"):
            values = f"msg_{token_hex(12)}", job_id, job["owner"], url, time.time()
            db.execute("INSERT INTO hooks VALUES (?, ?, ?, ?, 0, ?)", values)

    def due_hooks(self, most: int) -> list[Job]:
        """The messages that are to be sent now; nobody else gets them for a minute."""
        now = time.time()
        if not self.read("SELECT 1 FROM hooks WHERE due < ? LIMIT 1", now):
            return []
        with self._writing() as db:
            rows = db.execute(
                "UPDATE hooks SET due = ? WHERE id IN "
                "(SELECT id FROM hooks WHERE due < ? ORDER BY due LIMIT ?) RETURNING *",
                (now + SENDING_S, now, most),
            )
            return [dict(row) for row in rows]

    def hook_tried(self, hook_id: str, *, again_at: float | None) -> None:
        """A message was sent, or has to be sent again at a time."""
        with self._writing() as db:
            if again_at is None:
                db.execute("DELETE FROM hooks WHERE id = ?", (hook_id,))
            else:
                values = again_at, hook_id
                db.execute("UPDATE hooks SET tries = tries + 1, due = ? WHERE id = ?", values)

    def _mine(self, job_id: str, claim: str, change: str, *values: Any) -> bool:
        with self._lock:
            done = self._db.execute(
                f"UPDATE jobs SET {change} WHERE id = ? AND claim = ? AND status = 'in_progress'",
                (*values, job_id, claim),
            )
            return bool(done.rowcount)


def _job(row: sqlite3.Row) -> Job:
    job = dict(row)
    for name in ("request", "result", "error"):
        if job.get(name):
            job[name] = json.loads(job[name])
    return job


def _text(value: Job | None) -> str | None:
    return None if value is None else json.dumps(value)
