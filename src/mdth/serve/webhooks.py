"""Tells others that a job has ended, as Standard Webhooks has it (standardwebhooks.com, 1.0.0)."""

import asyncio
import hmac
import json
import logging
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping

import httpx

from mdth.serve.answers import shown, time_of
from mdth.serve.queue import Job, NotFound, Queue
from mdth.serve.requests import is_allowed
from mdth.serve.settings import Settings

log = logging.getLogger("mdth")

# Waits between the tries, as the specification advises; after the last one nobody is told.
AGAIN_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
ANSWER_S, AT_ONCE = 15.0, 20
GONE = 410


def signed(message_id: str, seconds: int, body: bytes, secret: str) -> Mapping[str, str]:
    """The headers of a message. secret: "whsec_" and base64."""
    key = b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{seconds}.".encode() + body, "sha256")
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }


async def send_due(settings: Settings, queue: Queue) -> None:
    """Send what is due."""
    if due := queue.due_hooks(AT_ONCE):
        # No redirect is followed, no proxy of the environment's asked.
        async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as client:
            await asyncio.gather(*(_send(client, settings, queue, hook) for hook in due))


async def _send(client: httpx.AsyncClient, settings: Settings, queue: Queue, hook: Job) -> None:
    try:
        job = queue.get(hook["job"])
    except NotFound:
        queue.hook_tried(hook["id"], again_at=None)
        return
    kind, when = f"{job['object']}.{job['status']}", time_of(job["completed"])
    body = json.dumps({"type": kind, "timestamp": when, "data": shown(job)}).encode()
    secret = settings.webhook_secret(hook["owner"])
    status: int | str = "not allowed any more"
    if is_allowed(hook["url"], settings.webhook_hosts):
        try:
            headers = signed(hook["id"], int(time.time()), body, secret)
            told = client.stream("POST", hook["url"], content=body, headers=headers)
            # Nobody is listened to for longer, however slow or much the answer is.
            async with asyncio.timeout(ANSWER_S), told as answer:
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            status = type(error).__name__
    heard = isinstance(status, int) and 200 <= status < 300
    over = heard or status == GONE or hook["tries"] >= len(AGAIN_S)
    if not heard:
        log.warning("%s: its webhook said %s%s", hook["job"], status, "" if over else "; again")
    again_at = None if over else time.time() + AGAIN_S[hook["tries"]]
    queue.hook_tried(hook["id"], again_at=again_at)
