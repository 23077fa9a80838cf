"""Who turns sound into the face's offsets: our own networks, or the seed's FaceFormer."""

import threading
from pathlib import Path

from mdth.config import config
from mdth.embedded.speech import flame
from mdth.embedded.speech.speech_to_mesh import SpeechToMesh, SpokenMesh
from mdth.engine import SPEAK, Need
from mdth.files import assets
from mdth.files.reading import file_state
from mdth.options import LIVE_MESH

ENCODER = "moonshine_tiny_en_encoder.ort"
OWN = ("embedded", LIVE_MESH)
# A loaded network, which keeps nothing of a speech, and one speech on its way.
Speaker = SpeechToMesh | flame.FlameFace
Spoken = SpokenMesh | flame.SpokenFlame


class Speakers:
    """Loads a speaker once for as long as its files stay as they are; the last one is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[object, Speaker] | None = None

    def get(self, name: str) -> Speaker:
        """The speaker of that name. Raises CheckpointError, MissingDependency."""
        files = _files(name) or [assets.path(ENCODER)]
        wanted = name, tuple(map(file_state, files))
        with self._lock:
            if self._kept is None or self._kept[0] != wanted:
                self._kept = None
                self._kept = wanted, _load(name)
            return self._kept[1]

    def close(self) -> None:
        """Drop it."""
        with self._lock:
            self._kept = None


def needs(name: str) -> list[Need]:
    """What a speaker reads besides our own networks."""
    found = []
    for path in _files(name):
        problem = "" if path.is_file() else f"{path}: missing"
        mend = "put its owner's checkpoint there"
        found.append(Need(path.name, path, frozenset({SPEAK}), mend, problem))
    return found


def _common() -> Path:
    return (config().home / assets.FOLDER).parent


def _files(name: str) -> list[Path]:
    if name in OWN:
        return []
    return flame.files(name, _common())


def _load(name: str) -> Speaker:
    if name in OWN:
        return SpeechToMesh(assets.path(ENCODER), live=name == LIVE_MESH)
    return flame.load(name, _common())
