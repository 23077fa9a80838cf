"""A form that was sent -> what a job is to do."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mdth.errors import InputError, MissingInput
from mdth.options import Options
from mdth.serve.problems import Refused, about_field
from mdth.serve.uploads import Form

_MOTION = "mouth lip_width motion manner blink still random_seed engine_mesh"
_VIDEO, _SPEECH = "crf preset preview", "voice voice_speed"
# The names of the one table that each kind of job takes.
OPTIONS_OF = {
    "avatar": "face max_size keep point".split(),
    "talk": f"face max_size {_MOTION} fps {_SPEECH} {_VIDEO}".split(),
    "dub": f"face point fit mouth lip_width engine_mesh {_SPEECH} {_VIDEO}".split(),
    "preprocess": "face max_size".split(),
    "inference": f"{_MOTION} fps {_VIDEO} paste".split(),
}
_FILM = "options name webhook_url avatar source speech text voice voice_speed seconds"
FIELDS = {
    "avatar": {"options", "name", "source", "person"},
    "talk": set(_FILM.split()),
    "dub": set(_FILM.split()),
    "twin": {"options", "name", "webhook_url"},
}
LONGEST_TEXT, LONGEST_URL = 5000, 2000
SHORTEST_START_S, LONGEST_START_S = 0.5, 60.0


def wanted(form: Form, kind: str, task: str, hosts: frozenset[str]) -> dict[str, Any]:
    """What a job of this kind is asked for. Raises Refused, which names the field."""
    fields, names = form.fields, form.names
    about: dict[str, Any] = {"names": names, "options": _options(fields, task)}
    if kind == "avatar":
        _one_of({*names}, "source")
    elif kind != "twin":
        _one_of({*fields, *names}, "source", "avatar")
        _one_of({*fields, *names}, "speech", "text")
    if "text" in fields:
        about["text"] = _text(fields["text"], about["options"].get("voice"))
    if "seconds" in fields:
        about["seconds"] = _number(fields["seconds"], "seconds", SHORTEST_START_S, LONGEST_START_S)
    if "webhook_url" in fields:
        about["webhook_url"] = fields["webhook_url"]
        if not is_allowed(fields["webhook_url"], hosts):
            raise Refused(403, "messages may not be sent there", field="webhook_url")
    return about


def _one_of(given: set[str], *names: str) -> None:
    if len(given & set(names)) != 1:
        many = "one of " if len(names) > 1 else ""
        with about_field(names[0]):
            raise MissingInput(f"give {many}{' and '.join(names)}")


def _options(fields: Mapping[str, str], task: str) -> dict[str, Any]:
    """The choices of the table, checked."""
    with about_field("options"):
        try:
            chosen = json.loads(fields.get("options") or "{}")
        except (ValueError, RecursionError) as error:
            raise InputError(f"options: no JSON ({error})") from error
        if not isinstance(chosen, dict):
            raise InputError('options: give a JSON object, such as {"mouth": 1.2}')
        for name in chosen:
            if name not in OPTIONS_OF[task]:
                known = ", ".join(OPTIONS_OF[task])
                raise InputError(f"there is no option {name[:80]!a} here; there are {known}")
    if "person" in fields:
        chosen["face"] = int(_number(fields["person"], "person", 1, 1000))
    if "voice" in fields:
        chosen["voice"] = fields["voice"]
    if "voice_speed" in fields:
        chosen["voice_speed"] = _number(fields["voice_speed"], "voice_speed", 0.5, 2)
    with about_field("options"):
        for name in [name for name, value in chosen.items() if value is None]:
            del chosen[name]  # None is the default wherever it may be
        _ = Options.of(**chosen).portrait.point_px
    return chosen


def _number(text: str, field: str, low: float, high: float) -> float:
    with about_field(field):
        try:
            number = float(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise InputError(f"{field}: give a number from {low:g} to {high:g}")
        return number


def _text(text: str, voice: str | None) -> str:
    from mdth.speak.voice import Voice

    with about_field("voice"):
        _ = Voice(voice) if voice else None
    with about_field("text"):
        return checked_text(text)


def checked_text(text: str) -> str:
    """The text itself. Raises InputError where it is empty or too long."""
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise InputError(f"text: give 1 to {LONGEST_TEXT} letters")
    return text


def is_allowed(url: str, hosts: frozenset[str]) -> bool:
    """Whether an http address is of one of these hosts, with or without a port."""
    try:
        parts = urlsplit(url)
        known = not hosts.isdisjoint({parts.netloc, parts.hostname})
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and len(url) <= LONGEST_URL and "@" not in url
    return known and plain and parts.scheme in ("http", "https")
