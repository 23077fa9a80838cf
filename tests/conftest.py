"""What many tests need: demo inputs, the command line in this process, a home, an S3 server."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mdth import cli
from mdth.artefacts import Portrait
from mdth.errors import MdthError
from mdth.files import assets
from mdth.twins import sample
from s3_servers import KEY, SECRET, rclone_server

ROOT = Path(__file__).parents[1]


# What libraries leave there, or their killed processes; `.ses` is onnxruntime's (telemetry), which
# mdth switches off and tests that import it themselves do not.
OTHERS = ("ray", ".ses", "pymp-", "torch", "matplotlib-", "pulse-")

# Files that take longest begin first, so that no process is left with one of them at the end.
LONG = (
    *("serve/test_page.py", "serve/test_crew.py", "twins/test_kills.py", "storage/test_faults.py"),
    *("batch/test_local_pool.py", "batch/test_ray_pool.py", "serve/test_jobs.py"),
    *("training/test_seed_training.py", "test_scripts.py", "batch/test_batch_end_to_end.py"),
)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """What a test logged travels between pytest's processes, which takes no half of a character."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


def _tried(path: Path) -> bool:
    return path.is_file() and path.read_bytes() in (b"", b"blat")


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder for temporary files of the tests and their processes, which is empty at the end.

    Its own: what others leave in the system's meanwhile is not the tests'.
    """
    tmp_path_factory.getbasetemp()  # pytest's own stays where it is
    folder = tempfile.mkdtemp(prefix="mdth-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
    # A process that is killed while Python tries whether it can write there leaves what it wrote.
    there = [path.name for path in Path(folder).iterdir() if not _tried(path)]
    left = [name for name in there if not name.startswith(OTHERS)]
    shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"left among the temporary files: {left}"


@pytest.fixture(scope="session")
def portrait_path() -> Path:
    """A public-domain portrait: 512x600 px, one face of 202 px, mouth shut."""
    return sample.PORTRAIT


@pytest.fixture(scope="session")
def portrait(portrait_path: Path) -> Portrait:
    from mdth.face.tracker import FaceTracker
    from mdth.media.image import read_image

    image = read_image(portrait_path)
    with FaceTracker() as tracker:
        return Portrait(image, tracker.faces(image)[0])


@pytest.fixture(scope="session")
def short_path() -> Path:
    return sample.EXAMPLES / "short.wav"


@pytest.fixture(scope="session")
def checkpoints() -> Path:
    """The folder of the outside models; the tests fetch nothing."""
    try:
        return assets.verify()[0].parent.absolute()
    except MdthError as error:
        pytest.skip(f"{error}")


@pytest.fixture
def mdth(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`mdth("talk", portrait, ...)` runs the command line in this process."""

    def run(*arguments: object) -> Ended:
        capfd.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Ended(code, *capfd.readouterr())

    return run


@pytest.fixture
def twin_home(tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an empty local store (`store`) and an empty home that has the models."""
    common = tmp_path / "home/warping-common/th"
    common.mkdir(parents=True)
    (common / "checkpoints").symlink_to(checkpoints)
    monkeypatch.setenv("MDTH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MDTH_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture(autouse=True)
def few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes share the machine too; and torch, which reads it once, always sees the same.

    In two threads the golden frames of the seed's clip are others.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A real S3-protocol server over a folder; the folder's folders are the buckets."""
    root = tmp_path_factory.mktemp("s3")
    with rclone_server(root) as endpoint:
        yield endpoint, root


@pytest.fixture
def s3_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that every S3 server here accepts, without a server."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def s3_url(s3_server: tuple[str, Path], s3_keys: None, tmp_path: Path, monkeypatch) -> str:
    """An empty prefix in a bucket of the server, and the environment to reach it."""
    endpoint, root = s3_server
    (root / "bucket").mkdir(exist_ok=True)
    monkeypatch.setenv("MDTH_S3_ENDPOINT", endpoint)
    return f"s3://bucket/{tmp_path.name}"
