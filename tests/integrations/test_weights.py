"""ARKit's weights of a live avatar: the lines and packets say what its mesh does."""

import json
import socket
import struct
from pathlib import Path

import numpy as np
import pytest

import mdth
from mdth.cli import main
from mdth.errors import InputError
from mdth.integrations.weights import Face, json_line, live_weights, packet
from mdth.media.audio import read_blocks
from mdth.mesh import arkit
from tests.support.raising import raises


def test_a_packet_is_as_the_app_sends_it() -> None:
    """Laid out as receivers read it: version, device, subject, time, 61 big-endian numbers."""
    weights = np.arange(52) / 100
    data = packet(Face(weights, np.array([0.1, 0.2, 0.3]), 2.0), fps=25, subject="anna")
    assert data[0] == 6
    assert data[1:17] == struct.pack(">i4si4s", 4, b"anna", 4, b"anna")
    assert struct.unpack(">ifii", data[17:33]) == (50, 0.0, 25, 1)
    assert data[33] == 61 and len(data) == 34 + 61 * 4
    numbers = struct.unpack(">61f", data[34:])
    places = {name: numbers[place] for place, name in enumerate(UNREALS)}
    expected = {name: weights[place] for place, name in enumerate(arkit.SHAPES)}
    assert places == pytest.approx(expected, abs=1e-6)
    assert numbers[52:55] == pytest.approx((0.1, 0.2, 0.3)) and not any(numbers[55:])


# The first 24 of Unreal's EARFaceBlendShape, and the rest as in the CSV.
UNREALS = [*arkit.SHAPES[:14], *(
    "JawForward JawLeft JawRight JawOpen MouthClose MouthFunnel MouthPucker MouthLeft MouthRight"
).split(), *arkit.SHAPES[23:]]  # fmt: skip


def test_the_weights_are_those_of_the_speech(portrait_path: Path, short_path: Path) -> None:
    live, weights = live_weights(mdth.prepare(portrait_path, max_size=256, engine="embedded"))
    for block in read_blocks(short_path):
        live.push(block)
    live.end_of_speech()
    faces = []
    for frame in live:
        faces.append(weights(frame))
        if len(faces) == 100:
            break
    line = json.loads(json_line(faces[-1], live.state))
    assert line["state"] == "idle" and line["time_s"] == 99 / 25 and len(line["weights"]) == 52
    jaw = np.array([face.weights[arkit.SHAPES.index("JawOpen")] for face in faces])
    loud = [np.abs(block).max() for block in read_blocks(short_path)]
    assert jaw[: 25 * len(loud) // 2].max() > 0.1 and jaw[90:].max() < 0.02
    assert np.ptp([face.head for face in faces], axis=0).max() > 0.005


def test_from_the_command_line(
    portrait_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given, lines = [str(portrait_path), "--max-size", "128", "--seconds", "0.4"], tmp_path / "w"
    monkeypatch.setattr("sys.stdin", (tmp_path / "silence").open("w+"))
    assert main(["live", *given, "--weights", "-o", str(lines)]) == 0
    assert len(lines.read_text().splitlines()) == 10
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        place = f"127.0.0.1:{receiver.getsockname()[1]}"
        assert main(["live", *given, "--weights", place, "-o", str(lines)]) == 0
        assert len(receiver.recv(1000)) == 278
    assert main(["live", *given, "--weights", "nowhere"]) == 1
    assert "HOST:PORT" in capfd.readouterr().err
    assert main(["live", *given, "--weights", "nowhere.invalid:99"]) == 1
    assert "nowhere.invalid:99" in capfd.readouterr().err


def test_a_clip_has_none(tmp_path: Path) -> None:
    raises(
        InputError,
        "picture's avatar",
        live_weights,
        object.__new__(type("A", (), {"engine": "embedded"})),
    )
