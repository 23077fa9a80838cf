"""Mesh-Driving Talking Head: a portrait and a speech become a talking video.

    import mdth
    mdth.talk("portrait.jpg", "speech.wav", "out.mp4")

A portrait that speaks often is prepared once: `mdth.talk(mdth.prepare("portrait.jpg"), ...)`.
Twins, the seed's folders: `mdth.preprocess_twin("th_test")`, then `mdth.inference_twin("th_test")`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdth.errors import (
    ArtefactError,
    CheckpointError,
    DeviceError,
    InputError,
    InvalidTwinId,
    MdthError,
    MissingDependency,
    MissingInput,
    NoFaceFound,
    SpeechTooShort,
    StorageError,
    UnreadableMedia,
)

if TYPE_CHECKING:
    from mdth.artefacts import Portrait
    from mdth.pipeline import inference as inference_twin
    from mdth.pipeline import prepare, talk
    from mdth.pipeline import preprocess as preprocess_twin

__all__ = [
    "ArtefactError",
    "CheckpointError",
    "DeviceError",
    "InputError",
    "InvalidTwinId",
    "MdthError",
    "MissingDependency",
    "MissingInput",
    "NoFaceFound",
    "Portrait",
    "SpeechTooShort",
    "StorageError",
    "UnreadableMedia",
    "__version__",
    "inference_twin",
    "prepare",
    "preprocess_twin",
    "talk",
]

__version__ = "0.1.0"

# Loaded on first use: `import mdth` costs no numpy and no network. The twins' functions carry a
# longer name here because `mdth.preprocess` is the package of that stage.
_LATER = {
    "Portrait": ("mdth.artefacts", "Portrait"),
    "inference_twin": ("mdth.pipeline", "inference"),
    "prepare": ("mdth.pipeline", "prepare"),
    "preprocess_twin": ("mdth.pipeline", "preprocess"),
    "talk": ("mdth.pipeline", "talk"),
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'mdth' has no attribute {name!r}")
    module, attribute = _LATER[name]
    return getattr(import_module(module), attribute)
