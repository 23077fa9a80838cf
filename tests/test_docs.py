"""README and pages say what is there: links, files, modules, commands, options, hashes."""

import argparse
import ast
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from options_table import rows

import mdth
from mdth.cli.arguments import parser
from mdth.files import assets

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("*/*.md"))]
# Pages whose bare options, such as `--force`, are all of mdth.
OF_MDTH = {README, ROOT / "docs/twins.md", ROOT / "docs/code.md"}
FOLDERS = "src|docs|tests|scripts|training|benchmarks|examples"

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    """The page's text, each command on one line."""
    return page.read_text("utf-8").replace("\\\n", " ")


def code_of(page: Path) -> list[str]:
    """Its lines and spans of code, without comments."""
    text = text_of(page)
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    indented = re.findall(r"^ {4}(\S.*)", text, re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.partition(" #")[0] for line in [*lines, *indented, *spans]]


def commands() -> dict[str, set[str]]:
    """Every command of mdth and its options."""
    (table,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {name: set(one._option_string_actions) for name, one in table.choices.items()}


def test_the_readme_is_short() -> None:
    assert README.stat().st_size <= 6000
    assert (ROOT / "docs/demo.webp").stat().st_size <= 700_000
    assert (ROOT / "docs/demo.mp4").stat().st_size <= 1_500_000
    assert "](docs/demo.webp)](docs/demo.mp4)" in README.read_text("utf-8")


def test_the_readme_leads_to_every_page() -> None:
    linked = {ROOT / link for link in re.findall(r"\]\(([^)#]+)", README.read_text("utf-8"))}
    own = {page for page in PAGES if page.parent.name in (ROOT.name, "docs", "training")}
    assert own - {README} <= linked


@pages
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    near = [link for link in links if "://" not in link]
    assert [link for link in near if not (page.parent / link).exists()] == []


@pages
def test_named_files_are_there(page: Path) -> None:
    """In the clone, by their path from its root; `*` as in a shell."""
    words = set(re.findall(rf"(?<![\w./{{}}-])((?:{FOLDERS})/[\w./*-]+)", text_of(page)))
    words |= {word for line in code_of(page) for word in re.findall(r"^python (\S+\.py)", line)}
    assert [word for word in words if not any(ROOT.glob(word.rstrip("./-")))] == []
    assert "../shared" not in text_of(page)


def test_pages_that_sources_name_are_there() -> None:
    for folder in FOLDERS.split("|"):
        for path in ROOT.glob(f"{folder}/**/*.py"):
            for name in re.findall(r"\bdocs/\w+\.\w+", path.read_text("utf-8")):
                assert (ROOT / name).exists(), path


@pages
def test_modules_can_be_found(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    for name in re.findall(r"\bpython -m\s+([\w.]*\w)", text_of(page)):
        assert find_spec(name), name


@pages
def test_commands_and_their_options_are_there(page: Path) -> None:
    known = commands()
    every = set[str]().union(*known.values()) | {"--model", "--twin-id"}
    for line in code_of(page):
        for name, rest in re.findall(r"(?:^|[ /])mdth ([a-z][a-z-]*)([^|&;]*)", line):
            assert name in known, line
            given = {word.partition("=")[0] for word in shlex.split(rest) if word[0:1] == "-"}
            assert given - {"-"} <= known[name], line
        if page in OF_MDTH and line.startswith("--"):
            assert line.split()[0] in every, line


@pages
def test_python_compiles_and_names_what_is_public(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "mdth":
                assert node.attr in mdth.__all__


def test_the_options_are_those_of_the_table() -> None:
    table = "\n\n" + "\n".join(rows()) + "\n\n"
    assert table in (ROOT / "docs/code.md").read_text("utf-8")


def test_the_hashes_are_those_in_use() -> None:
    page = (ROOT / "docs/models.md").read_text("utf-8")
    assert set(re.findall(r"[0-9a-f]{64}", page)) == {entry.sha256 for entry in assets.entries()}
