"""What killed processes left is removed, what living ones write is not."""

import errno
import fcntl
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from mdth.storage import upload as upload_module
from mdth.storage.store import Store
from mdth.storage.unfinished import alone, part_of, scratch_beside, sweep
from s3_servers import s3_client


def test_dead_parts_go_and_living_ones_stay(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    folder = tmp_path / "store/inference/t/th"
    folder.mkdir(parents=True)
    # Of a process that is gone, though this number may be another process's by now.
    dead = folder / f".output.mp4.{os.getpid()}-1.part"
    dead.write_text("half")
    (folder / "output.mp4").write_text("all")
    with part_of(folder / "output.json") as living:
        living.write_text("{")
        store.sweep("inference/t/th")
        assert {path.name for path in folder.iterdir()} == {"output.mp4", living.name}
    assert [path.name for path in folder.iterdir()] == ["output.mp4"]
    store.sweep("inference/nobody")


def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with alone(tmp_path / "t"), part_of(tmp_path / "t/a.txt") as part:
        sweep([tmp_path / "t"])
        part.write_text("a")
        part.replace(tmp_path / "t/a.txt")
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["a.txt"]


def test_scratch_folders_of_killed_runs_go(tmp_path: Path) -> None:
    (tmp_path / "t/processed/.part-abc/new/audio").mkdir(parents=True)
    (tmp_path / "t/processed/.part-abc/new/audio/speech.npy").write_text("x")
    (tmp_path / "t/processed/th").mkdir()
    sweep([tmp_path / "t", tmp_path / "nowhere"])
    assert [path.name for path in (tmp_path / "t/processed").iterdir()] == ["th"]
    with scratch_beside(tmp_path / "t/processed/th") as scratch:
        (scratch / "a.txt").write_text("a")
    assert not scratch.exists()


def test_who_comes_second_waits(tmp_path: Path) -> None:
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with alone(tmp_path / "t"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with alone(tmp_path / "t"):
        inside.set()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_uploads_below_a_folder_that_nobody_ends(
    moto_proxy: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = moto_proxy
    client, prefix = s3_client(proxy.url), url.removeprefix("s3://bucket/")
    for name in ("processed/t/a.npy", "processed/t/image/b.png", "processed/tt/c.npy"):
        client.create_multipart_upload(Bucket="bucket", Key=f"{prefix}/{name}")

    def left() -> list[str]:
        found = client.list_multipart_uploads(Bucket="bucket", Prefix=prefix)
        return [upload["Key"].removeprefix(prefix) for upload in found.get("Uploads", [])]

    # To this server every upload began in 2010.
    monkeypatch.setattr(upload_module, "FORGOTTEN", timedelta(days=36_500))
    Store(url).sweep("processed/t")
    assert len(left()) == 3
    monkeypatch.setattr(upload_module, "FORGOTTEN", timedelta(days=1))
    Store(url).sweep("processed/t")
    assert left() == ["/processed/tt/c.npy"]
