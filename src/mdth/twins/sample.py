"""Sample input for a twin, with several files per kind, so that the choice rule is seen working."""

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from mdth import pipeline
from mdth.config import config
from mdth.engine import Progress
from mdth.errors import MissingDependency, MissingInput
from mdth.options import Choices
from mdth.storage import layout
from mdth.storage.store import Store

EXAMPLES = Path(__file__).parents[3] / "examples"
# Of the sample clip's generated head motion; another than the default, so that the two differ.
CLIP_SEED = 7


def put(twin_id: str, *, progress: Progress | None = None) -> list[str]:
    """Fill the store's `raw/{twin_id}`; gives the paths written there.

    Used are the first readable files by natural order: 2_speech.wav, 2_portrait.jpg and 2_clip.mp4;
    the hidden, the empty, the unreadable and the later ones are there to be skipped. Raises
    MissingInput without the examples, StorageError.
    """
    layout.check_twin_id(twin_id)
    store = Store(config().store)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _fill(folder, progress)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        paths = [f"raw/{twin_id}/{path.relative_to(folder).as_posix()}" for path in files]
        for file, path in zip(files, paths, strict=True):
            store.upload(file, path)
    return paths


def example(name: str) -> Path:
    """A file of the repository's `examples`. Raises MissingInput where they are not installed."""
    path = EXAMPLES / name
    if not path.is_file():
        raise MissingInput(f"{path}: the examples come with the repository; run from a clone of it")
    return path


def portrait() -> Path:
    """The public-domain portrait of Grace Hopper that matplotlib ships; MediaPipe brings that."""
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        raise MissingDependency("the sample portrait is in matplotlib; run: pip install matplotlib")
    return Path(found.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"


def _fill(folder: Path, progress: Progress | None) -> None:
    from PIL import Image, ImageOps

    for kind, suffix in ((layout.AUDIO, "wav"), (layout.IMAGE, "jpg"), (layout.VIDEO, "mp4")):
        (folder / kind).mkdir()
        (folder / kind / ".hidden").write_text("a hidden file is no input\n", "utf-8")
        text = "a text is no input, whatever its name says\n"
        (folder / kind / f"0.{suffix}").write_text(text, "utf-8")
        (folder / kind / f"1_empty.{suffix}").touch()
    shutil.copyfile(example("speech.wav"), folder / "audio/2_speech.wav")
    shutil.copyfile(example("short.wav"), folder / "audio/10_short.wav")
    shutil.copyfile(portrait(), folder / "image/2_portrait.jpg")
    with Image.open(portrait(), formats=("JPEG",)) as picture:
        ImageOps.mirror(picture).save(folder / "image/10_mirrored.png")
    clip = folder / "video/2_clip.mp4"
    choices: Choices = {"random_seed": CLIP_SEED, "engine": "embedded"}
    pipeline.talk(portrait(), example("short.wav"), clip, progress=progress, **choices)
    clip.with_suffix(".json").unlink()
    shutil.copyfile(clip, folder / "video/10_clip.mp4")
