"""What can go wrong, each named for what the user can do about it.

MdthError
├── InputError              what was given cannot be used
│   ├── MissingInput        nothing there: no file, no twin, no face or no sound among the inputs
│   ├── UnreadableMedia     the file is not what it claims, empty, or cannot be decoded
│   ├── NoFaceFound         a picture or clip without a usable face
│   ├── SpeechTooShort      under 0.3 s of sound
│   └── InvalidTwinId       a twin id that is not a plain name
├── ArtefactError           prepared data that is stale, foreign or damaged
├── CheckpointError         a model or asset that is missing or has the wrong content
├── StorageError            the store or the disk does not answer, or is full
├── DeviceError             more GPUs asked for than there are
└── MissingDependency       an optional package; the message names the extra

Every message says what, where, and what to do.
"""


class MdthError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(MdthError):
    """What was given cannot be used."""


class MissingInput(InputError):
    """A file, a twin, a face or a sound that is needed is not there."""


class UnreadableMedia(InputError):
    """A file that is empty, not what it claims to be, or cannot be decoded."""


class NoFaceFound(InputError):
    """A picture or clip in which no usable face is found."""


class SpeechTooShort(InputError):
    """A sound of less than 0.3 s."""


class InvalidTwinId(InputError):
    """A twin id that is not a plain name."""


class ArtefactError(MdthError):
    """Prepared data that is stale, foreign or damaged."""


class CheckpointError(MdthError):
    """A model or asset that is missing or whose content is not the expected one."""


class StorageError(MdthError):
    """The store or the disk does not answer, refuses, or is full."""


class DeviceError(MdthError):
    """More devices were asked for than this machine has."""


class MissingDependency(MdthError):
    """An optional package is not installed; the message names the extra to install."""
