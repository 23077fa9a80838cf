"""Which twins a batch is for: lists with comments, prefixes, and everything wrong named at once."""

import io
from pathlib import Path

import pytest

from mdth.batch import names
from mdth.errors import InputError, InvalidTwinId, MissingInput, StorageError
from tests.support.raising import raises


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with the twins anna, annette and ben, a stray file and a folder of another name."""
    raw = tmp_path / "store/raw"
    for name in ("anna", "annette", "ben", "not an id"):
        (raw / name / "audio").mkdir(parents=True)
        (raw / name / "audio/a.wav").write_bytes(b"x")
    (raw / "annotations.txt").write_text("no twin")
    monkeypatch.setenv("MDTH_STORE", str(tmp_path / "store"))
    return tmp_path


def test_a_list_has_an_id_a_line(tmp_path: Path) -> None:
    path = tmp_path / "twins.txt"
    path.write_text("# all of them\nben\n\n  anna  # the second\nben\n_c.d-1\n", "utf-8")
    assert names.read(str(path)) == ["ben", "anna", "_c.d-1"]


def test_a_list_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("ben\nanna\n"))
    assert names.read("-") == ["ben", "anna"]


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "twins.txt"
    path.write_text("../up\nanna\na b\nänna\n/etc\n", "utf-8")
    with pytest.raises(InvalidTwinId) as refused:
        names.read(str(path))
    for words in ("line 1: '../up'", "line 3: 'a b'", "line 4: '\\xe4nna'", "line 5: '/etc'"):
        assert words in str(refused.value)
    assert "'anna'" not in str(refused.value)


def test_lists_without_twins(tmp_path: Path) -> None:
    path = tmp_path / "twins.txt"
    path.write_text("# nobody\n\n")
    raises(MissingInput, "no twin in it", names.read, str(path))
    path.write_bytes(b"\xff\xfe\x00")
    raises(InputError, "cannot be read", names.read, str(path))


def test_a_prefix_finds_twins_in_the_store(
    store: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store)
    assert (names.read("ann"), names.read("ben")) == (["anna", "annette"], ["ben"])
    assert names.read("") == ["anna", "annette", "ben"]
    assert "'not an id'" in caplog.text
    raises(MissingInput, "'x.txt': no list of that name, and no twin", names.read, "x.txt")


def test_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDTH_STORE", str(tmp_path / "nowhere"))
    raises(StorageError, "nowhere", names.read, "ann")
