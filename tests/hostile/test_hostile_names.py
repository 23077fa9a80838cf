"""Twin ids, object keys and file names cannot lead out of a twin's folders."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

import pytest

from mdth import cli
from mdth.errors import InvalidTwinId, StorageError
from mdth.storage import layout
from mdth.storage.plain import Entry
from mdth.storage.store import Store
from mdth.twins.sources import choose
from mdth.twins.twin import Twin
from s3_servers import s3_client
from tests.support.commands import Command
from tests.support.raising import raises

OUTSIDE = [
    "", ".", "..", "...", "/etc", "/", "//", "a/b", "../a", "a/../..", "a/", "./a", "~", "~root",
    "a\\b", "..\\..", "C:\\a", "C:", "\\\\host\\share", "file:///etc", "s3://other/raw",
    "%2e%2e", "%2e%2e%2f", "..%2f", "%252e%252e", "%c0%ae%c0%ae", "a%00", "&#46;&#46;",
    "a\0b", "a\n", "\na", "a\r\nb", "a\tb", " a", "a ", "a b", "\x1b[2J", "\x7f",
    "．．", "․․", "‥", "…", "／etc", "a∕b", "a⁄b", "a⧸b", "＼", "a＼b", "。。", "｡｡", "%u002e",
    "\ud800", "\udcff", "\u202egnp", "\ufeffa", "a\u0300", "ａｎｎａ", "аnna", "anna\u200b",
    "a" * 65, "a" * 5000, "..a", ".a", "a..b", "a.", "$HOME", "`id`", "$(id)", "a;b", "a|b", "*",
    "?", "[a]", "{a,b}", "a'b", 'a"b', "CON", "con", "nul.txt", "COM1", "lpt9.tar.gz", "AUX",
    "a:b", "a%2fb", "a\u200bb", "a\u202e", "٣", "ä",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE, ids=ascii)
def test_an_id_that_is_no_plain_name(twin_home: Path, name: str) -> None:
    raises(InvalidTwinId, None, Twin.named, name)


@pytest.mark.parametrize(
    "name", ["anna", "A-1_b.c", "0", "-rf", "_", "a" * 64, "cons", "com", "nul1"]
)
def test_an_id_that_is_one(name: str) -> None:
    assert layout.check_twin_id(name) == name


@pytest.mark.parametrize("name", ["../anna", "/etc", "a\nb", "．．", "CON", "\x1b[2J"], ids=ascii)
@pytest.mark.parametrize("command", ["preprocess", "inference", "sample"])
def test_the_command_refuses_it(mdth: Command, twin_home: Path, name: str, command: str) -> None:
    before = sorted(twin_home.rglob("*"))
    ended = mdth(command, "--", name)
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert ended.err.rstrip("\n").isprintable()
    assert sorted(twin_home.rglob("*")) == before


def test_the_seeds_command_refuses_it(twin_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.guarantee(["--model", "TH", "--task", "inference", "--twin-id", "../../etc"]) == 1
    assert "not a twin id" in capfd.readouterr().err


@pytest.mark.parametrize(
    "path",
    ["", "/", "..", "raw/..", "raw/../..", "/etc/passwd", "raw//a", "raw/./a", "raw/a/", "a\0b",
     "raw/a\nb", "\ud800", "a" * 1000],
    ids=ascii,
)  # fmt: skip
def test_a_path_that_leaves_the_store(tmp_path: Path, path: str) -> None:
    (tmp_path / "store/raw").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    store = Store(str(tmp_path / "store"))
    calls: list[Callable[[], object]] = [
        lambda: store.download(path, tmp_path / "into"),
        lambda: store.upload(tmp_path / "secret", path), lambda: store.remove(path),
        lambda: store.find_json(path), lambda: store.below(path), lambda: store.files(path),
    ]  # fmt: skip
    for call in calls:
        raises(StorageError, None, call)
    assert (tmp_path / "secret").read_text() == "secret"
    assert not (tmp_path / "into").exists()


# File names in a listing: what cannot be a plain name is skipped with a reason, the rest is used.
ODD_NAMES = ["a\\..\\b.wav", "a\nb.wav", "a\x1b[2J.wav", "x" * 230 + ".wav", "\udcff.wav"]
FINE_NAMES = ["größe.wav", "录音.wav", "🎤.wav", "10.00.00\u202fAM.wav", "%2e%2e%2fa.wav",
              "．．／a.wav", "-rf.wav", "$(id).wav", "a;b.wav", "con.wav", "a  b.wav",
              "'.wav"]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_an_odd_name_is_skipped_with_a_reason(name: str) -> None:
    def never(_: str) -> None:
        raise AssertionError

    choice = choose([Entry(name, 1)], never)
    assert choice.name is None
    assert "rename" in choice.skipped[0].reason


@pytest.mark.parametrize("name", FINE_NAMES, ids=ascii)
def test_a_name_of_any_language_is_used(name: str) -> None:
    assert choose([Entry(name, 1)], lambda _: None).name == name


@pytest.mark.parametrize("name", [*FINE_NAMES, *(n for n in ODD_NAMES if len(n) < 200)], ids=ascii)
def test_a_twin_with_files_of_such_names(
    mdth: Command, twin_home: Path, portrait_path: Path, short_path: Path, name: str
) -> None:
    folders = {kind: twin_home / "store/raw/anna" / kind for kind in ("audio", "image")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    copyfile(portrait_path, folders["image"] / "a.jpg")
    for number, target in enumerate([name, "zz.wav"]):
        (folders["audio"] / os.fsencode(target).decode("utf-8", "surrogateescape")).write_bytes(
            short_path.read_bytes() if number else b"no sound"
        )
    listed = mdth("preprocess", "anna", "--dry-run", "-v")
    assert listed.code == 0, listed.err
    for line in (listed.err + listed.out).split("\n"):
        assert line.isprintable()
    assert "zz.wav" in listed.out


def test_keys_stay_below_prefix(s3_url: str, s3_server: tuple[str, Path], tmp_path: Path) -> None:
    client = s3_client(s3_server[0])
    for name in ("ok.wav", "..wav", "a\\..\\b.wav"):
        client.put_object(Bucket="bucket", Key=f"{tmp_path.name}/raw/anna/audio/{name}", Body=b"12")
    store = Store(s3_url)
    assert {"ok.wav", "..wav"} <= {file.name for file in store.files("raw/anna/audio")}
    for path in ("raw/anna/audio/../../bob/secret", "raw/anna/audio/", "../../other-bucket/key"):
        raises(StorageError, None, store.download, path, tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_manifest_with_names_that_are_no_text(tmp_path: Path) -> None:
    from mdth.files.json import read_json, write_json

    write_json(tmp_path / "a.json", {"name": "\udcff.wav", "other": "größe"})
    assert read_json(tmp_path / "a.json") == {"name": "\udcff.wav", "other": "größe"}
    assert json.loads((tmp_path / "a.json").read_bytes().decode("utf-8"))
