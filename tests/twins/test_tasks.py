"""What is done already is not done again, dry runs change nothing, machines agree."""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import killed_run
import pytest
from kills import NEW, OLD, Twin, TwinOnS3, tree
from small_files import small_sound
from task_runs import Runs, task_process

from mdth import cli, pipeline, record
from mdth.embedded import engine as embedded
from mdth.engine import SPEAK
from mdth.errors import ArtefactError
from mdth.files import assets
from mdth.storage import manifest, publish
from mdth.storage.settings import S3Settings
from mdth.storage.store import Store
from mdth.twins import sources, tasks, twin

ATTEMPTS = 5 if os.environ.get("MDTH_TEST_KILLS") == "all" else 1


@pytest.fixture
def light(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The tasks in this process, without the seconds; what was computed, in a list."""
    done: list[str] = []

    def face(*arguments: Any, **more: Any) -> object:
        done.append("face")
        return killed_run.small_face(*arguments, **more)

    def frames(*arguments: Any) -> Iterator[object]:
        done.append("frames")
        return killed_run.few_frames(*arguments)

    monkeypatch.setattr(embedded, "find_portrait", face)
    monkeypatch.setattr(embedded, "_motion", killed_run.small_motion)
    monkeypatch.setattr(pipeline, "frames", frames)
    monkeypatch.setattr(assets.Asset, "problem", "")
    monkeypatch.setattr(S3Settings, "pause_s", lambda settings, failures: 0.0)
    monkeypatch.setenv("MDTH_STORE", str(place / "store"))
    monkeypatch.setenv("MDTH_HOME", str(place / "home"))
    return done


def both(**force: bool) -> None:
    tasks.preprocess("t", max_size=64, **force)
    tasks.inference("t", **force)


def times(place: Path) -> dict[str, int]:
    """When each file was written, input apart, which is fetched each time to be compared."""
    return {
        str(path): path.stat().st_mtime_ns
        for path in place.rglob("*")
        if path.is_file() and not {"raw", "warping-data", "warping-common"} & set(path.parts)
    }


def test_the_same_again_is_no_work_and_says_so(
    light: list[str], place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both()
    assert light == ["face", "frames"]
    first = times(place)
    with caplog.at_level(logging.INFO, "mdth"):
        both()
    assert light == ["face", "frames"]
    assert times(place) == first
    assert "t is prepared already; nothing to do" in caplog.text
    assert "t has this video already; nothing to do" in caplog.text


def test_a_bad_file_hides_no_good_one(light: list[str], place: Path) -> None:
    """The header and the first tenth of a second are fine, and too short to speak."""
    short = small_sound(place / "store/raw/t/audio/0.wav", 3)
    short.write_bytes(short.read_bytes()[: 44 + 3200])
    choice = sources.fetch(twin.Twin.named("t")).choices["audio"]
    assert choice.name == "1.wav" and "at least 0.3 s" in choice.skipped[0].reason


def test_force_repeats_and_ends_with_the_same_bytes(light: list[str], place: Path) -> None:
    both()
    first, before = tree(place), times(place)
    both(force=True)
    assert light == ["face", "frames"] * 2
    assert tree(place) == first
    later = times(place)
    assert all(later[name] > before[name] for name in before)


@pytest.mark.parametrize("changed", ["sound", "option", "network", "library", "video", "record"])
def test_what_changed_is_done_again(
    changed: str, light: list[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both()
    light.clear()
    option: dict[str, int] = {}
    if changed == "sound":
        sound = place / "store/raw/t/audio/1.wav"
        before = sound.stat()
        small_sound(sound, 5)
        # The same name, size and time: the content alone tells.
        os.utime(sound, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert sound.stat().st_size == before.st_size
    elif changed == "option":
        option = {"fps": 25}
    elif changed == "network":
        models = record.models
        other = {"faceformer.onnx": "0"}
        monkeypatch.setattr(
            record, "models", lambda *of: models(*of) | (other if SPEAK in of else {})
        )
    elif changed == "library":
        found = record.versions()
        monkeypatch.setattr(record, "versions", lambda engine: {**found, "numpy": "0"})
    else:
        name = "output.mp4" if changed == "video" else "output.json"
        for folder in ("home/warping-serving/t/th", "store/inference/t/th"):
            (place / folder / name).write_bytes(b"x")
    tasks.preprocess("t", max_size=64)
    tasks.inference("t", **option)
    assert light == (["face", "frames"] if changed in ("sound", "library") else ["frames"])
    assert manifest.vouched(place / "store/inference/t/th")


def test_a_replaced_input_of_the_same_size_is_seen(light: list[str], place: Path) -> None:
    both()
    small_sound(place / "store/raw/t/audio/1.wav", 5)
    with pytest.raises(ArtefactError, match="audio files changed"):
        tasks.inference("t", fps=25)


def test_foreign_and_changed_preparations_are_not_filmed(light: list[str], place: Path) -> None:
    both()
    folder = place / "home/warping-processed/t/processed/th"
    shutil.copytree(folder, place / "home/warping-processed/other/processed/th")
    with pytest.raises(ArtefactError, match="prepared for the twin 't'"):
        tasks.inference("other")
    shutil.copytree(folder, place / "before")
    tasks.preprocess("t", max_size=128)
    shutil.rmtree(folder)
    (place / "before").rename(folder)
    with pytest.raises(ArtefactError, match="the store holds another preparation"):
        tasks.inference("t")
    (portrait,) = (folder / "image").glob("portrait-*.npz")
    portrait.write_bytes(b"more")
    with pytest.raises(ArtefactError, match=r"image/portrait\.npz"):
        tasks.inference("t")


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("pattern", ["audio/*.npy", "image/*", "output.mp4", "manifest.json"])
def test_what_is_damaged_in_the_store_heals(
    pattern: str, elsewhere: bool, light: list[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the task that makes it, here or on another machine; the size stays the same."""
    monkeypatch.setattr(S3Settings, "pause_s", lambda *_: 0)
    both()
    whole = tree(place / "store")
    for path in (place / "store").rglob(pattern):
        if "raw" not in path.parts:
            path.write_bytes(bytes(path.stat().st_size))
    if elsewhere:
        shutil.rmtree(place / "home/warping-processed")
        shutil.rmtree(place / "home/warping-serving")
    both()
    assert tree(place / "store") == whole


def test_stray_names_are_nobodys(light: list[str], place: Path) -> None:
    for folder in ("raw/t/audio", "processed/t/preprocessed/th", "inference/t/th"):
        (place / "store" / folder).mkdir(parents=True, exist_ok=True)
        (place / "store" / folder / "a\nb").write_text("stray")
    both()
    both(force=True)
    assert manifest.vouched(place / "store/inference/t/th")


def test_another_machine_takes_what_the_store_has(light: list[str], place: Path) -> None:
    both()
    shutil.copytree(place / "home", place / "first", symlinks=True)
    for folder in ("warping-processed", "warping-serving", "warping-data"):
        shutil.rmtree(place / "home" / folder)
    both()
    assert light == ["face", "frames"]
    assert tree(place / "home") == tree(place / "first")
    # And what it has is put where the store lost it.
    shutil.rmtree(place / "store/inference")
    shutil.rmtree(place / "store/processed")
    both()
    assert light == ["face", "frames"]
    assert manifest.vouched(place / "store/inference/t/th")


def test_a_dry_run_tells_what_a_run_does(
    light: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed(*arguments: str) -> list[list[str]]:
        before, at = tree(place), times(place)
        assert cli.main([*arguments, "--dry-run"]) == 0
        assert (tree(place), times(place)) == (before, at)
        return [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]

    def written(lines: list[list[str]], where: str) -> set[str]:
        names = {line[2].split("/th/")[-1] for line in lines if line[:2] == ["write", where]}
        return {name.replace("-HASH", "") for name in names}

    (place / "store/raw/t/image/0.png").write_text("no picture")
    lines = listed("preprocess", "t", "--max-size", "64")
    assert ["skip", "store", "raw/t/image/0.png"] in [line[:3] for line in lines]
    assert ["read", "store", "raw/t/image/1.png"] in [line[:3] for line in lines]
    assert any("natural order" in line[3] for line in lines if line[2] == "raw/t/audio/1.wav")
    assert lines[-1] == "nothing was changed".split()
    tasks.preprocess("t", max_size=64)
    sealed = json.loads((place / "home/warping-processed/t/processed/th/manifest.json").read_text())
    assert written(lines, "store") == {*sealed["files"], "manifest.json"}
    assert written(lines, "local") >= written(lines, "store")
    assert " ".join(listed("preprocess", "t", "--max-size", "64")[-1]).startswith("nothing to do")

    lines = listed("inference", "t")
    assert written(lines, "store") == {"output.mp4", "output.json", "times.json"}
    tasks.inference("t")
    assert " ".join(listed("inference", "t")[-1]).startswith("nothing to do")
    assert written(listed("inference", "t", "--force"), "store") == written(lines, "store")
    # What is replaced goes at once here, and a day later from the store.
    replaced = listed("preprocess", "t", "--max-size", "128")
    removed = {tuple(line[:2] + [line[2].split("/th/")[-1]]) for line in replaced}
    files = {file["path"] for file in sealed["files"].values()}
    assert {line for line in removed if line[0] == "remove"} == {
        ("remove", "local", path) for path in files
    }
    tasks.preprocess("t", max_size=128)
    days_ago = time.time() - 2 * 24 * 3600
    for path in (place / "store/processed").rglob("*"):
        os.utime(path, (days_ago, days_ago))
    later = listed("preprocess", "t", "--max-size", "128")
    gone = {line[2].split("/th/")[-1] for line in later if line[:2] == ["remove", "store"]}
    kept = json.loads((place / "home/warping-processed/t/processed/th/manifest.json").read_text())
    assert gone == files - {file["path"] for file in kept["files"].values()} != set()
    tasks.preprocess("t", max_size=128)
    left = {path.relative_to(place / "store") for path in (place / "store").rglob("*-*.*")}
    assert not [path for path in left if path.as_posix().split("/th/")[-1] in gone]


def test_a_dry_run_of_another_machine(light: list[str], place: Path) -> None:
    with pytest.raises(ArtefactError, match="nothing is prepared"):
        tasks.foresee("inference", "t")
    both()
    shutil.rmtree(place / "home/warping-processed")
    shutil.rmtree(place / "home/warping-serving")
    steps, _ = tasks.foresee("preprocess", "t", max_size=64)
    assert not [step for step in steps if step.what == "write" and step.place == "store"]
    steps, _ = tasks.foresee("inference", "t")
    stored, video = (step for step in steps if step.where.endswith("output.mp4"))
    assert (stored.what, stored.place) == ("read", "store")
    assert (video.what, video.place) == ("write", "local")
    assert stored.size == video.size == (place / "store/inference/t/th/output.mp4").stat().st_size
    assert light == ["face", "frames"]


@pytest.fixture(scope="module")
def other_runs(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """A second process like `runs`."""
    yield from task_process(checkpoints, tmp_path_factory)


@pytest.mark.parametrize("same", [True, False], ids=["the same settings", "other settings"])
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_two_machines_at_once(
    kind: str, same: bool, place: Path, runs: Runs, other_runs: Runs, request
) -> None:
    """Two processes, each with a home of its own, on one store."""
    url = request.getfixturevalue("s3_url") if kind == "s3" else ""
    twin = TwinOnS3(place, runs, url) if url else Twin(place, runs)
    shutil.copytree(place / "home", place / "other", symlinks=True)
    for attempt in range(ATTEMPTS):
        ours = (("preprocess", {"max_size": 64, "force": True}), ("inference", {"force": True}))
        theirs = ours if same else (("preprocess", {"max_size": 128, "force": True}), *ours[1:])
        ended = at_once(
            lambda ours=ours: runs(twin.url, twin.home, *ours),
            lambda theirs=theirs: other_runs(twin.url, place / "other", *theirs),
        )
        # With other settings, who prepared first may be told that the store holds another's.
        codes = [result["code"] for result in ended]
        assert codes == [0, 0] if same else 0 in codes, attempt
        store = Store(twin.url)
        at = place / f"read-{attempt}"
        published = publish.fetch_prepared(store, "processed/t/preprocessed/th", at / "prepared")
        assert manifest.read(at / "prepared", twin="t") == published
        video = publish.read_output(store, "inference/t/th", at / "video")
        assert video is not None
        assert len(store.below("inference/t/th")) == 3


def test_two_runs_on_one_machine_wait_for_each_other(
    place: Path, runs: Runs, other_runs: Runs
) -> None:
    twin = Twin(place, runs)
    ended = at_once(
        lambda: runs(twin.url, twin.home, *OLD), lambda: other_runs(twin.url, twin.home, *NEW)
    )
    assert 0 in [result["code"] for result in ended]
    twin.run(NEW)
    seen = twin.seen()
    assert seen["prepared here"] == seen["prepared in the store"]
    assert seen["video here"] == seen["video in the store"]
    assert not [name for name in tree(place) if ".part" in name or "publishing" in name]


def at_once(*calls: Callable[[], dict]) -> list[dict]:
    """What the calls return, each made in a thread."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: call(), calls))


def test_an_option_that_does_nothing_for_the_engine_says_so_and_films_nothing_again(
    light: list[str], place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both()
    tasks.inference("t", paste=True)
    assert "paste does nothing for the engine embedded" in caplog.text
    assert light == ["face", "frames"]
    tasks.inference("t", crf=30)
    assert light == ["face", "frames", "frames"], "one that does something does"
