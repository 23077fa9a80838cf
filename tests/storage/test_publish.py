"""Publications are complete or absent, whoever else publishes at the same time."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from interleave import Turns

from mdth.errors import ArtefactError, StorageError
from mdth.files.json import read_json, write_json
from mdth.storage import publish
from mdth.storage.manifest import Sealed
from mdth.storage.settings import S3Settings
from mdth.storage.store import Store

FOLDER = "processed/t/preprocessed/th"
OUT = "inference/t/th"
# Orders of steps that are tried; scripts/chaos tries many more.
RACES = int(os.environ.get("MDTH_TEST_RACES", "20"))
NAMES = ("audio/speech.npy", "image/portrait.png")


def prepared(folder: Path, text: str, *, names: tuple[str, ...] = NAMES) -> Path:
    """A sealed local folder whose files have that content; `same` is in all of them."""
    files = {}
    for name in (*names, "audio/same.txt"):
        path = folder / "th" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("same" if name.endswith("txt") else f"{text} in {name}")
        files[name] = Sealed.of(name, path)
        path.replace(folder / "th" / files[name].path)
    listed = {name: file._asdict() for name, file in files.items()}
    write_json(folder / "th/manifest.json", {"text": text, "files": listed})
    return folder / "th"


def output(folder: Path, text: str) -> Path:
    """A local video with its record."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "output.mp4").write_text(text)
    made = Sealed.of("x", folder / "output.mp4")
    write_json(folder / "output.json", {"video": {"bytes": made.bytes, "sha256": made.sha256}})
    write_json(folder / "times.json", {"video_sha256": made.sha256})
    return folder


def read(store: Store, folder: Path) -> str:
    """The text that a reader finds; all files belong to it."""
    found = publish.fetch_prepared(store, FOLDER, folder)
    texts = {
        (folder / file["path"]).read_text().split(" in ")[0]
        for name, file in found["files"].items()
        if not name.endswith("txt")
    }
    assert texts == {found["text"]}
    return found["text"]


def paths(source: Path) -> set[str]:
    return {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}


