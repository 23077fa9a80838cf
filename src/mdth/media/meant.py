"""What is likelier meant where an input is not what its place wants."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as brief
from typing import TypeGuard

from mdth.artefacts import Portrait
from mdth.errors import InputError, UnreadableMedia
from mdth.media.image import is_picture
from mdth.media.video import probe_video


def is_path(given: object, name: str) -> TypeGuard[Path | str]:
    """Whether it names a file, and is no prepared portrait. Raises InputError for anything else."""
    prepared = name == "portrait" and (isinstance(given, Portrait) or hasattr(given, "engine"))
    if not (given is None or prepared or isinstance(given, Path | str)):
        raise InputError(f"{name} {brief(given)}: give the path of a file")
    return isinstance(given, Path | str)


@contextmanager
def meant(files: Mapping[str, Path]) -> Iterator[None]:
    """Says of `portrait` and `speech` what they are where they cannot be read as these."""
    try:
        yield
    except UnreadableMedia as error:
        portrait, speech = files.get("portrait"), files.get("speech")
        if speech and is_picture(speech):
            words = f"{speech}: is a picture; the portrait comes first, then the speech"
        elif portrait and is_clip(portrait):
            words = f"{portrait}: is a clip, no picture; give it as the video"
        else:
            raise
        raise UnreadableMedia(words) from error


def is_clip(path: Path) -> bool:
    """Whether a file is a video and no picture, by its content."""
    try:
        return bool(probe_video(path))
    except UnreadableMedia:
        return False
