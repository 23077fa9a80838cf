"""Which input gives what, that nothing reads ahead of itself, and what is refused."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import mdth as package
from benchmarks import closed_loop
from mdth import devices, doctor, pipeline, spoken_mesh
from mdth.embedded.engine import Embedded
from mdth.embedded.motion.drive import Driver
from mdth.embedded.render.renderer import Renderer
from mdth.engine import Avatar
from mdth.face import find, geometry
from mdth.face.geometry import rotation_from_euler_deg
from mdth.media.video import probe_video, read_frames
from mdth.media.writer import VideoWriter
from mdth.motion.head import REST
from mdth.options import Options
from mdth.pipeline import frames
from tests.support.raising import raises


@pytest.fixture(scope="module")
def portrait(portrait_path: Path, checkpoints: Path) -> Avatar:
    return package.prepare(portrait_path, max_size=256)


@pytest.fixture(scope="module")
def clip(
    tmp_path_factory: pytest.TempPathFactory, portrait_path: Path, short_path: Path, checkpoints
) -> Path:
    """A clip of a person who turns and nods, silently: 3.20 s at 25 frames/s, with sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    person = package.prepare(portrait_path).portrait
    driver, renderer = Driver(person), Renderer(person)
    with VideoWriter(path, width=512, height=600, fps=25, sound=short_path) as writer:
        for angle in np.linspace(0, 4 * np.pi, 80):
            rotation = rotation_from_euler_deg(6 * np.sin(angle), 4 * np.sin(angle / 2), 0)
            mesh = driver.mesh(np.zeros((478, 3)), REST._replace(rotation=rotation))
            writer.write(renderer.frame(mesh))
    return path


def test_a_clip_alone_gives_face_sound_and_motion(clip: Path, tmp_path: Path) -> None:
    made = package.talk(None, None, tmp_path / "out.mp4", video=clip, fps=10)
    assert made["frames"] == pytest.approx(3.20 * 10, abs=1)
    assert list(made["inputs"]) == ["video"]
    info = probe_video(tmp_path / "out.mp4")
    assert (info.width, info.height, info.fps) == (512, 600, 10)


def test_the_clips_head_moves_the_portrait(
    clip: Path, portrait_path: Path, short_path: Path, tmp_path: Path
) -> None:
    package.talk(portrait_path, short_path, tmp_path / "out.mp4", video=clip, fps=25)
    package.talk(
        portrait_path, short_path, tmp_path / "still.mp4", fps=25, still=True, preview=True
    )
    turns = [yaw_pitch(path) for path in (clip, tmp_path / "out.mp4", tmp_path / "still.mp4")]
    led, made, still = turns
    count = min(len(led), len(made))
    for axis in range(2):
        # The one-euro filter comes a little after the clip. Both videos are tracked with noise.
        lag, correlation = closed_loop.best_lag(made[:count, axis], led[:count, axis])
        assert correlation > 0.85
        assert 0 <= lag <= 5
    assert still.std(axis=0).max() < made.std(axis=0).max() / 2


def yaw_pitch(path: Path) -> np.ndarray:
    meshes, _ = closed_loop.tracked_meshes(path)
    return geometry.euler_deg(geometry.head_pose(meshes).rotation)[:, :2]


def test_the_first_frame_of_a_long_speech_comes_at_once(portrait: Avatar) -> None:
    read = []

    def ten_minutes() -> Iterator[np.ndarray]:
        random = np.random.default_rng(0)
        for second in range(600):
            read.append(second)
            yield random.uniform(-0.1, 0.1, 16_000).astype(np.float32)

    with closing(frames(Embedded(), portrait, ten_minutes(), Options())) as film:
        next(film)
    # Nothing reads further than a frame needs: memory does not grow with the speech.
    assert len(read) <= 2


