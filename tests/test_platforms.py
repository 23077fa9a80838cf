"""The main jobs on a system that lacks what only POSIX has, as far as Linux can play one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_media import make_wav

from mdth.media.video import probe_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for open files in /proc")

ELSEWHERE = '''
import errno, os, signal, sys, warnings

import platformdirs.unix  # Windows has a part of its own

for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None  # to import it is a ModuleNotFoundError
for name in (
    "fork killpg setpgid getpgid setsid sched_getaffinity sched_setaffinity mkfifo waitid "
    "geteuid getuid fchmod chown O_NOFOLLOW O_DIRECTORY O_CLOEXEC O_NONBLOCK"
).split():
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGALRM", "SIGPIPE", "SIGUSR1"):
    delattr(signal, name)
# Text that leaves its encoding to the system is another text in another country.
warnings.filterwarnings("error", category=EncodingWarning, module=r"mdth\\b")


def used(path):
    """Whether this process has the file open or in its memory."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        if os.path.realpath(path) in maps.read():
            return True
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.path.samestat(os.fstat(number), os.stat(path)):
                return True
        except OSError:
            pass
    return False


def as_windows(call):
    """Windows neither renames nor deletes nor replaces a file that is open."""

    def checked(*paths, **more):
        for path in () if more else paths:
            if os.path.isfile(path) and not os.fspath(path).endswith(".lock") and used(path):
                raise PermissionError(errno.EACCES, "another process uses it", path)
        return call(*paths, **more)

    return checked


def fsync(file, sync=os.fsync):
    """Windows writes no file down that is open for reading only."""
    with open(f"/proc/self/fdinfo/{file}", encoding="utf-8") as info:
        flags = next(line.split()[1] for line in info if line.startswith("flags"))
    if not int(flags, 8) & (os.O_WRONLY | os.O_RDWR):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    sync(file)


for name in ("replace", "rename", "unlink", "remove"):
    setattr(os, name, as_windows(getattr(os, name)))
os.fsync = fsync

from mdth import cli

if __name__ == "__main__":
    for command in COMMANDS:
        code = cli.main(command)
        if code:
            sys.exit(code)
    assert not hasattr(os, "fork") and sys.modules["fcntl"] is None
'''


def run(tmp_path: Path, *commands: list[object]) -> list[str]:
    """What the commands print, each run through the command line's `main` of one process."""
    script = tmp_path / "elsewhere.py"
    told = [[str(argument) for argument in command] for command in commands]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script.write_text(ELSEWHERE.replace("COMMANDS", repr(told)), "utf-8")
    ended = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", script],
        capture_output=True,
        encoding="utf-8",
        # What a pipe on Windows gets; and a place that is to be empty at the end.
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "TMPDIR": str(temporary)},
    )
    assert ended.returncode == 0, ended.stderr
    temporary.rmdir()
    return ended.stdout.splitlines()


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A second of sound."""
    heard = np.random.default_rng(0).uniform(-0.1, 0.1, 16_000)
    return make_wav(tmp_path / "second.wav", heard)


def test_talk_and_mesh_need_nothing_of_posix(
    tmp_path: Path, portrait_path: Path, second: Path, checkpoints: Path
) -> None:
    video, motion, raw = (tmp_path / name for name in ("видео.mp4", "out.csv", "out.rgb"))
    talk = ["talk", portrait_path, second, "--preview", "--max-size", 256, "-o"]
    printed = run(tmp_path, [*talk, video], [*talk, raw, "--raw"], ["mesh", second, "-o", motion])
    assert printed == [str(video), str(motion)]
    assert probe_video(video).duration_s == pytest.approx(1.0, abs=0.05)
    assert raw.stat().st_size == 30 * 256 * 218 * 3
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        "elsewhere.py",
        "second.wav",
        video.name,
        "видео.mdth.json",
        "out.csv",
        "out.csv.mdth.json",
        "out.rgb",
    }


def test_a_twins_tasks_need_nothing_of_posix(
    twin_home: Path, portrait_path: Path, second: Path
) -> None:
    for kind, source in (("audio", second), ("image", portrait_path)):
        (folder := twin_home / "store/raw/t" / kind).mkdir(parents=True)
        (folder / source.name).write_bytes(source.read_bytes())
    tasks = [["preprocess", "t", "--max-size", 256], ["inference", "t"]]
    run(twin_home, *tasks, *tasks)
    video = twin_home / "store/inference/t/th/output.mp4"
    assert probe_video(video).duration_s == pytest.approx(1.0, abs=0.05)
    assert not [
        path for path in twin_home.rglob("*") if ".part" in path.name or path.suffix == ".lock"
    ]