def test_publish_fetch_and_replace(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = prepared(tmp_path / "1", "one"), prepared(tmp_path / "2", "two", names=NAMES[:1])
    before: set[str] = set()
    for source in (one, two, one):
        assert publish.publish_prepared(store, source, FOLDER)
        assert set(store.below(FOLDER)) == before | paths(source)
        assert publish.is_published(store, read_json(source / "manifest.json"), FOLDER)
        before |= paths(source)
    assert publish.forgotten(store, FOLDER) == []
    monkeypatch.setattr(publish, "DAY_S", -5)
    assert set(publish.forgotten(store, FOLDER)) == paths(two) - paths(one)
    assert publish.publish_prepared(store, one, FOLDER)
    assert set(store.below(FOLDER)) == paths(one)
    assert read(store, tmp_path / "read") == "one"
    assert paths(tmp_path / "read") == paths(one)
    assert (tmp_path / "read/manifest.json").read_bytes() == (one / "manifest.json").read_bytes()


def test_what_is_there_is_not_put_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = prepared(tmp_path / "1", "one")
    publish.publish_prepared(store, source, FOLDER)
    put: list[str] = []
    upload = store.upload
    monkeypatch.setattr(store, "upload", lambda file, path: (put.append(path), upload(file, path)))
    publish.publish_prepared(store, source, FOLDER)
    assert put == []
    (lost,) = [path for path in store.below(FOLDER) if path.startswith("image/")]
    store.remove(f"{FOLDER}/{lost}")
    publish.publish_prepared(store, source, FOLDER)
    assert put == [f"{FOLDER}/{lost}", f"{FOLDER}/manifest.json"]
    put.clear()
    publish.publish_prepared(store, source, FOLDER, again=True)
    assert len(put) == 4
    assert put[-1] == f"{FOLDER}/manifest.json"


def test_a_file_on_its_way_stays_for_a_day(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = prepared(tmp_path / "1", "one")
    store.upload(source / "manifest.json", f"{FOLDER}/audio/speech-0123456789ab.npy")
    publish.publish_prepared(store, source, FOLDER)
    assert set(store.below(FOLDER)) - paths(source) == {"audio/speech-0123456789ab.npy"}
    monkeypatch.setattr(publish, "DAY_S", -5)
    publish.publish_prepared(store, source, FOLDER)
    assert set(store.below(FOLDER)) == paths(source)


def age(folder: Path) -> None:
    """All that is in a local store there has been there for two days."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 2 * 24 * 3600,) * 2)


def test_what_was_replaced_stays_for_a_day_however_old_it_is(tmp_path: Path) -> None:
    one, two = prepared(tmp_path / "1", "one"), prepared(tmp_path / "2", "two")
    (tmp_path / "store").mkdir()
    store, folder = Store(str(tmp_path / "store")), tmp_path / "store" / FOLDER
    publish.publish_prepared(store, one, FOLDER)
    age(folder)
    for _ in range(2):
        publish.publish_prepared(store, two, FOLDER)
        assert set(store.below(FOLDER)) == paths(one) | paths(two)
    age(folder)
    publish.publish_prepared(store, two, FOLDER)
    assert set(store.below(FOLDER)) == paths(two)


def test_what_may_be_deleted_at_any_moment_is_put_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = prepared(tmp_path / "1", "one"), prepared(tmp_path / "2", "two")
    (tmp_path / "store").mkdir()
    store = Store(str(tmp_path / "store"))
    for source in (one, two):
        publish.publish_prepared(store, source, FOLDER)
    age(tmp_path / "store")
    monkeypatch.setattr(publish, "forgotten", lambda *_: [])  # another machine is slower
    publish.publish_prepared(store, one, FOLDER)
    there = store.below(FOLDER)
    assert all(there[path].time_s > time.time() - 3600 for path in paths(one) - paths(two))


def test_a_reader_waits_for_a_repair_and_then_says_what_is_missing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = prepared(tmp_path / "1", "one")
    publish.publish_prepared(store, source, FOLDER)
    (lost,) = [path for path in store.below(FOLDER) if path.startswith("image/")]
    store.remove(f"{FOLDER}/{lost}")
    waits: list[int] = []

    def repair(number: int) -> None:
        waits.append(number)
        if len(waits) == 2:
            store.upload(source / lost, f"{FOLDER}/{lost}")

    monkeypatch.setattr(publish, "_pause", repair)
    assert read(store, tmp_path / "read") == "one"
    assert waits == [0, 1]
    store.remove(f"{FOLDER}/{lost}")
    with pytest.raises(ArtefactError, match="preprocess again"):
        read(store, tmp_path / "again")
    with pytest.raises(ArtefactError, match="nothing usable"):
        publish.fetch_prepared(store, "processed/none", tmp_path / "none")


def test_damaged_content_is_not_taken(store: Store, tmp_path: Path) -> None:
    source = prepared(tmp_path / "1", "one")
    publish.publish_prepared(store, source, FOLDER)
    (file,) = [path for path in store.below(FOLDER) if path.startswith("image/")]
    (tmp_path / "other").write_text("o" * (source / file).stat().st_size)
    store.upload(tmp_path / "other", f"{FOLDER}/{file}")
    with pytest.raises(StorageError):
        read(store, tmp_path / "read")
    publish.publish_prepared(store, source, FOLDER, again=True)
    assert read(store, tmp_path / "again") == "one"


def test_a_video_counts_with_its_own_record_only(store: Store, tmp_path: Path) -> None:
    one, two = output(tmp_path / "1", "one"), output(tmp_path / "2", "two")
    assert publish.read_output(store, OUT, tmp_path / "none") is None
    assert publish.publish_output(store, one, OUT)
    assert publish.publish_output(store, two, OUT)
    assert publish.read_output(store, OUT, tmp_path / "read") == json.loads(
        (two / "output.json").read_text()
    )
    assert (tmp_path / "read/output.mp4").read_text() == "two"
    store.upload(one / "output.mp4", f"{OUT}/output.mp4")
    assert publish.read_output(store, OUT, tmp_path / "mixed") is None
    assert publish.publish_output(store, two, OUT, again=True)
    store.remove(f"{OUT}/output.mp4")
    assert publish.output_record(store, OUT, {}) is None
    assert publish.publish_output(store, two, OUT)
    assert publish.output_record(store, OUT, {}) is not None


class Machine:
    """One machine's view of a shared store: every call is a step that others may come before."""

    def __init__(self, url: str, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store(url)
        for name in ("fetch", "put", "remove", "below"):
            call = getattr(self.store._files, name)
            monkeypatch.setattr(self.store._files, name, self._stepping(turns, call))

    @staticmethod
    def _stepping(turns: Turns, call: Callable) -> Callable:
        def stepping(*arguments: object, **named: object) -> object:
            turns.step()
            return call(*arguments, **named)

        return stepping


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting: neither between tries nor for the store or the disk."""
    monkeypatch.setattr(publish, "_pause", lambda number: None)
    monkeypatch.setattr(S3Settings, "pause_s", lambda settings, failures: 0.0)
    monkeypatch.setattr(os, "fsync", lambda file: None)


class Race:
    """Machines that do something with one store, in an order drawn by `seed`."""

    def __init__(self, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self.turns, self.calls = folder / f"store-{seed}", Turns(seed), []
        self.place.mkdir()
        self.store, self._patch = Store(str(self.place)), monkeypatch

    def enter(self, task: Callable, *arguments: object) -> None:
        """A machine of its own that calls `task(store, ...)`."""
        store = Machine(self.store.url, self.turns, self._patch).store
        self.calls.append(lambda: task(store, *arguments))

    def run(self) -> list:
        """What each returns. An error of one of them is raised."""
        ended = self.turns.run(*self.calls)
        for result in ended:
            if isinstance(result, Exception):
                raise result
        return ended


@pytest.mark.parametrize("others", [("two",), ("one",), ("old",), ("two", "old")], ids="+".join)
def test_machines_that_publish_at_once(
    others: tuple[str, ...], tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One publishes "one" over "old", others something else, or the same, or "old" again."""
    texts = ("one", *others)
    old = prepared(tmp_path / "old", "old")
    sources = [prepared(tmp_path / str(n), text) for n, text in enumerate(texts)]
    for seed in range(RACES):
        race = Race(tmp_path, seed, monkeypatch)
        publish.publish_prepared(race.store, old, FOLDER)
        for source in sources:
            race.enter(publish.publish_prepared, source, FOLDER)
        for number in range(2):
            race.enter(read, tmp_path / f"read-{seed}-{number}")
        ended = race.run()
        assert set(ended[len(texts) :]) <= {"old", *texts}
        # What stays is valid, and whose it is was told so.
        stays = read(race.store, tmp_path / f"last-{seed}")
        assert ended[texts.index(stays)] is True
        # What nobody points to goes with the next run after a day.
        mine = sources[texts.index(stays)]
        with monkeypatch.context() as later:
            later.setattr(publish, "DAY_S", -5)
            publish.publish_prepared(race.store, mine, FOLDER)
        assert set(race.store.below(FOLDER)) == paths(mine)


def test_machines_that_bring_back_what_is_being_deleted(
    tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines publish "one", which was replaced days ago, and each deletes what is left."""
    one, two = prepared(tmp_path / "one", "one"), prepared(tmp_path / "two", "two")
    for seed in range(RACES):
        race = Race(tmp_path, seed, monkeypatch)
        for source in (one, two):
            publish.publish_prepared(race.store, source, FOLDER)
        age(race.place)
        for source in (one, two, one):
            race.enter(publish.publish_prepared, source, FOLDER)
        race.run()
        assert read(race.store, tmp_path / f"last-{seed}") in ("one", "two")


def test_machines_that_publish_a_video_at_once(
    tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ("one", "two")
    old = output(tmp_path / "old", "old")
    for seed in range(RACES):
        race = Race(tmp_path, seed, monkeypatch)
        publish.publish_output(race.store, old, OUT)
        for text in texts:
            race.enter(publish.publish_output, output(tmp_path / f"{text}-{seed}", text), OUT)
        ended = race.run()
        assert publish.read_output(race.store, OUT, tmp_path / f"last-{seed}") is not None
        stays = (tmp_path / f"last-{seed}/output.mp4").read_text()
        assert ended[texts.index(stays)] is True


def test_without_looking_again_the_races_are_lost(
    tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the two tests above can fail: publishers that do not look at what they have done."""

    def careless(store: Store, source: Path) -> None:
        before = set(store.below(FOLDER))
        for path in sorted(paths(source) - before) + ["manifest.json"]:
            store.upload(source / path, f"{FOLDER}/{path}")
        for path in set(store.below(FOLDER)) - paths(source):
            store.remove(f"{FOLDER}/{path}")

    sources = [prepared(tmp_path / text, text) for text in ("one", "two")]
    lost = 0
    for seed in range(RACES):
        race = Race(tmp_path, seed, monkeypatch)
        for source in sources:
            race.enter(careless, source)
        race.run()
        try:
            read(race.store, tmp_path / f"last-{seed}")
        except ArtefactError:
            lost += 1
    assert lost > RACES / 10
