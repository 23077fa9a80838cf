"""Files appear complete or not at all; what killed writers left goes, not what is written."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mdth.errors import in_words
from mdth.files.output import record_of
from mdth.files.write import alone, replacing, scratch_beside, sweep, sweep_parts

WRITER = """
import sys, time
from pathlib import Path
from mdth.files.write import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_there_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "below/a.txt"
    with replacing(target) as part:
        part.write_text("new")
        assert part.suffix == ".txt" and not target.exists()
    assert target.read_text() == "new"
    with pytest.raises(ValueError), replacing(target) as part:
        part.write_text("half")
        raise ValueError
    assert (target.read_text(), names(target.parent)) == ("new", {"a.txt"})


def test_the_longest_names_have_parts_and_records_of_their_own(tmp_path: Path) -> None:
    longest = [tmp_path / ("é" * 125 + end + ".mp4") for end in ("a", "b")]
    for target in longest:
        with replacing(target) as part:
            part.write_text("film")
        record_of(target).write_text("record")
    assert len(names(tmp_path)) == 4


def test_what_a_killed_writer_left_goes_and_what_is_written_stays(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "dead.txt")], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline() == b"writing\n"
        sweep_parts(tmp_path)
        assert len(names(tmp_path)) == 2  # the part and its lock
        writer.send_signal(signal.SIGKILL)
    # Of a process that is gone, though this number may be another process's by now.
    (tmp_path / f".b.mp4.{os.getpid()}-1.part").write_text("half")
    (tmp_path / f".c.{os.getpid()}-1.part.mp4.lock").touch()
    with replacing(tmp_path / "living.txt") as part:
        part.write_text("new")
        sweep_parts(tmp_path)
        assert names(tmp_path) == {part.name, f"{part.name}.lock"}
    assert names(tmp_path) == {"living.txt"}
    sweep_parts(tmp_path / "nowhere")


def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with alone(tmp_path / "t"), replacing(tmp_path / "t/a.txt") as part:
        part.write_text("a")
        sweep([tmp_path / "t"])
    assert (names(tmp_path / "t"), names(tmp_path)) == ({"a.txt"}, {"t"})


def test_what_a_full_disk_says_has_the_files_name(tmp_path: Path) -> None:
    with pytest.raises(OSError) as full, replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(in_words(full.value)).startswith(f"{tmp_path / 'a.txt'}: the disk is full")
    assert "TMPDIR" in str(in_words(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no such folder")
def test_a_folder_that_takes_no_file_is_not_waited_for() -> None:
    code = WRITER.replace("time.sleep(600)", "")
    command = [sys.executable, "-c", code, "/proc/a.txt"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr.endswith("No such file or directory: '/proc/a.txt'\n")


def test_without_the_modules_of_posix(tmp_path: Path) -> None:
    """As on Windows, as far as this machine can tell: the locks are files there."""
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from pathlib import Path\n"
        "from mdth.files.write import alone, replacing, sweep\n"
        "folder = Path(sys.argv[1])\n"
        "with alone(folder), replacing(folder / 'a.txt') as part:\n"
        "    part.write_text('a'); sweep([folder])\n"
        "print((folder / 'a.txt').read_text())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "t"], capture_output=True, text=True
    )
    assert ended.stdout == "a\n", ended.stderr
    assert names(tmp_path / "t") == {"a.txt"}


def test_scratch_folders_of_killed_runs_go(tmp_path: Path) -> None:
    (tmp_path / "t/processed/.part-abc/new/audio").mkdir(parents=True)
    (tmp_path / "t/processed/.part-abc/new/audio/speech.npy").write_text("x")
    (tmp_path / "t/processed/th").mkdir()
    sweep([tmp_path / "t", tmp_path / "nowhere"])
    assert names(tmp_path / "t/processed") == {"th"}
    with scratch_beside(tmp_path / "t/processed/th") as scratch:
        (scratch / "a.txt").write_text("a")
    assert not scratch.exists()


def test_who_comes_second_waits_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
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
        while thread.is_alive() and "waiting for another run" not in caplog.text:
            thread.join(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert names(tmp_path) == {"t"}


def enter(folder: Path, times: int) -> None:
    """In a process of its own: alone with the folder, so many times."""
    for _ in range(times):
        with alone(folder):
            (folder / "inside").mkdir()
            time.sleep(0.001)
            (folder / "inside").rmdir()


def test_never_two_at_once_although_the_lock_goes_each_time(tmp_path: Path) -> None:
    """The second `mkdir` would fail."""
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=enter, args=(tmp_path / "t", 40)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
