"""Sample input for a twin, with several files per kind, so that the choice rule is seen working."""

import shutil
import tempfile
from pathlib import Path

from mdth import pipeline
from mdth.config import config
from mdth.engine import Progress
from mdth.files.output import record_of
from mdth.options import Choices
from mdth.storage import layout
from mdth.storage.store import Store

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT = EXAMPLES / "grace_hopper.jpg"
# Of the sample clip's generated head motion; another than the default, so that the two differ.
CLIP_SEED = 7


def put(twin_id: str, *, progress: Progress | None = None) -> list[str]:
    """Fill the store's `raw/{twin_id}`; gives the paths written there.

    Used are the first readable files by natural order: 2_speech.wav, 2_portrait.jpg and 2_clip.mp4;
    the hidden, the empty, the unreadable and the later ones are there to be skipped. Raises
    StorageError.
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


def _fill(folder: Path, progress: Progress | None) -> None:
    from PIL import Image, ImageOps

    for kind, suffix in ((layout.AUDIO, "wav"), (layout.IMAGE, "jpg"), (layout.VIDEO, "mp4")):
        (folder / kind).mkdir()
        (folder / kind / ".hidden").write_text("a hidden file is no input\n", "utf-8")
        text = "a text is no input, whatever its name says\n"
        (folder / kind / f"0.{suffix}").write_text(text, "utf-8")
        (folder / kind / f"1_empty.{suffix}").touch()
    shutil.copyfile(EXAMPLES / "speech.wav", folder / "audio/2_speech.wav")
    shutil.copyfile(EXAMPLES / "short.wav", folder / "audio/10_short.wav")
    shutil.copyfile(PORTRAIT, folder / "image/2_portrait.jpg")
    with Image.open(PORTRAIT, formats=("JPEG",)) as picture:
        ImageOps.mirror(picture).save(folder / "image/10_mirrored.png")
    clip = folder / "video/2_clip.mp4"
    choices: Choices = {"random_seed": CLIP_SEED, "engine": "embedded"}
    pipeline.talk(PORTRAIT, EXAMPLES / "short.wav", clip, progress=progress, **choices)
    record_of(clip).unlink()
    shutil.copyfile(clip, folder / "video/10_clip.mp4")
