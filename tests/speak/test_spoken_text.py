"""The voice: what it says is as long as its symbols say, in a file and in a video."""

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mdth
from mdth.cli import main
from mdth.errors import InputError
from mdth.files import assets
from mdth.media.audio import probe_sound, read_blocks
from mdth.speak import voice
from tests.support.raising import raises

HERE = pytest.mark.skipif(
    any(asset.problem for asset in assets.named(assets.of_extra("speak"))),
    reason="the models of the extra speak are not here: mdth assets fetch speak",
)


def test_voices_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["voices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 28 and "bm_lewis  British man" in lines


@pytest.mark.parametrize(("name", "words"), [
    ("heart", "choose one of af_alloy"), ("ff_siwis", "another language"), ("", "choose one of"),
    ("af_heart:x", "weight"), ("af_heart,", "choose one of"), ("../af_heart", "choose one of"),
])  # fmt: skip
def test_what_is_no_voice(name: str, words: str) -> None:
    raises(InputError, words, mdth.Voice, name)


@pytest.mark.parametrize("arguments", [
    ["talk", "a.jpg", "b.wav", "--text", "Hi.", "-o", "c.mp4"], ["dub", "a.mp4", "-o", "c.mp4"],
    ["voices", "af_heart"], ["voices", "-o", "x.wav"], ["voices", "af_heart", "-o", "x.mp3"],
])  # fmt: skip
def test_wrong_calls_end_in_words(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1 and not list(tmp_path.iterdir())


@HERE
def test_the_sound_is_as_long_as_its_symbols() -> None:
    kokoro = voice.Kokoro(threads=1)
    sound, durations_s = kokoro.synthesize("mI lˈɪp.", "af_heart:0.5,bm_lewis:0.5")
    assert len(durations_s) == len("mI lˈɪp.") + 2
    assert durations_s.sum() * voice.RATE_HZ == pytest.approx(len(sound), abs=1)
    assert 0.1 < np.abs(sound).max() < 1
    raises(InputError, "unknown among them", kokoro.synthesize, "mI 我", "af_heart")


@HERE
def test_a_portrait_says_a_text(portrait_path: Path, tmp_path: Path) -> None:
    """Both numbers are said: the video is as long as the sound of all its words."""
    text, target = "We made 25 videos. Paul saw 2.", tmp_path / "out.mp4"
    record = mdth.talk(
        portrait_path, None, target, text=text, fps=10, max_size=128, voice_speed=1.2
    )
    assert record["text"] == text and "speech" not in record["inputs"]
    assert record == json.loads(target.with_suffix(".mdth.json").read_text())
    sentences = list(mdth.Voice(speed=1.2).say(text))
    assert [sentence.text for sentence in sentences] == ["We made 25 videos.", "Paul saw 2."]
    sound = np.concatenate([sentence.sound for sentence in sentences])
    video = np.concatenate(list(read_blocks(target, voice.RATE_HZ)))
    length = min(len(video), len(sound))
    assert abs(len(video) - len(sound)) < 0.1 * voice.RATE_HZ
    assert np.corrcoef(video[:length], sound[:length])[0, 1] > 0.95
    raises(InputError, "Blorf", mdth.talk, portrait_path, None, target, text="Blorf.")


@HERE
def test_a_sample_is_written(tmp_path: Path) -> None:
    path = tmp_path / "v.wav"
    assert main(["voices", "bf_emma", "-o", str(path), "--text", "Yes."]) == 0
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels()) == (voice.RATE_HZ, 1)
    assert 0.3 < (probe_sound(path).duration_s or 0) < 3


@HERE
def test_a_live_avatar_says_lines_as_they_come(
    portrait_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """What cannot be said is told, and the next line is said."""
    (tmp_path / "lines").write_text("Blorf.\n\nYes.\n", "utf-8")
    out = tmp_path / "l.ts"
    with (tmp_path / "lines").open() as lines:
        monkeypatch.setattr("sys.stdin", lines)
        given = ["live", str(portrait_path), "--max-size", "128", "--text", "-", "-o", str(out)]
        assert main(given) == 0
    assert any("Blorf" in message for message in caplog.messages)
    sound = np.concatenate(list(read_blocks(out)))
    assert 0.1 < (np.abs(sound) > 0.02).sum() / 16_000 < 2
