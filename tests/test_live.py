"""A live avatar: sound in, a person who speaks out, for ever; on a clock of the test's own."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

import av
import numpy as np
import pytest

import mdth
from mdth import engines
from mdth.artefacts import SPEECH_RATE_HZ
from mdth.embedded.session import Drive
from mdth.engine import Avatar
from mdth.face import geometry
from mdth.face.tracker import FaceTracker
from mdth.live_session import SHUT_S, LiveFrame, LiveSession
from mdth.media.audio import read_blocks
from mdth.media.transport import TransportWriter
from mdth.motion.head import SpokenHead
from mdth.options import MotionOptions, Options

RATE, FRAME = 16_000, 640
LOOK_AHEAD_S = 0.148
EXAMPLES = Path(mdth.__file__).parent / "examples"


class Clock:
    """Time that passes while somebody waits, and `busy_s` with each look at it."""

    def __init__(self) -> None:
        self.now_s, self.busy_s = 100.0, 0.0

    def monotonic(self) -> float:
        self.now_s += self.busy_s
        return self.now_s

    def sleep(self, seconds: float, /) -> None:
        self.now_s += seconds


class Echo:
    """A session whose pictures are the loudness of their own sound; it may only unhear its own."""

    size, look_ahead_s = (2, 2), LOOK_AHEAD_S

    def __init__(self, fps: int = 25) -> None:
        self.fps, self.number, self.heard, self.first = fps, 0, np.zeros(0, np.float32), 0

    def feed(self, sound: np.ndarray) -> Iterator[np.ndarray]:
        self.heard = np.concatenate([self.heard, sound])
        while self.first + len(self.heard) >= (self.number / self.fps + LOOK_AHEAD_S) * RATE:
            start = round(self.number * RATE / self.fps) - self.first
            self.number += 1
            level = np.abs(self.heard[start : start + RATE // self.fps]).max()
            self.heard, self.first = self.heard[start:], self.first + start
            yield np.full((2, 2, 3), np.ceil(100 * level), np.uint8)

    def begin(self, sound: np.ndarray, *, drawn: bool = True) -> Iterator[Callable[[], np.ndarray]]:
        return (partial(np.asarray, picture) for picture in self.feed(sound))

    def rewind(self, sample: int, *, forget: bool = False) -> None:
        assert self.number / self.fps * RATE - 1 <= sample <= self.first + len(self.heard)
        self.heard = self.heard[: sample - self.first]

    def listen(self, sound: np.ndarray) -> None:
        pass

    def finish(self) -> Iterator[np.ndarray]:
        raise AssertionError("it never ends")

    def close(self) -> None:
        pass


class Meshes:
    """The embedded engine without its pictures: meshes [478,3] px instead."""

    size, fps, look_ahead_s = (512, 512), 25, LOOK_AHEAD_S

    def __init__(self, drive: Drive) -> None:
        self.feed: Any = drive.feed
        self.rewind, self.listen, self.close = drive.rewind, drive.listen, lambda: None

    def begin(self, sound: np.ndarray, *, drawn: bool = True) -> Iterator[Any]:
        return (partial(np.asarray, mesh) for mesh in self.feed(sound))


@pytest.fixture(scope="module")
def avatar(portrait_path: Path) -> Avatar:
    return mdth.prepare(portrait_path, max_size=256, engine="embedded")


@pytest.fixture(scope="module")
def speech(short_path: Path) -> np.ndarray:
    """3 s."""
    return np.concatenate(list(read_blocks(short_path)))[: 3 * RATE]


def drive(avatar: Avatar) -> Drive:
    return engines.get("embedded").drive(avatar, Options.of(fps=25, engine_mesh="live"))  # type: ignore[attr-defined,no-any-return]


def taken(
    live: LiveSession, count: int, doing: dict[int, Callable[[], object]] | None = None
) -> tuple[list[LiveFrame], list[str]]:
    """Frames and states; what to do before which."""
    frames, states = [], []
    for number in range(count):
        (doing or {}).get(number, lambda: None)()
        frames.append(next(live))
        states.append(live.state)
    return frames, states


def opening(frames: list[LiveFrame]) -> np.ndarray:
    """Of the lips, in eye distances."""
    meshes = np.stack([np.asarray(frame.picture) for frame in frames])
    return geometry.lip_opening(meshes) / geometry.head_pose(meshes).scale


def whole(live: LiveSession, sound: np.ndarray) -> Callable[[], None]:
    def push() -> None:
        live.push(sound)
        live.end_of_speech()

    return push


def test_speech_begins_is_interrupted_and_the_face_goes_on(
    avatar: Avatar, speech: np.ndarray
) -> None:
    live = LiveSession(Meshes(drive(avatar)))
    frames, states = taken(live, 120, {40: whole(live, speech), 80: live.interrupt})
    assert states[:40] == ["idle"] * 40 and states[40:80] == ["speaking"] * 40
    assert states[80:] == ["interrupted"] * 4 + ["idle"] * 36
    # The speech comes at once and whole, and nothing of it after the interruption.
    sound = np.concatenate([frame.sound for frame in frames])
    np.testing.assert_array_equal(sound[40 * FRAME : 80 * FRAME], speech[: 40 * FRAME])
    assert not sound[: 40 * FRAME].any() and not sound[80 * FRAME :].any()
    # The mouth says what it says in a file, once it has gone over, and shuts in time.
    moved, file = opening(frames), drive(avatar)
    of_file = opening(
        [LiveFrame(mesh, speech, 0.0) for mesh in (*file.feed(speech), *file.finish())]
    )  # type: ignore[arg-type]
    # (windows lie elsewhere over the same speech)
    np.testing.assert_allclose(moved[45:79], of_file[5:39], atol=0.1 * of_file.max())
    assert np.corrcoef(moved[45:79], of_file[5:39])[0, 1] > 0.99
    assert moved[40:80].max() > 0.1
    assert moved[80 + round(SHUT_S * 25) - 1 :].max() < 0.004
    meshes = np.stack([np.asarray(frame.picture) for frame in frames])
    change = np.linalg.norm(np.diff(meshes, axis=0), axis=2).max(axis=1)
    usual = np.quantile(change[45:79], 0.95)
    assert change[38:42].max() < usual and change[78:84].max() < 1.5 * usual


def test_a_yes_of_a_quarter_second_speaks(avatar: Avatar, speech: np.ndarray) -> None:
    loud = int(np.abs(speech).argmax())
    live = LiveSession(Meshes(drive(avatar)))
    frames, states = taken(live, 60, {20: whole(live, speech[loud : loud + 4000])})
    assert states[20:27] == ["speaking"] * 7 and set(states[27:]) == {"idle"}
    assert opening(frames)[20:30].max() > 0.05 and opening(frames)[45:].max() < 0.02


def test_as_a_microphone_sends(speech: np.ndarray) -> None:
    """Unevenly and in real time: all of it comes in one piece, as late as the look-ahead."""
    live, blocks = LiveSession(Echo()), np.split(speech, 75)
    late = {31: [], 32: [], 33: blocks[31:34]}  # the network stood still
    states, frames = [], []
    for number in range(110):
        for block in late.get(number, blocks[number : number + 1]):
            live.push(block)
        frames.append(next(live))
        states.append(live.state)
    sound = np.concatenate([frame.sound for frame in frames])
    first = states.index("speaking")
    assert first == int((LOOK_AHEAD_S + 0.02) * 25)
    np.testing.assert_array_equal(sound[first * FRAME :][: len(speech)], speech)
    assert states[first : first + 75] == ["speaking"] * 75
    assert states[first + 75 :] == ["starved"] * (35 - first)
    live.end_of_speech()
    next(live)
    assert live.state == "idle"


@pytest.mark.parametrize(("fps", "hours"), [(25, 0.1), (30, 1)])
def test_an_hour_neither_drifts_nor_grows(fps: int, hours: float) -> None:
    clock = Clock()
    live = LiveSession(Echo(fps), pace=True, clock=clock)
    samples = clicks = 0
    for number in range(round(hours * 3600 * fps)):
        if number % (10 * fps) == 0:
            live.push(np.full(800, 0.5))
            live.end_of_speech()
        picture, sound, time_s = next(live)
        assert abs(samples / RATE - time_s) <= 0.5 / RATE
        assert (picture.max() > 0) == bool(sound.any())
        samples += len(sound)
        clicks += int(np.count_nonzero(sound))
    assert clicks == hours * 360 * 800 and abs(clock.now_s - 100 - hours * 3600) < 0.1
    assert live.repeated == 0 and not live._pushed.count


def test_the_engine_holds_no_more_after_minutes(avatar: Avatar) -> None:
    """Whatever its objects and theirs hold, each time when the windows lie alike."""
    driven = drive(avatar)
    live = LiveSession(Meshes(driven))
    sizes = []
    for _ in range(3):
        taken(live, 16 * 39, {100: whole(live, np.full(8000, 0.1)), 110: live.interrupt})
        sizes.append(held(driven, set()) + held(live, set()))
    assert sizes[0] > 1_000_000 and abs(sizes[2] - sizes[1]) < 100, sizes


def held(thing: object, seen: set[int]) -> int:
    if id(thing) in seen or isinstance(thing, type | type(sys)) or callable(thing):
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    parts = list(thing.values()) if isinstance(thing, dict) else []
    if hasattr(thing, "gi_frame") and thing.gi_frame:
        parts += thing.gi_frame.f_locals.values()
    elif hasattr(thing, "__dict__"):
        parts += vars(thing).values()
    elif hasattr(thing, "__len__") and not isinstance(thing, str | bytes | dict):
        parts += list(thing)  # type: ignore[call-overload]
    return sys.getsizeof(thing) + sum(held(part, seen) for part in parts)


def test_late_frames_show_the_picture_before_and_the_sound_keeps_time() -> None:
    clock = Clock()
    live = LiveSession(Echo(), pace=True, clock=clock)
    clock.busy_s = 0.06  # a frame takes that much
    taken(live, 50)
    assert live.repeated > 40
    clock.busy_s = 0.01
    taken(live, 150)
    repeated = live.repeated
    taken(live, 50)
    assert live.repeated == repeated and abs(clock.now_s - 100 - 250 / 25) < 0.1


def test_too_slow_it_draws_fewer_frames_evenly_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, echo = Clock(), Echo()
    live = LiveSession(echo, pace=True, clock=clock)
    begin, drawn = echo.begin, []

    def draw(picture: Callable[[], np.ndarray]) -> np.ndarray:
        drawn.append(live._number)
        clock.now_s += 0.06
        return picture()

    echo.begin = lambda sound, **more: (partial(draw, p) for p in begin(sound))  # type: ignore[method-assign]
    taken(live, 150)
    assert live.drawn_fps == 12.5 and "12.5 of 25 frames" in caplog.text
    assert drawn[-40:] == list(range(drawn[-1] - 78, drawn[-1] + 1, 2))
    assert abs(clock.now_s - 100 - 150 / 25) < 0.1, "in step"
    echo.begin = begin  # type: ignore[method-assign]
    taken(live, 150)
    assert live.drawn_fps == 25


def test_an_interruption_while_a_frame_is_drawn() -> None:
    echo = Echo()
    live = LiveSession(echo)
    live.push(np.full(RATE, 0.5, np.float32))
    feed = echo.feed

    def interrupted(sound: np.ndarray) -> Iterator[np.ndarray]:
        yield from feed(sound)
        live.interrupt()

    assert next(live).sound.any()
    echo.feed = lambda sound: iter([*interrupted(sound)])  # type: ignore[method-assign]
    assert not next(live).sound.any() and live.state == "interrupted"
    echo.feed = feed  # type: ignore[method-assign]
    assert not any(frame.sound.any() or frame.picture.any() for frame in taken(live, 30)[0])


def test_two_frames_are_drawn_at_once_and_come_in_order() -> None:
    echo, both = Echo(), threading.Barrier(2, timeout=20)
    begin, live = (
        echo.begin,
        LiveSession(echo, pace=True, clock=Clock(), pool=ThreadPoolExecutor(2)),
    )

    def draw(picture: Callable[[], np.ndarray]) -> np.ndarray:
        both.wait()
        return picture()

    echo.begin = lambda sound, **more: (partial(draw, p) for p in begin(sound))  # type: ignore[method-assign]
    levels = np.repeat(np.arange(1, 26, dtype=np.float32) / 25, FRAME)
    whole(live, levels)()
    frames, _ = taken(live, 9)
    np.testing.assert_array_equal([f.picture.max() for f in frames], 4 * np.arange(1, 10))
    np.testing.assert_array_equal(np.concatenate([f.sound for f in frames]), levels[: 9 * FRAME])
    assert live.waiting_s == pytest.approx(16 / 25) and live.repeated == 0
    live.interrupt()  # while the tenth is on its way
    assert not next(live).sound.any() and live.state == "interrupted" and live.waiting_s == 0
    live.close()
    assert live.closed and list(live) == []


def test_ends_of_utterances_are_told_when_their_last_sound_is_shown() -> None:
    live, sound = LiveSession(Echo()), np.full(RATE, 0.5)
    live.end_of_speech()  # of nothing
    for samples in (4800, 320):  # which end 7.5 and 8 frames from now
        whole(live, sound[:samples])()
    live.push(sound[:FRAME])
    live.end_of_speech()
    live.end_of_speech()

    def frame() -> tuple[int, float]:
        next(live)
        return live.ended, round(live.waiting_s * 25, 3)

    told = [frame() for _ in range(10)]
    assert told == [(0, 8 - n) for n in range(7)] + [(2, 1), (1, 0), (0, 0)]
    whole(live, sound[: 2 * FRAME])()
    assert frame() == (0, 1)
    live.interrupt()
    assert [frame() for _ in range(9)] == [(0, 0)] * 9


def test_what_is_not_drawn_is_not_heard(avatar: Avatar, speech: np.ndarray) -> None:
    """And what is drawn after it is as if all had been."""
    skips, feeds = drive(avatar), drive(avatar)
    heard, hear = [], skips._spoken._hear  # type: ignore[union-attr]
    skips._spoken._hear = lambda window: heard.append(1) or hear(window)  # type: ignore[union-attr]
    for number, block in enumerate(np.split(speech, 75)):
        skipped = list(skips.feed(block, seen=number % 3 == 0))
        fed = list(feeds.feed(block))
        assert len(skipped) == len(fed)
        if number % 3 == 0:
            np.testing.assert_array_equal(skipped, fed)
    assert len(heard) < 30


def test_sound_of_any_kind() -> None:
    """Comes back at its own rate as it was, or at another one in step, an utterance at a time."""
    pairs = [(hz, RATE) for hz in (8000, 16_000, 24_000, 44_100, 48_000)]
    for rate_hz, sound_hz in [*pairs, (24_000, 24_000), (16_000, 48_000), (48_000, 22_050)]:
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)
        given = (tone * 32767).astype(np.int16)
        live = LiveSession(Echo(), sound_hz=sound_hz)
        for block in np.array_split(given, 37):
            live.push(block, rate_hz=rate_hz)
        live.end_of_speech()
        frames, _ = taken(live, 30)
        assert {len(frame.sound) for frame in frames} == {round(sound_hz / 25)}
        sound = np.concatenate([frame.sound for frame in frames])
        assert sound.dtype == np.float32 and not sound[sound_hz + 100 :].any()
        wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(sound_hz) / sound_hz)
        np.testing.assert_allclose(sound[200 : sound_hz - 200], wanted[200:-200], atol=0.01)
        if rate_hz == sound_hz:
            np.testing.assert_array_equal(sound[:sound_hz], given / np.float32(32768))
    live = LiveSession(Echo(30), sound_hz=24_000)
    for _ in range(2):
        whole(live, np.full(1601, 0.5))()
    sounds = [next(live).sound for _ in range(12)]
    assert [len(sound) for sound in sounds] == [800] * 12
    assert np.count_nonzero(np.concatenate(sounds) > 0.4) == pytest.approx(4803, abs=20)
    assert not np.concatenate(sounds)[4820:].any()
    for wrong in (np.zeros((2, 5)), np.zeros(5, np.int32), ["a"]):
        with pytest.raises(mdth.InputError, match="give floats or int16"):
            live.push(wrong)
    with pytest.raises(mdth.InputError, match="7 Hz: give"):
        live.push(np.zeros(5), rate_hz=7)


def test_it_is_closed_and_what_cannot_live_says_so(avatar: Avatar, portrait_path: Path) -> None:
    live = mdth.live(avatar)
    assert live.fps == 25
    first = next(live)
    assert first.picture.shape == (*live.size[::-1], 3) and first.sound.shape == (FRAME,)
    live.close()
    live.close()
    assert list(live) == []
    with pytest.raises(mdth.InputError, match="was closed"):
        live.push(np.zeros(5))
    echo = Echo()
    echo.look_ahead_s = float("inf")
    with pytest.raises(mdth.InputError, match="hears a speech to its end first"):
        LiveSession(echo)


def test_a_clip_lives_to_and_fro(checkpoints: Path, speech: np.ndarray) -> None:
    live = mdth.live(mdth.prepare(EXAMPLES / "clip.mp4"), fps=30)
    assert (live.size, live.fps) == ((288, 288), 25)
    frames, states = taken(live, 240, {100: whole(live, speech), 150: live.interrupt})
    assert states[100:150] == ["speaking"] * 50 and states[154:] == ["idle"] * 86
    np.testing.assert_array_equal(frames[100].sound, speech[:FRAME])
    pictures = np.stack([frame.picture for frame in frames]).astype(int)
    # 75 frames, then all of them back, and again; the mouth rests in all of these.
    there, back = pictures[20:60], pictures[149 - 59 : 149 - 19][::-1]
    head = np.s_[:, :120]
    np.testing.assert_allclose(there[head], back[head], atol=1)
    assert np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3)).max() < 10
    with FaceTracker() as tracker:
        meshes = [tracker.faces(frames[number].picture)[0] for number in range(104, 180)]
    lips = opening([LiveFrame(mesh, speech, 0.0) for mesh in meshes])  # type: ignore[arg-type]
    assert lips[:46].std() > 3 * lips[52:].std() and lips[52:].max() < 0.08
    live.close()


def test_the_head_hears_an_utterance_that_cuts_in_from_its_beginning() -> None:
    """So that its pace rises as with one in a file, at most a fifth of a second later."""
    head, step = SpokenHead(MotionOptions()), SPEECH_RATE_HZ // 25
    voice, quiet = np.full(20 * step, 0.3, np.float32), np.zeros(4 * step, np.float32)
    strengths = head._each_strength()
    heard = []
    for number in range(60):
        head.hear(quiet[:step] if number < 20 or number >= 40 else voice[:step])
        if number == 19:  # what was heard ahead was silence
            head.hear(quiet)
            heard += [next(strengths) for _ in range(4)]
            head.rewind(len(quiet))
        heard.append(next(strengths))
    loud = np.flatnonzero(np.array(heard) > 0.5)
    assert len(loud) == 20 and loud[0] - 20 - 4 <= 5
    assert head._late == 0, "made up for"


def test_a_silent_avatar_answers_what_it_hears(avatar: Avatar, speech: np.ndarray) -> None:
    """It nods after the speech and looks at the speaker; while it speaks itself it does not."""

    def pitches(says: bool) -> np.ndarray:
        live = LiveSession(Meshes(drive(avatar)))
        alone = LiveSession(Meshes(drive(avatar)))
        for one in (live, alone):
            taken(one, 75)
            if says:
                one.push(np.tile(speech, 3))
        others = np.split(np.concatenate([speech, np.zeros(RATE, np.float32)]), 100)
        both = []
        for block in others:
            live.hear(block)
            both.append([np.asarray(next(one).picture) for one in (live, alone)])
        tracks = np.array(both).swapaxes(0, 1)
        nodding, usual = (geometry.head_pose(track).rotation for track in tracks)
        return geometry.euler_deg(nodding @ usual.swapaxes(1, 2))[:, 1]

    nods = pitches(says=False)
    assert nods.max() > 2 and np.abs(nods[:15]).max() < 0.2 and abs(nods[-1]) < 0.5
    assert np.abs(pitches(says=True)).max() < 0.3


def test_a_stream_has_picture_and_sound_in_step_at_once() -> None:
    """Decoded by FFmpeg: a flash and a tone begin together; a frame is there once it is written."""
    out = io.BytesIO()
    with TransportWriter(out, size=(64, 48), fps=25, metadata={}) as stream:
        for number in range(50):
            flash = number >= 25
            sound = 0.8 * flash * np.sin(np.arange(FRAME))
            stream.write(np.full((48, 64, 3), 255 * flash, np.uint8), sound.astype(np.float32))
            assert number < 5 or len(decoded(out.getvalue())[0]) >= number
    pictures, sounds = decoded(out.getvalue())
    assert len(pictures) == 50
    lit = next(frame.time for frame in pictures if frame.to_ndarray(format="gray").mean() > 128)
    rows = [(frame.time, frame.to_ndarray()[0]) for frame in sounds]
    loud = next(time + np.argmax(np.abs(row) > 0.2) / RATE for time, row in rows if row.max() > 0.2)
    assert abs(lit - loud) < 0.02


def decoded(stream: bytes) -> tuple[list[Any], list[Any]]:
    with av.open(io.BytesIO(stream)) as file:
        frames = [frame for packet in file.demux() for frame in packet.decode()]
    return tuple(
        [f for f in frames if isinstance(f, kind)] for kind in (av.VideoFrame, av.AudioFrame)
    )  # type: ignore[return-value]


@pytest.mark.parametrize("raw", [False, True])
def test_the_command(avatar: Avatar, tmp_path: Path, raw: bool) -> None:
    engines.save(avatar, tmp_path / "anna")
    run = [sys.executable, "-m", "mdth", "live", tmp_path / "anna", "--seconds", "1"]
    sound = (8000 * np.sin(np.arange(RATE))).astype("<i2").tobytes()
    done = subprocess.run([*run, *["--raw"] * raw], input=sound, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    height, width = avatar.portrait.image.shape[:2]
    if raw:
        assert len(done.stdout) == 25 * height * width * 3
        return
    pictures, sounds = decoded(done.stdout)
    assert [(f.width, f.height) for f in pictures] == [(width, height)] * 25
    assert max(np.abs(frame.to_ndarray()).max() for frame in sounds) > 0.1


@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        (["-o", "a.png"], {}, "a.png: is the avatar; write to another place"),
        ([], {"MDTH_MAX_TIME": "0.1"}, "or set MDTH_MAX_TIME"),
    ],
)
def test_the_command_has_limits(
    portrait_path: Path, tmp_path: Path, options: list[str], settings: dict[str, str], words: str
) -> None:
    picture = copyfile(portrait_path, tmp_path / "a.png").read_bytes()
    run = [sys.executable, "-m", "mdth", "live", "a.png", *options]
    environment = os.environ | settings
    done = subprocess.run(run, input=b"", capture_output=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1 and words in done.stderr.decode()
    assert (tmp_path / "a.png").read_bytes() == picture
