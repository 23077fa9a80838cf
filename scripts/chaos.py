"""SIGKILL at random times of the real pipeline, then a look by a reader and a second run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("twins", "media")]

import kills  # noqa: E402
from kills import Twin, Undisturbed  # noqa: E402

from mdth.files import assets  # noqa: E402
from mdth.twins import sample  # noqa: E402

OLD: kills.Tasks = (("preprocess", {"--max-size": "256"}), ("inference", {"--preview": ""}))
NEW: kills.Tasks = (("preprocess", {"--max-size": "320"}), ("inference", {"--preview": ""}))


def main(count: int) -> None:
    """Kill so many times and print what was found."""
    with tempfile.TemporaryDirectory() as name:
        twin = RealTwin(Path(name))
        if twin.run(OLD)["code"]:
            sys.exit("the pipeline fails without a kill")
        twin.change_input()
        undisturbed = Undisturbed(twin, NEW)
        seconds = twin.after_first_write_s
        print(f"an undisturbed run ends {seconds:.1f} s after its first write", flush=True)
        faults: list[str] = []
        for number in range(1, count + 1):
            after_s = random.uniform(0, seconds)
            found = list(undisturbed.faults([{"stop_after_s": after_s}]))
            faults += found
            print(f"{number}: killed after {after_s:.2f} s: {found or 'well'}", flush=True)
    print(f"{count} kills, {twin.killed} of them before the end; {len(faults)} faults")
    sys.exit(bool(faults))


class RealTwin(Twin):
    """A twin of a real portrait and speech; each run of its tasks is a process."""

    def __init__(self, place: Path) -> None:
        super().__init__(place, self._process)
        self.after_first_write_s = 0.0
        self.killed = 0
        raw = place / "store/raw/t"
        for kind in ("audio", "image"):
            (raw / kind).mkdir(parents=True)
        shutil.copyfile(sample.EXAMPLES / "short.wav", raw / "audio/1.wav")
        shutil.copyfile(sample.PORTRAIT, raw / "image/1.jpg")
        common = place / "home/warping-common/th"
        common.mkdir(parents=True)
        (common / "checkpoints").symlink_to(assets.path(assets.entries()[0].name).parent.absolute())

    def change_input(self) -> None:
        """Another speech and the mirrored portrait."""
        shutil.copyfile(sample.EXAMPLES / "speech.wav", self.place / "store/raw/t/audio/1.wav")
        with Image.open(sample.PORTRAIT) as picture:
            picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
                self.place / "store/raw/t/image/1.jpg", quality=95
            )

    def _process(
        self,
        store: str,
        home: Path,
        *tasks: tuple[str, dict[str, str]],
        stop_after_s: float | None = None,
    ) -> dict[str, Any]:
        lines = [
            [name, "t", *(word for pair in choices.items() for word in pair if word)]
            for name, choices in tasks
        ]
        code = f"import sys; from mdth import cli; sys.exit(max(map(cli.main, {lines!r})))"
        environment = {**os.environ, "MDTH_STORE": store, "MDTH_HOME": str(home)}
        before = self._first_written(home)
        with subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL
        ) as process:
            while self._first_written(home) == before and process.poll() is None:
                time.sleep(0.002)
            start = time.monotonic()
            if stop_after_s is not None:
                time.sleep(stop_after_s)
                process.send_signal(signal.SIGKILL)
            process.wait()
        self.after_first_write_s = time.monotonic() - start
        self.killed += process.returncode == -signal.SIGKILL
        return {"code": process.returncode, "moments": []}

    @staticmethod
    def _first_written(home: Path) -> int:
        """Changes with the first write of a run, which is the fetched sound."""
        folder = home / "warping-data/t/audio"
        return folder.stat().st_mtime_ns if folder.exists() else 0


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
