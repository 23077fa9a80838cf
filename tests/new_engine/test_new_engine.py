"""The design's own test: an engine of another package works everywhere, without a change here."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pytest

import mdth as package
from mdth import engines
from mdth.media.audio import read_blocks
from mdth.media.video import read_frames

HERE = Path(__file__).parent
ENTRY = "[mdth.engines]\nbar = loudness_bar:Bar\n"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoints: Path) -> Iterator[None]:
    """A package with the module and its entry point, as pip would leave it."""
    site = tmp_path / "site"
    info = site / "loudness_bar-1.0.dist-info"
    info.mkdir(parents=True)
    copyfile(HERE / "loudness_bar.py", site / "loudness_bar.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loudness-bar\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY)
    monkeypatch.syspath_prepend(site)
    yield
    engines.forget()
    sys.modules.pop("loudness_bar", None)


def bar_px(frame: np.ndarray) -> int:
    """How long the bar is."""
    green = (frame[-5].astype(int) @ [-1, 2, -1]) > 200
    return int(green.sum())


def test_in_talk_and_in_a_session(portrait_path: Path, short_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    made = package.talk(portrait_path, short_path, out, engine="bar", paste=True)
    assert made["settings"]["engine"] == "bar" and "paste" not in made["settings"]
    filmed = [bar_px(frame) for frame in read_frames(out)]
    assert len(filmed) == 99 and np.ptp(filmed) > 200, "as long as the speech is loud"
    session = package.open_session(package.prepare(portrait_path, engine="bar"))
    frames = [frame for block in read_blocks(short_path) for frame in session.feed(block)]
    lengths = [bar_px(frame) for frame in [*frames, *session.finish()]]
    assert np.corrcoef(lengths, filmed)[0, 1] > 0.99


def test_in_batch(
    mdth: Callable[..., Any], twin_home: Path, portrait_path: Path, short_path: Path
) -> None:
    for kind, path in (("audio", short_path), ("image", portrait_path)):
        folder = twin_home / "store/raw/anna" / kind
        folder.mkdir(parents=True)
        copyfile(path, folder / path.name)
    for task in ("preprocess", "inference"):
        more = ("--preview",) if task == "inference" else ()
        ended = mdth("batch", "--twins", "anna", "--task", task, "--engine", "bar", *more)
        assert ended.code == 0, ended.err + ended.out
        assert "1 done" in ended.out
    video = twin_home / "home/warping-serving/anna/th/output.mp4"
    assert np.ptp([bar_px(frame) for frame in read_frames(video)]) > 100
    assert "bar: ready" in mdth("doctor").out


def test_what_it_is_not() -> None:
    with pytest.raises(package.InputError, match="auto, embedded, seed, bar"):
        engines.get("baz")
    with pytest.raises(package.InputError, match="engine bar cannot dub"):
        package.prepare(video="clip.mp4", keep="clip", engine="bar")
