"""What must hold after a kill, in a local store or on S3: looked at by readers and a second run."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from small_files import small_picture, small_sound

from mdth.errors import ArtefactError
from mdth.storage import manifest, publish
from mdth.storage.store import Store

Tasks = tuple[tuple[str, dict[str, Any]], ...]
OLD: Tasks = (("preprocess", {"max_size": 64}), ("inference", {}))
NEW: Tasks = (("preprocess", {"max_size": 128}), ("inference", {"random_seed": 1}))
PART_BYTES = 12_000  # of uploads to S3: the sound goes in two parts, the speech in three
PREPARED, OUTPUT = "processed/t/preprocessed/th", "inference/t/th"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below; the times' content may differ."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if "warping-common" not in name:
            is_open = path.is_dir() or path.name == "times.json"
            found[name] = None if is_open else path.read_bytes()
    return found


class Twin:
    """A twin in a store and a home that can be set back to how they were; `run` does its tasks."""

    def __init__(self, place: Path, run: Callable[..., dict[str, Any]]) -> None:
        self.place, self.home, self.run_tasks = place, place / "home", run
        self.url = str(place / "store")

    def run(self, tasks: Tasks, **how: object) -> dict[str, Any]:
        """Do the tasks; `how` they end, see `killed_run.py`."""
        return self.run_tasks(self.url, self.home, *tasks, **how)

    def change_input(self) -> None:
        """Other sound and another picture under the same names."""
        small_sound(self.place / "store/raw/t/audio/1.wav", 2)
        small_picture(self.place / "store/raw/t/image/1.png", 2)

    def keep(self) -> None:
        """Remember how it is now."""
        for name in ("store", "home"):
            shutil.copytree(self.place / name, self.place / "kept" / name, symlinks=True)

    def set_back(self) -> None:
        """Make it as it was kept."""
        for name in ("store", "home"):
            shutil.rmtree(self.place / name)
            shutil.copytree(self.place / "kept" / name, self.place / name, symlinks=True)

    def trees(self) -> tuple[dict[str, bytes | None], dict[str, bytes | None]]:
        """The store and the home."""
        return tree(self.place / "store"), tree(self.home)

    def seen(self) -> dict[str, Any]:
        """What readers find here and in the store, None for nothing. Raises ArtefactError."""
        here = self.home / "warping-processed/t/processed/th"
        store = Store(self.url)
        with tempfile.TemporaryDirectory(dir=self.place) as name:
            prepared, video = Path(name, "prepared"), Path(name, "video")
            published = store.find_json(f"{PREPARED}/manifest.json")
            if published is not None:
                publish.fetch_prepared(store, PREPARED, prepared)
                manifest.read(prepared, twin="t")
            if store.find_json(f"{OUTPUT}/output.json") is not None:
                publish.read_output(store, OUTPUT, video)
            return {
                "prepared here": manifest.read(here, twin="t") if any(_manifest(here)) else None,
                "prepared in the store": published,
                "video here": _whole(self.home / "warping-serving/t/th"),
                "video in the store": _whole(video),
            }


class TwinOnS3(Twin):
    """The same with its store on a server: a prefix of its own each time it is set back."""

    def __init__(self, place: Path, run: Callable[..., dict[str, Any]], url: str) -> None:
        super().__init__(place, run)
        self._base, self._number = url, 0
        self.set_back()

    def run(self, tasks: Tasks, **how: object) -> dict[str, Any]:
        """Do the tasks with uploads in small parts."""
        return super().run(tasks, part_bytes=PART_BYTES, **how)

    def set_back(self) -> None:
        kept = self.place / "kept"
        if kept.exists():
            super().set_back()
        self._number += 1
        self.url = f"{self._base}/{self._number}"
        self._send(self.place / "store")

    def change_input(self) -> None:
        super().change_input()
        self._send(self.place / "store/raw")

    def _send(self, folder: Path) -> None:
        store = Store(self.url)
        for path in folder.rglob("*"):
            if path.is_file():
                store.upload(path, path.relative_to(self.place / "store").as_posix())

    def keep(self) -> None:
        self._bring(self.place / "store")
        super().keep()
        self.set_back()

    def trees(self) -> tuple[dict[str, bytes | None], dict[str, bytes | None]]:
        with tempfile.TemporaryDirectory(dir=self.place) as name:
            self._bring(Path(name, "s"))
            return tree(Path(name, "s")), tree(self.home)

    def _bring(self, folder: Path) -> None:
        store = Store(self.url)
        shutil.rmtree(folder, ignore_errors=True)
        for top in ("raw", "processed", "inference"):
            for path in store.below(top):
                store.download(f"{top}/{path}", folder / top / path)


def _manifest(folder: Path) -> Iterator[Path]:
    return folder.glob("manifest.json")


def _whole(folder: Path) -> dict[str, Any] | None:
    """The record of a video; where it is, the video must be there too, and be its own."""
    if not (folder / "output.json").exists():
        return None
    found = manifest.vouched(folder)
    if found is None:
        raise ArtefactError(f"{folder}: a record without its video")
    return found


class Undisturbed:
    """What a run that nothing disturbs does: what readers see before and after, trees, moments."""

    def __init__(self, twin: Twin, tasks: Tasks = NEW) -> None:
        twin.keep()
        self.twin, self.tasks = twin, tasks
        self.before = twin.seen()
        ended = twin.run(tasks)
        assert ended["code"] == 0, ended
        self.after, self.trees, self.moments = twin.seen(), twin.trees(), ended["moments"]

    def states(self, which: str = "") -> list[int]:
        """The moments whose name has `which` in it, one of those between which nothing changes.

        After one change and before the next all is the same.
        """
        return [
            number
            for number, moment in enumerate(self.moments)
            if which in moment and (number == 0 or not moment.startswith("before"))
        ]

    def faults(self, kills: Iterable[dict[str, object]]) -> Iterator[str]:
        """What is wrong after kills like these; see `killed_run.py` for what an order may say."""
        return (fault for how in kills if (fault := self._fault(how)))

    def _fault(self, how: dict[str, object]) -> str:
        self.twin.set_back()
        ended = self.twin.run(self.tasks, **how)
        at = f"killed {ended['moments'][-1]}" if ended["moments"] else "killed at once"
        try:
            seen = self.twin.seen()
        except ArtefactError as error:
            return f"{at}: a reader finds {error}"
        for name, found in seen.items():
            gone = found is None and name.startswith("video")
            if not gone and found not in (self.before[name], self.after[name]):
                return f"{at}: {name} is neither the old nor the new"
        if self.twin.run(self.tasks)["code"]:
            return f"{at}: the next run fails"
        for found, wanted in zip(self.twin.trees(), self.trees, strict=True):
            names = found.keys() | wanted.keys()
            differ = sorted(name for name in names if found.get(name, 0) != wanted.get(name, 0))
            if differ:
                return f"{at}: not the same after the next run: {', '.join(differ)}"
        return ""
