"""Two small twins through both tasks, with the real pipeline, by one process and by two."""

import csv
from pathlib import Path

import av
from PIL import Image

from tests.support.commands import Command

TWINS = ("anna", "ben")


def add_twin(store: Path, name: str, portrait: Path, speech: Path, start_s: float) -> None:
    """A twin with half a second of the speech and a small picture."""
    audio, image = store / f"raw/{name}/audio", store / f"raw/{name}/image"
    audio.mkdir(parents=True)
    image.mkdir()
    with av.open(str(speech)) as given, av.open(str(audio / "speech.wav"), "w") as made:
        stream = made.add_stream("pcm_s16le", rate=16_000, layout="mono")
        resampler = av.AudioResampler("s16", "mono", 16_000)
        for frame in given.decode(audio=0):
            if start_s <= frame.time < start_s + 0.5:
                for part in resampler.resample(frame):
                    part.pts = None
                    made.mux(stream.encode(part))
        made.mux(stream.encode(None))
    with Image.open(portrait) as picture:
        picture.resize((192, 225)).save(image / "portrait.png")


def states(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["twin"]: row["state"] for row in csv.DictReader(file)}


def test_a_batch(mdth: Command, twin_home: Path, portrait_path: Path, short_path: Path) -> None:
    store, results = twin_home / "store", twin_home / "results.csv"
    for number, name in enumerate(TWINS):
        add_twin(store, name, portrait_path, short_path, start_s=0.3 + number * 0.5)
    (store / "raw/dora/image").mkdir(parents=True)
    (store / "raw/dora/image/text.png").write_text("not a picture")
    ended = mdth("batch", "--twins", "", "--results", results, "--task", "preprocess")
    assert ended.code == 1
    assert states(results) == {**dict.fromkeys(TWINS, "done"), "dora": "failed"}
    assert "dora failed: raw/dora: no sound" in ended.err

    twins = twin_home / "twins.txt"
    twins.write_text("\n".join(TWINS))
    chosen = ["batch", "--twins", twins, "--task", "inference", "--still", "--results", results]
    first = mdth(*chosen, "--workers", 2)
    assert first.code == 0, first.err
    assert states(results) == dict.fromkeys(TWINS, "done")
    videos = {name: store / f"inference/{name}/th/output.mp4" for name in TWINS}
    made = {name: path.read_bytes() for name, path in videos.items()}
    assert len(set(made.values())) == len(TWINS)

    videos["ben"].unlink()
    again = mdth(*chosen)
    assert again.code == 0, again.err
    assert states(results) == dict.fromkeys(TWINS, "skipped")
    assert {name: path.read_bytes() for name, path in videos.items()} == made