def test_a_folder_is_no_video(portrait: Avatar, short_path: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    out = tmp_path / "folder.mp4"
    raises(package.MdthError, "is a folder", package.talk, portrait, short_path, out, preview=True)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.mp4"]


def test_a_preview_is_a_second_of_sound(portrait: Avatar, short_path: Path, tmp_path: Path) -> None:
    seen = []
    package.talk(
        portrait, short_path, tmp_path / "out.mp4", preview=True,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(number, 30) for number in range(1, 31)]
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 30
    assert probe_video(tmp_path / "out.mp4").duration_s == pytest.approx(1.0, abs=0.04)


def test_gpus_are_counted_by_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.count_gpus() == 0
    for few in (0, 1):
        devices.check(few)
    listing = tmp_path / "nvidia-smi"
    listing.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: 1)'\necho 'GPU 1: B (UUID: 2)'\n")
    listing.chmod(0o755)
    assert devices.count_gpus() == 2
    devices.check(2)
    raises(package.DeviceError, "3 GPUs were asked for, 2 found", devices.check, 3)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: package.talk(3, "b.wav", "x.mp4"), "portrait 3: give the path"),
    (lambda: package.talk("a.jpg", b"b.wav", "x.mp4"), "speech b'b.wav': give the path"),
    (lambda: package.talk(b"x" * 99, "b.wav", "x.mp4"), r"^portrait b'x+\.\.\.x+': give"),
    (lambda: package.talk("a.jpg", "b.wav", "x.mp4", fps="30"), "fps '30'"),
    (lambda: package.talk("a.jpg", "b.wav", "x.mp4", fsp=30), "no option fsp; fps?"),
    (lambda: package.open_session("a.jpg"), "is no avatar"),
    (lambda: package.preprocess(3), "is not a twin id"),
    (lambda: package.talk("a\0.jpg", "b.wav", "x.mp4"), "no such file"),
    (lambda: package.talk("a.jpg", "b.wav", 7), "output 7: give the path"),
    (lambda: package.export_mesh("none.wav", "a.glb"), "no such file"),
    (lambda: package.talk("a.jpg", "b.wav"), "required positional argument: 'output'$"),
])  # fmt: skip
def test_wrong_values_end_in_words(
    call: Callable[[], object], words: str, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("MDTH_STORE", str(tmp_path))
    with pytest.raises(package.MdthError, match=words) as caught:
        call()
    assert "--" not in str(caught.value)


@pytest.mark.parametrize(("raised", "kind", "words"), [
    (ImportError("libGL.so.1: cannot open shared object file: No such file"), "MissingDependency",
     r"libGL\.so\.1.*apt-get install -y libegl1 libgles2 libgl1"),
    (OSError("libEGL.so.1: cannot open shared object file"), "MissingDependency", "libegl1"),
    (OSError("/lib/libEGL.so.1: file too short"), "MissingDependency", "or damaged; .* libegl1"),
    (OSError(30, "Read-only", "a"), "StorageError", "^a: Read-only; change its rights"),
    (RuntimeError("std::bad_alloc"), "LimitExceeded", "not enough memory"),
    (MemoryError(), "LimitExceeded", "not enough memory"),
    (OSError(28, "x"), "StorageError", "full"),
    (ValueError("embedded null byte"), "InputError", "NUL"),
    (KeyError("x"), "MdthError", "KeyError in line .*please report"),
])  # fmt: skip
def test_nothing_but_an_mdth_error(raised: Exception, kind: str, words: str, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(pipeline, "check_output", fail)
    monkeypatch.setattr(spoken_mesh, "check_output", fail)
    for call in (package.talk, package.export_mesh):
        with pytest.raises(package.MdthError, match=words) as caught:
            call("a.jpg", "b.wav", output="x.mp4") if call is package.talk else call(
                "b.wav", "x.glb"
            )
        assert type(caught.value).__name__ == kind


def test_a_missing_library_is_seen_before(
    portrait_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "missing_libraries", lambda: ["libEGL.so.1"])
    with pytest.raises(package.MissingDependency, match="libEGL.so.1; run: sudo apt-get install"):
        package.prepare(portrait_path, engine="embedded")
    assert "  embedded: needs libEGL.so.1; sudo apt-get install" in "\n".join(doctor.report())

    def without_opencv(_: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor.engines, "get", without_opencv)
    assert "  none can be loaded: libGL.so.1, a library" in "\n".join(doctor.report())
