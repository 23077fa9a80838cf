"""Jobs under limits: what takes all memory or never ends is one error, and nothing is left."""

import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mdth import guard
from mdth.errors import CheckpointError, LimitExceeded, MdthError, UnreadableMedia
from mdth.files import pickle as model_pickle
from mdth.media.audio import probe_sound
from mdth.media.video import probe_video
from tests.support.raising import raises

NESTED_KEYS = b"\x80\x02})q\x00" + b"".join(b"h\x00\x86q\x00" for _ in range(60)) + b"Ns."
MANY = 80_000_000


def set_limits(monkeypatch: pytest.MonkeyPatch, memory_gb: object, time_s: object) -> None:
    monkeypatch.setenv(guard.MEMORY_GB, str(memory_gb))
    monkeypatch.setenv(guard.TIME_S, str(time_s))
    # Another test of this process may have loaded the seed's networks, which may have more.
    monkeypatch.setattr(guard, "_memory_times", 1)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate 9 bytes")])
def test_too_much_memory_is_one_error_and_the_process_is_free_again(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limits(monkeypatch, 1.5, 1000)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(LimitExceeded, match=r"the 1\.5 GB it may have"), guard.limits():
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == 1_500_000_000 + guard._held
        with pytest.raises(MemoryError):
            bytearray(2_000_000_000)
        raise error
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_the_time_grows_with_sound_and_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    set_limits(monkeypatch, 0, 1000)
    guard.grow(5)  # of no job
    with guard.limits():
        guard.grow(5)
        assert 1900 < signal.getitimer(signal.ITIMER_VIRTUAL)[0] <= 2000.1
    monkeypatch.setenv(guard.TIME_S, "0")
    with guard.limits():
        guard.grow(5)
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0
    monkeypatch.setenv(guard.TIME_S, "long")
    with pytest.raises(MdthError, match="give a number"), guard.limits():
        pass


JOB = """
import logging, os, signal, sys, time
from pathlib import Path
from mdth import guard
from mdth.files.write import drop_parts, replacing

def job():
    with guard.limits(), replacing(Path("film.mp4")) as part:
        part.write_bytes(b"half")
        print(os.getpid(), flush=True)
        {what}
        return 7

def died(child, why):
    drop_parts(Path(), child)
    print(why)
    return 1

sys.exit(guard.watched(job, died))
"""


def start(what: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", JOB.format(what=what)],
        cwd=folder, text=True, stdout=subprocess.PIPE, env={**os.environ, guard.TIME_S: "0.5"},
    )  # fmt: skip


@pytest.mark.parametrize(("what", "code", "words", "left"), [
    ("pass", 7, "", ["film.mp4"]), ("sys.exit(3)", 3, "", []),
    ("while True: pass", 1, "more than 0.5 s of CPU time, and 0.1 s for each second", []),
    ("sum(range(10**12))", 1, "CPU time", []),  # in C until it is done
    ("os.abort()", 1, "a library crashed (SIGABRT)", []),
    ("os.kill(os.getpid(), signal.SIGKILL)", 1, "out of memory", []),
])  # fmt: skip
def test_a_jobs_end_is_told_and_nothing_is_left(
    what: str, code: int, words: str, left: list[str], tmp_path: Path
) -> None:
    process = start(what, tmp_path)
    said = process.communicate(timeout=600)[0]
    assert (process.returncode, words in said) == (code, True), said
    assert [path.name for path in tmp_path.iterdir()] == left


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_ends_with_its_parent(number: int, tmp_path: Path) -> None:
    process = start("time.sleep(600)", tmp_path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(number)
    process.communicate(timeout=600)
    while Path(f"/proc/{child}").exists():
        time.sleep(0.02)


def saved(path: Path, content: object) -> bytes:
    path.write_bytes(pickle.dumps(content, 2))
    return path.read_bytes()


def shared_arguments() -> bytes:
    """A hundred thousand arrays, each a copy of the same numbers."""
    zeros = b"\x80\x02cnumpy.core.numeric\n_frombuffer\nq\x00T\x00\x00\x02\x00" + bytes(1 << 17)
    one = b"h\x00h\x01U\x02f8q\x02K\x00\x85U\x01C\x86R"
    return zeros + b"q\x01" + one * 100_000


@pytest.mark.parametrize(("content", "words"), [
    (NESTED_KEYS, "CPU time"), (b"\x80\x02Nr\xff\xff\xff\xff.", "too large"),
    (b"\x80\x02]" + b"\x8e" + struct.pack("<Q", 1 << 40) + b".", ""),
    (shared_arguments(), ""),
])  # fmt: skip
@pytest.mark.parametrize("under_limits", [False, True])
def test_pickles_that_never_end(
    content: bytes, words: str, under_limits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python caller has no limits: a child reads the file. Under limits, no other is needed."""
    set_limits(monkeypatch, 1, 2)
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    if not under_limits:
        raises(CheckpointError, f"a.pkl.*{words}", model_pickle.arrays, path)
    elif content != NESTED_KEYS:
        with guard.limits():
            raises(CheckpointError, "a.pkl", model_pickle.arrays, path)


def test_arrays_come_back_from_the_child(tmp_path: Path) -> None:
    given = {"real": np.arange(6.0).reshape(2, 3), "text": "lbs", "file": np.arange(3)}
    saved(tmp_path / "a.pkl", given)
    found = model_pickle.arrays(tmp_path / "a.pkl")
    assert sorted(found) == ["file", "real"]
    np.testing.assert_array_equal(found["real"], given["real"])


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def many_samples() -> bytes:
    size = box(b"stsz", struct.pack(">III", 0, 1, MANY))
    time_s = box(b"stts", struct.pack(">IIII", 0, 1, MANY, 1000))
    table = box(b"stbl", time_s + size)
    return box(b"moov", box(b"trak", box(b"mdia", box(b"minf", table))))


def many_fragments() -> bytes:
    run = box(b"trun", struct.pack(">II", 0, MANY // 100))
    return box(b"moof", box(b"traf", run * 100))


@pytest.mark.parametrize("tables", [many_samples, many_fragments])
@pytest.mark.parametrize("probe", [probe_sound, probe_video])
def test_tables_that_promise_more_than_the_file_has(
    tables: Callable[[], bytes], probe: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "a.mov"
    path.write_bytes(box(b"ftyp", b"qt  \0\0\0\0qt  ") + tables() + bytes(30_000))
    raises(UnreadableMedia, "promises more", probe, path)


def test_a_zip_that_only_torch_sees(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from mdth.files import state_dict

    path = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(3)}, path)
    assert list(state_dict.read(path)) == ["a"]
    path.write_bytes(path.read_bytes() + b"PK\5\6")
    raises(CheckpointError, "a.pth", state_dict.read, path)


def test_the_command_line_is_limited(
    tmp_path: Path, portrait_path: Path, short_path: Path, checkpoints: Path
) -> None:
    command = [sys.executable, "-m", "mdth", "talk", portrait_path, short_path, "-o", "a.mp4"]
    for name, value, words in ((guard.MEMORY_GB, "0.2", "MDTH_MAX_MEMORY"),
                               (guard.TIME_S, "0.4", "CPU time")):  # fmt: skip
        ended = subprocess.run(
            list(map(str, command)), cwd=tmp_path, env={**os.environ, name: value}, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 1 and words in ended.stderr, ended.stderr
        assert len(ended.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_a_python_caller_keeps_its_process(
    tmp_path: Path, portrait_path: Path, short_path: Path, checkpoints: Path
) -> None:
    code = f"""
        import resource, signal, mdth
        mdth.talk({str(portrait_path)!r}, {str(short_path)!r}, "a.mp4", preview=True)
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0


def test_what_is_loaded_may_need_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a process holds the seed's networks its next jobs have to as well."""
    set_limits(monkeypatch, 1, 0)
    monkeypatch.setattr(guard, "_memory_times", 1)
    for times, allowed in ((2, 2_000_000_000), (0, resource.getrlimit(resource.RLIMIT_DATA)[1])):
        guard.allow_memory(times)
        with pytest.raises(LimitExceeded, match=f"the {times or 1} GB"), guard.limits():
            found = resource.getrlimit(resource.RLIMIT_DATA)[0]
            assert found == allowed + (guard._held if times else 0)
            raise MemoryError


def test_libraries_hold_no_memory_for_every_core_and_what_was_there_does_not_count() -> None:
    """On 16 cores numpy and OpenCV hold 2.8 GB of the 3 that a job may have."""
    code = """
        import os
        from mdth import guard
        held = bytearray(400_000_000)
        with guard.limits():
            import numpy, cv2
            assert len(os.listdir("/proc/self/task")) == 1
            more = bytearray(250_000_000)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    asked = {name: text for name, text in os.environ.items() if not name.endswith("NUM_THREADS")}
    asked |= {guard.MEMORY_GB: "0.5", "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(command, env=asked, check=False).returncode == 0


def test_no_library_switches_the_timer_off(
    tmp_path: Path, portrait_path: Path, checkpoints: Path
) -> None:
    """As MediaPipe does with SIGPROF once it looks for a face."""
    code = f"""
        import mdth, signal, time
        from mdth import guard
        with guard.limits():
            mdth.prepare({str(portrait_path)!r})
            left_s, _ = signal.getitimer(signal.ITIMER_VIRTUAL)
            assert left_s
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.1)  # what is left passes more quickly
            print("prepared", flush=True)
            while time.process_time() < 300: pass
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, guard.TIME_S: "200"},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (-signal.SIGVTALRM, "prepared\n")
