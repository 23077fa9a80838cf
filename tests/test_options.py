"""One table of options: Python's keywords, the command line, JSON and the page come from it."""

import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from mdth.cli.arguments import parser
from mdth.errors import InputError
from mdth.options import ALIASES, GROUPS, TABLE, TYPES, Choices, Options, schema

PAGE = Path(__file__).parents[1] / "docs/code.md"


def test_keywords_are_the_table() -> None:
    assert set(get_type_hints(Choices)) == set(TABLE) | set(ALIASES)
    assert len(TABLE) == sum(len(own) for _, own in GROUPS.values()), "flat names all differ"


def test_the_command_line_is_the_table() -> None:
    parsed = vars(parser().parse_args(["talk", "a.jpg", "b.wav", "-o", "c.mp4"]))
    defaults = {name: entry.default for name, entry in TABLE.items()}
    assert {name: parsed[name] for name in TABLE} == defaults
    older = parser().parse_args(["talk", "a", "b", "-o", "c", "--seed", "9"])
    assert older.random_seed == 9 == Options.of(seed=9).motion.random_seed


def test_json_and_page_have_every_option() -> None:
    described = json.loads(json.dumps(schema()))["properties"]
    assert set(described) == set(TABLE)
    assert described["fps"] == {
        "description": "frames a second", "default": 30, "type": "integer", "minimum": 5,
        "maximum": 120,
    }  # fmt: skip
    assert described["face"]["type"] == ["integer", "null"]


@pytest.mark.parametrize("choices", [
    {"fps": 3}, {"fps": "30"}, {"fps": 29.97}, {"fps": True}, {"random_seed": -1},
    {"mouth": float("nan")}, {"motion": 2.1}, {"preset": "best"}, {"engine_mesh": "other"},
    {"face": 0}, {"still": "yes"}, {"n_gpus": -1}, {"max_size": None},
])  # fmt: skip
def test_what_cannot_work_is_refused_in_words(choices: dict[str, Any]) -> None:
    (name,) = choices
    with pytest.raises(InputError, match=name.replace("_", " ")):
        Options.of(**choices)


def test_what_is_no_option() -> None:
    for name, words in (("colour", "no option colour$"), ("fsp", r"no option fsp; fps\?")):
        with pytest.raises(InputError, match=words):
            Options.of(**{name: 1})


def test_types_are_what_the_values_are() -> None:
    assert TYPES["fps"] is int and TYPES["mouth"] is float and TYPES["still"] is bool
    assert TYPES["face"] is int, "or none"
    assert Options.of(mouth=1).motion.mouth == 1


def test_settings_leave_out_what_an_engine_does_not_heed() -> None:
    chosen = Options.of(paste=True, engine_mesh="flame", fps=25)
    groups = ("motion", "video")
    assert "paste" not in chosen.settings("embedded", groups)
    assert chosen.settings("embedded", groups)["engine_mesh"] == "flame"
    assert "engine_mesh" not in chosen.settings("seed", groups)
    assert chosen.settings("seed", groups)["paste"] is True
    assert chosen.idle("embedded") == ["paste"] and chosen.idle("seed") == ["engine_mesh"]
    assert Options().idle("embedded") == []
