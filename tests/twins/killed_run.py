"""A process that runs a twin's tasks in children of its own, each killed where it is told to be.

Orders come as lines of JSON on stdin: {"store": URL, "home": folder, "tasks": [[name, choices],
...], "environment": {}}, and where they are wanted "stop": the number of a moment, "stop_after_s":
seconds, "sabotage": a name, "part_bytes": of uploads to S3. Answers go out the same way: {"killed":
whether, "code": exit code, "moments": [...]}.

Moments lie before and after every call that changes a file or the store, and in the middle of every
write of a whole file; the child kills itself with SIGKILL at the one that was ordered, or is killed
so many seconds after its first. All is the real thing but what costs seconds: no face is looked
for, and the video has a few small frames.
"""

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from mdth import engines, pipeline, record
from mdth.artefacts import Motion, Portrait
from mdth.embedded import engine as embedded
from mdth.engine import PREPARE, SPEAK, Engine, Source
from mdth.face.topology import UPPER_FACE
from mdth.files import assets, reading
from mdth.files import json as json_files
from mdth.options import Options, PortraitOptions
from mdth.storage import plain
from mdth.storage import store as store_module
from mdth.storage.settings import S3Settings
from mdth.storage.store import Store
from mdth.twins import tasks

sys.path.append(str(Path(__file__).parents[1] / "storage"))
from fault_proxy import fault_proxy  # noqa: E402

CHANGES_ON_DISK = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "link", "truncate")
# Requests that change something, by method and whether they are about an upload or a part of one.
CHANGES_IN_STORE = {
    ("PUT", ""): "PutObject",
    ("DELETE", ""): "DeleteObject",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "partNumber"): "UploadPart",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
FRAMES = 4
NO_WAIT = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Watch:
    """Numbers the moments and ends the process, as SIGKILL does, at one of them."""

    def __init__(self, stop: int | None, moments: Path) -> None:
        self.stop = stop
        self.file = moments.open("w")
        self.count = 0
        self.lock = threading.Lock()

    def moment(self, what: str) -> None:
        with self.lock:
            self.file.write(f"{what}\n")
            self.file.flush()
            if self.count == self.stop:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call with a moment before and one after."""

        def watched(*arguments: Any, **named: Any) -> Any:
            what = f"{name} {shown(arguments)}"
            self.moment(f"before {what}")
            result = call(*arguments, **named)
            self.moment(f"after {what}")
            return result

        return watched

    def watch(self) -> None:
        """From here on every change is counted."""
        for name in CHANGES_ON_DISK:
            setattr(os, name, self.around(name, getattr(os, name)))
        write_bytes = Path.write_bytes

        def halved(path: Path, content: bytes) -> int:
            write_bytes(path, content[: len(content) // 2])
            self.moment(f"half of write {shown((path,))}")
            return write_bytes(path, content)

        def copyfile(source: Any, target: Any, **_: Any) -> Any:
            halved(Path(target), Path(source).read_bytes())
            return target

        Path.write_bytes = halved  # type: ignore[assignment,method-assign]
        shutil.copyfile = copyfile  # type: ignore[assignment]

    def request(self, method: str, path: str, when: str) -> None:
        """A moment before or after a request that changes something."""
        address = urlsplit(path)
        about = re.match(r"\w*", address.query)[0]
        if name := CHANGES_IN_STORE.get((method, about)):
            self.moment(f"{when} {name} {shown((address.path,))}")


@contextmanager
def watched_server(watch: Watch) -> Iterator[None]:
    """The store's server, if there is one, is reached through a proxy that tells the moments."""
    server = os.environ.get("MDTH_S3_ENDPOINT")
    if not server:
        yield
        return
    with fault_proxy(server) as proxy:
        proxy.passing = watch.request
        os.environ["MDTH_S3_ENDPOINT"] = proxy.url
        yield


def shown(arguments: tuple[Any, ...]) -> str:
    """The end of the path that a call is about."""
    paths = [str(value) for value in arguments if isinstance(value, str | os.PathLike)]
    return "/".join(Path(paths[-1]).parts[-2:]) if paths else ""


