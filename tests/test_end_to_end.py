"""One real clip, from a portrait and a sentence to an mp4 that does what it was told."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import mdth as package
from benchmarks import closed_loop
from mdth.embedded.engine import Embedded
from mdth.engine import Source
from mdth.files import assets
from mdth.media.audio import read_blocks
from mdth.options import Options

FPS = 25


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, portrait_path: Path, short_path: Path, checkpoints
) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("made") / "out.mp4"
    return path, package.talk(portrait_path, short_path, path, fps=FPS, random_seed=3)


def test_browsers_play_it(made: tuple[Path, dict[str, Any]]) -> None:
    path, _ = made
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(path)) as video:
        (pictures,), (sound,) = video.streams.video, video.streams.audio
        assert (pictures.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert pictures.codec_context.pix_fmt == "yuv420p"
        assert (pictures.width, pictures.height) == (512, 600)
        assert pictures.average_rate == Fraction(FPS)
        assert sound.rate == 24_000
        assert "ynthetic" in video.metadata["comment"]
        assert video.duration / 1e6 == pytest.approx(3.30, abs=1 / FPS)
        assert sum(1 for _ in video.decode(pictures)) == round(3.30 * FPS)


def test_the_sound_is_the_originals(made: tuple[Path, dict[str, Any]], short_path: Path) -> None:
    given = np.concatenate(list(read_blocks(short_path)))
    carried = np.concatenate(list(read_blocks(made[0])))[: len(given)]
    assert len(carried) == pytest.approx(len(given), abs=16_000 / FPS)
    shared = given[: len(carried)]
    scores = [np.dot(np.roll(carried, -lag), shared) for lag in range(-40, 41)]
    assert abs(int(np.argmax(scores)) - 40) <= 1
    assert carried.std() / shared.std() == pytest.approx(1, abs=0.02)


def test_the_record_beside_it(made: tuple[Path, dict[str, Any]], short_path: Path) -> None:
    path, returned = made
    record = json.loads(path.with_suffix(".mdth.json").read_text())
    assert record == returned and record["synthetic"] is True
    assert (record["frames"], record["settings"]["random_seed"]) == (round(3.30 * FPS), 3)
    assert record["inputs"]["speech"]["name"] == short_path.name
    assert len(record["inputs"]["portrait"]["sha256"]) == 64
    assert set(record["models"]) >= set(assets.of_extra())
    assert {"prepare", "speech to mesh", "retarget", "paint", "total"} <= set(record["seconds"])


def test_the_mouth_does_what_it_was_told(
    portrait_path: Path, short_path: Path, made: tuple[Path, Any]
) -> None:
    options, engine = Options.of(fps=FPS, random_seed=3), Embedded()
    drive = engine.drive(engine.prepare(Source(portrait_path), options), options)
    meshes = [mesh for block in read_blocks(short_path) for mesh in drive.feed(block)]
    driven = np.stack([*meshes, *drive.finish()])
    tracked, found = closed_loop.tracked_meshes(made[0])
    assert found.all()
    told, seen = closed_loop.opening(driven), closed_loop.opening(tracked)
    assert closed_loop.correlation(told, seen) > 0.93
    assert closed_loop.best_lag(seen, told)[0] == 0
    assert told.max() > 0.06


TURKISH = Path("/usr/share/i18n/locales/tr_TR")


@pytest.mark.skipif(not TURKISH.exists(), reason="the system cannot make the locale")
def test_in_a_language_with_other_letters_and_decimal_commas(
    tmp_path: Path, portrait_path: Path, short_path: Path, checkpoints: Path
) -> None:
    """Of a program that calls setlocale, as those with windows do."""
    run, made = subprocess.run, tmp_path / "tr_TR.UTF-8"
    run(["localedef", "-c", "-i", TURKISH, "-f", "UTF-8", made], capture_output=True, check=False)
    code = "import locale, mdth, sys; locale.setlocale(locale.LC_ALL, 'tr_TR.UTF-8')\n"
    code += "assert locale.str(0.5) == '0,5'\n"
    code += "mdth.talk(*sys.argv[1:], preview=True, max_size=256, fps=10)"
    command = [sys.executable, "-c", code, portrait_path, short_path, tmp_path / "a.mp4"]
    run(command, env={**os.environ, "LOCPATH": str(tmp_path)}, check=True)
