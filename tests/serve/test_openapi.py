"""openapi.json says what the routes are; that answers are as it has them is seen in `serving`."""

import re
from pathlib import Path

import jsonschema
import pytest
from serving import API
from starlette.routing import Route

from mdth.options import Options, schema
from mdth.serve.app import routes
from mdth.serve.requests import FIELDS, OPTIONS_OF
from mdth.serve.server import Server
from mdth.serve.settings import Settings


def test_the_file_has_every_route_and_no_other(tmp_path: Path) -> None:
    made = [route for route in routes(Server(Settings(tmp_path))) if isinstance(route, Route)]
    there = {(route.path, m) for route in made for m in route.methods or () if m != "HEAD"}
    said = {
        (path, method.upper())
        for path, about in API["paths"].items()
        for method in about
        if method != "parameters"
    }
    assert said == there
    assert len({route.path for route in made}) == len(made)  # so that `Allow` has all its methods


def test_every_parameter_of_a_path_is_described() -> None:
    for path, about in API["paths"].items():
        for method, operation in about.items():
            if method != "parameters":
                given = [*about.get("parameters", []), *operation.get("parameters", [])]
                named = {each["name"] for each in given if each["in"] == "path"}
                assert named == set(re.findall(r"\{(\w+)\}", path)), path
    names = [op["operationId"] for about in API["paths"].values() for op in _operations(about)]
    assert len(set(names)) == len(names)


def _operations(about: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    return [operation for method, operation in about.items() if method != "parameters"]


@pytest.mark.parametrize("kind", ["avatar", "talk", "dub"])
def test_forms_have_the_fields_that_are_taken(kind: str) -> None:
    form = API["paths"][f"/v1/{kind}s"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert set(form["schema"]["properties"]) == FIELDS[kind]


def test_schemas_are_schemas_and_options_are_of_the_table() -> None:
    for about in API["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(about)
    table = schema()["properties"]
    assert set().union(*OPTIONS_OF.values()) <= set(table)
    Options.of(**{name: table[name]["default"] for name in OPTIONS_OF["talk"]})