def small_face(source: Source, options: PortraitOptions, **_: object) -> Portrait:
    """In the place of finding a face: the picture at a small size, points anywhere."""
    with Image.open(source.picture) as picture:
        pixels = np.asarray(picture.convert("RGB").resize((32, 2 * (options.max_size // 4))))
    mesh = np.random.default_rng(int(pixels.sum())).uniform(0, 32, (478, 3))
    return Portrait(pixels, mesh.astype(np.float32), None, 0.0)


def small_motion(video: Path, *_: object) -> tuple[None, Motion]:
    """In the place of tracking a clip: numbers that its content determines."""
    random = np.random.default_rng(int(reading.sha256(video)[:8], 16))
    return None, Motion(
        25.0,
        np.ones(3, bool),
        np.tile(np.eye(3), (3, 1, 1)),
        random.uniform(-1, 1, (3, 3)),
        random.uniform(-1, 1, (3, len(UPPER_FACE), 3)),
    )


def few_frames(engine: Engine, avatar: Any, speech: Any, options: Options) -> Iterator[Any]:
    """In the place of painting: the portrait's own picture, a few times."""
    for number in range(FRAMES):
        yield np.roll(avatar.portrait.image, number + options.motion.random_seed, axis=1)


def make_light() -> None:
    """Replace what takes seconds, and read the models' hashes before anybody is forked."""
    embedded.find_portrait = small_face
    embedded._motion = small_motion
    pipeline.frames = few_frames
    engine = engines.get(engines.EMBEDDED)
    record.models(engine, Options(), PREPARE, SPEAK)
    record.versions(engine)
    assets.Asset.problem = ""
    # What a killed process has written stays written: only a power cut needs the disk to be told.
    os.fsync = lambda file: None


def manifest_first() -> None:
    """Sabotage: the manifest is put before the files that it points to."""
    upload, held = Store.upload, []

    def wrong(store: Store, source: Path, path: str) -> None:
        if not path.endswith("manifest.json") and "/preprocessed/" in path:
            held.append((source, path))
            return
        upload(store, source, path)
        while held:
            upload(store, *held.pop())

    Store.upload = wrong  # type: ignore[method-assign]


def no_rename() -> None:
    """Sabotage: files are written where they belong, not beside and renamed."""

    @contextmanager
    def wrong(target: Path) -> Iterator[Path]:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        yield target

    plain.replacing = wrong
    json_files.replacing = wrong


def record_stays() -> None:
    """Sabotage: an old video's record is there while the new video comes."""
    remove = Store.remove

    def wrong(store: Store, path: str) -> None:
        if not path.endswith("output.json"):
            remove(store, path)

    Store.remove = wrong  # type: ignore[method-assign]


SABOTAGE = {"manifest first": manifest_first, "no rename": no_rename, "record stays": record_stays}


def run(order: dict[str, Any], moments: Path) -> None:
    """In the child: do the tasks."""
    os.environ["MDTH_STORE"], os.environ["MDTH_HOME"] = order["store"], order["home"]
    os.environ.update(order.get("environment", {}))
    if order.get("sabotage"):
        SABOTAGE[order["sabotage"]]()
    parts = {name: order[name] for name in ("part_bytes",) if name in order}
    settings = S3Settings(first_wait_s=0.01, longest_wait_s=0.05, **parts)
    store_module.s3_settings = lambda: settings
    watch = Watch(order.get("stop"), moments)
    watch.watch()
    with watched_server(watch):
        for name, choices in order["tasks"]:
            getattr(tasks, name)("t", **choices)


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """Run an order in a child and tell how it ended."""
    moments = Path(order["home"]).with_suffix(f".{os.getpid()}.moments")
    moments.touch()
    child = os.fork()
    if not child:
        code = 1
        try:
            run(order, moments)
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    if order.get("stop_after_s") is not None:
        while not moments.stat().st_size and not os.waitid(os.P_PID, child, NO_WAIT):
            time.sleep(0.001)
        time.sleep(order["stop_after_s"])
        os.kill(child, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    told = moments.read_text().splitlines()
    moments.unlink()
    return {"killed": ended == -signal.SIGKILL, "code": ended, "moments": told}


def main() -> None:
    """Answer orders until there are no more."""
    make_light()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
