"""Mesh-Driving Talking Head: a portrait and a speech become a talking video.

    import mdth
    mdth.talk("portrait.jpg", "speech.wav", "out.mp4")

A portrait that speaks often is prepared once: `mdth.talk(mdth.prepare("portrait.jpg"), ...)`; one
that speaks as the sound comes is a session: `mdth.open_session(mdth.prepare("portrait.jpg"))`.
Twins, the seed's folders: `mdth.preprocess("th_test")`, then `mdth.inference("th_test")`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdth.errors import (
    ArtefactError,
    CheckpointError,
    DeviceError,
    InputError,
    InvalidTwinId,
    LimitExceeded,
    MdthError,
    MissingDependency,
    MissingInput,
    NoFaceFound,
    SpeechTooShort,
    StorageError,
    UnreadableMedia,
    check_address_space,
    ours,
)

if TYPE_CHECKING:
    from mdth.artefacts import Portrait
    from mdth.client import Client
    from mdth.engine import Avatar, Engine, Session
    from mdth.live_session import LiveSession, live
    from mdth.pipeline import dub, open_session, prepare, talk
    from mdth.speak.voice import Voice, voices
    from mdth.spoken_mesh import export_mesh
    from mdth.twins.tasks import inference, preprocess

# Loaded on first use: `import mdth` costs no numpy and no network.
_LATER = {
    "mdth.artefacts": ("Portrait",),
    "mdth.client": ("Client",),
    "mdth.engine": ("Avatar", "Engine", "Session"),
    "mdth.live_session": ("LiveSession", "live"),
    "mdth.pipeline": ("dub", "open_session", "prepare", "talk"),
    "mdth.speak.voice": ("Voice", "voices"),
    "mdth.spoken_mesh": ("export_mesh",),
    "mdth.twins.tasks": ("inference", "preprocess"),
}

__all__ = [
    "ArtefactError",
    "Avatar",
    "CheckpointError",
    "Client",
    "DeviceError",
    "Engine",
    "InputError",
    "InvalidTwinId",
    "LimitExceeded",
    "LiveSession",
    "MdthError",
    "MissingDependency",
    "MissingInput",
    "NoFaceFound",
    "Portrait",
    "Session",
    "SpeechTooShort",
    "StorageError",
    "UnreadableMedia",
    "Voice",
    "__version__",
    "dub",
    "export_mesh",
    "inference",
    "live",
    "open_session",
    "prepare",
    "preprocess",
    "talk",
    "voices",
]

__version__ = "0.1.0"


def _later(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            check_address_space()
            return getattr(ours(import_module)(module), name)
    raise AttributeError(f"module 'mdth' has no attribute {name!r}")


if not TYPE_CHECKING:  # which would take any name then
    __getattr__ = _later


def __dir__() -> list[str]:
    return __all__
